//! Names: tasks, usages, cells, digests.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result, suggest};

/// What a model is asked to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Task {
    /// One score for each class.
    Diagnosis,
    /// An answer to a question about an image.
    Vqa,
    /// A report sentence.
    Caption,
}

/// How a model is used for a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Usage {
    /// As published.
    ZeroShot,
    /// A linear head on frozen features.
    LinearProbe,
    /// A residual image-feature adapter.
    ClipAdapter,
    /// Low-rank adapters.
    Lora,
    /// All weights.
    Full,
}

/// One point of a suite's grid, printed as `<model>@<dataset>.<split>.<task>.<usage>.s<seed>`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CellId {
    /// Name of the model.
    pub model: String,
    /// Name of the dataset.
    pub dataset: String,
    /// Name of the split.
    pub split: String,
    /// The task.
    pub task: Task,
    /// The usage.
    pub usage: Usage,
    /// The seed.
    pub seed: u64,
}

const TASKS: [(Task, &str); 3] = [(Task::Diagnosis, "diagnosis"), (Task::Vqa, "vqa"), (Task::Caption, "caption")];

const USAGES: [(Usage, &str); 5] = [
    (Usage::ZeroShot, "zero-shot"),
    (Usage::LinearProbe, "linear-probe"),
    (Usage::ClipAdapter, "clip-adapter"),
    (Usage::Lora, "lora"),
    (Usage::Full, "full"),
];

impl Usage {
    /// All of them, the plainest first.
    pub const ALL: [Self; 5] = [Self::ZeroShot, Self::LinearProbe, Self::ClipAdapter, Self::Lora, Self::Full];
}

/// Checks a name that becomes part of file names: lower-case letters, digits, `-` and `_`.
pub fn check_name(kind: &str, name: &str) -> Result<()> {
    if is_name(name, "-_") {
        return Ok(());
    }
    Err(Error::usage(format!("`{name}` is no {kind} name: use lower-case letters, digits, `-` and `_`")))
}

/// Checks the name of a model, which may hold dots as well: `gemini-2.5-pro`.
pub fn check_model_name(name: &str) -> Result<()> {
    if is_name(name, "-_.") {
        return Ok(());
    }
    Err(Error::usage(format!("`{name}` is no model name: use lower-case letters, digits, `-`, `_` and `.`")))
}

fn is_name(name: &str, marks: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || marks.contains(c))
}

/// First 128 bits of BLAKE3 in hexadecimal, the form of every digest in a run directory.
pub fn digest(bytes: &[u8]) -> String {
    blake3::hash(bytes).to_hex()[..32].to_string()
}

impl fmt::Display for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(name_of(&TASKS, self))
    }
}

impl FromStr for Task {
    type Err = Error;

    fn from_str(s: &str) -> Result<Self> {
        parse("task", &TASKS, s)
    }
}

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(name_of(&USAGES, self))
    }
}

impl FromStr for Usage {
    type Err = Error;

    fn from_str(s: &str) -> Result<Self> {
        parse("usage", &USAGES, s)
    }
}

impl fmt::Display for CellId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { model, dataset, split, task, usage, seed } = self;
        write!(f, "{model}@{dataset}.{split}.{task}.{usage}.s{seed}")
    }
}

impl FromStr for CellId {
    type Err = Error;

    fn from_str(s: &str) -> Result<Self> {
        let broken =
            || Error::usage(format!("`{s}` is no cell: expected <model>@<dataset>.<split>.<task>.<usage>.s<seed>"));
        let (model, rest) = s.split_once('@').ok_or_else(broken)?;
        let parts: Vec<&str> = rest.split('.').collect();
        let [dataset, split, task, usage, seed] = parts[..] else { return Err(broken()) };
        Ok(Self {
            model: model.into(),
            dataset: dataset.into(),
            split: split.into(),
            task: task.parse()?,
            usage: usage.parse()?,
            seed: seed.strip_prefix('s').and_then(|n| n.parse().ok()).ok_or_else(broken)?,
        })
    }
}

fn name_of<T: PartialEq>(table: &[(T, &'static str)], value: &T) -> &'static str {
    table.iter().find(|(v, _)| v == value).map_or("", |(_, name)| name)
}

fn parse<T: Copy>(kind: &str, table: &[(T, &'static str)], s: &str) -> Result<T> {
    table
        .iter()
        .find(|(_, name)| *name == s)
        .map(|(value, _)| *value)
        .ok_or_else(|| Error::usage(format!("unknown {kind} `{s}`{}", suggest(s, table.iter().map(|(_, name)| *name)))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cell_ids_read_back_as_written() {
        for model in ["phantom-clip", "gemini-2.5-pro"] {
            let text = format!("{model}@phantom-chest.test.diagnosis.zero-shot.s0");
            let cell = text.parse::<CellId>().expect("valid");
            assert_eq!((cell.to_string(), cell.model.as_str()), (text, model));
            assert!(check_model_name(model).is_ok());
        }
        assert!(
            check_model_name("a/b").is_err() && check_model_name("").is_err() && check_name("suite", "2.5").is_err()
        );
    }

    #[test]
    fn an_unknown_task_names_the_nearest() {
        let error = "diagnosys".parse::<Task>().expect_err("unknown").to_string();
        assert_eq!(error, "unknown task `diagnosys`; did you mean `diagnosis`?");
    }
}
