//! What a usage asks of a model.

use plugin_api::Capability;

use crate::{
    error::{Error, Result},
    ids::{Task, Usage},
};

/// The capability that a task and usage ask of a model.
fn needed(task: Task, usage: Usage) -> Option<Capability> {
    match (task, usage) {
        (Task::Diagnosis, Usage::ZeroShot) => Some(Capability::ZeroShot),
        (Task::Diagnosis, Usage::LinearProbe | Usage::ClipAdapter) => Some(Capability::Features),
        (Task::Vqa | Task::Caption, Usage::ZeroShot) => Some(Capability::Generate),
        _ => None,
    }
}

/// How a model of these capabilities can be used for these tasks.
pub fn usages(tasks: &[Task], offered: &[Capability]) -> Vec<Usage> {
    let able = |usage: &Usage| tasks.iter().any(|t| needed(*t, *usage).is_some_and(|c| offered.contains(&c)));
    Usage::ALL.into_iter().filter(able).collect()
}

/// Fails if a model of these capabilities cannot be used like this for a task.
pub fn check_usage(model: &str, offered: &[Capability], task: Task, usage: Usage) -> Result<()> {
    let Some(capability) = needed(task, usage) else {
        return Err(Error::usage(format!(
            "usage `{usage}` is not built into this version for `{task}`; use `zero-shot`"
        )));
    };
    if offered.contains(&capability) {
        return Ok(());
    }
    let name = |c: &Capability| serde_json::to_string(c).unwrap_or_default().trim_matches('"').to_string();
    let known: Vec<String> = offered.iter().map(name).collect();
    Err(Error::usage(format!(
        "model `{model}` cannot do `{task}` as `{usage}`: that needs `{}`, it offers {}",
        name(&capability),
        if known.is_empty() { "nothing".into() } else { known.join(", ") }
    )))
}
