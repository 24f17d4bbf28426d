//! Templates: how a question is put to a model.

use minijinja::{Environment, Value, context, value::Serde};

use super::{DEFAULT, Manifest, Sample, Target};
use crate::{
    error::{Error, Result, suggest},
    ids::Task,
};

/// Gives each sample its prompt: the question in a template, by default that of the name [`DEFAULT`], else raw.
///
/// A template sees `question`, `answer` (the first accepted one), `options` (each with `letter` and `text`) and
/// `closed`. Captions have one prompt, and no template unless one is named.
pub fn fill(manifest: &Manifest, task: Task, samples: &mut [Sample], template: Option<&str>) -> Result<()> {
    let default = Some(DEFAULT).filter(|name| task == Task::Vqa && manifest.templates.contains_key(*name));
    let Some(name) = template.or(default) else {
        samples.iter_mut().for_each(|sample| sample.prompt.clone_from(&sample.question));
        return Ok(());
    };
    let source = manifest.templates.get(name).ok_or_else(|| {
        let hint = suggest(name, manifest.templates.keys().map(String::as_str));
        Error::usage(format!("dataset `{}` has no template `{name}`{hint}", manifest.id))
    })?;
    let broken = |e: minijinja::Error| Error::invalid(&manifest.path, format!("template `{name}`: {e}"));
    let environment = Environment::new();
    let template = environment.template_from_str(source).map_err(broken)?;
    for sample in samples {
        let answer = match &sample.target {
            Target::Answers(answers) => answers.first().map(String::as_str).unwrap_or_default(),
            Target::Labels(_) => "",
        };
        let seen = context! {
            question => sample.question.as_deref().unwrap_or_default(),
            answer => answer,
            options => Value::from(Serde(&sample.options)),
            closed => sample.closed,
        };
        sample.prompt = Some(template.render(seen).map_err(broken)?);
    }
    Ok(())
}

#[cfg(test)]
mod tests;
