//! What one record of a prediction file says, whoever wrote it.

use std::{fmt, path::Path, str::FromStr};

use serde::Serialize;
use serde_json::Value;

use super::{harness, medvlmbench};
use crate::{
    error::{Error, Result, suggest},
    ids::Task,
};

/// Who writes prediction files that can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// `predictions.json` of MedVLMBench.
    Medvlmbench,
    /// `samples_TASK_DATE.jsonl` of lm-eval.
    LmEval,
    /// `DATE_samples_TASK.jsonl` of lmms-eval.
    LmmsEval,
}

/// One record.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Record {
    /// Where it is in the file.
    pub place: String,
    /// Position in the split, where the record says so.
    pub position: Option<usize>,
    /// Path of the image.
    pub image: Option<String>,
    /// The question, in the forms that the record has.
    pub asked: Vec<String>,
    /// What is right.
    pub truth: Option<String>,
    /// Index of the right class.
    pub label: Option<u32>,
    /// The task, where the record tells.
    pub task: Option<Task>,
    /// What the model said.
    pub said: Said,
}

/// What a model said.
#[derive(Debug, Clone, PartialEq)]
pub enum Said {
    /// An answer or a report.
    Text(String),
    /// One score a class before softmax.
    Logits(Vec<f32>),
    /// Nothing, and why.
    Failed(String),
    /// Something that is no answer, and why.
    Unusable(String),
}

impl Default for Said {
    fn default() -> Self {
        Self::Unusable("has no prediction".into())
    }
}

const FORMATS: [(Format, &str); 3] =
    [(Format::Medvlmbench, "medvlmbench"), (Format::LmEval, "lm-eval"), (Format::LmmsEval, "lmms-eval")];

/// The records of a file, in its order.
pub fn read(path: &Path, bytes: &[u8], format: Option<Format>) -> Result<(Format, Vec<Record>)> {
    let format = format.map_or_else(|| guess(path, bytes), Ok)?;
    let records = match format {
        Format::Medvlmbench => medvlmbench::records(path, bytes)?,
        Format::LmEval | Format::LmmsEval => harness::records(path, bytes)?,
    };
    if records.is_empty() {
        return Err(Error::invalid(path, "holds no records"));
    }
    Ok((format, records))
}

fn guess(path: &Path, bytes: &[u8]) -> Result<Format> {
    let start = bytes.trim_ascii_start();
    if start.starts_with(b"[") {
        return Ok(Format::Medvlmbench);
    }
    let line = start.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let first: Option<Value> = serde_json::from_slice(line).ok();
    match first.as_ref().filter(|first| first.get("doc_id").is_some()) {
        // What only lm-eval writes.
        Some(first) if first.get("arguments").is_some() || first.get("prompt_hash").is_some() => Ok(Format::LmEval),
        Some(_) => Ok(Format::LmmsEval),
        None => Err(Error::invalid(
            path,
            "neither a list as MedVLMBench's `predictions.json` nor lines with `doc_id` as lm-eval's and lmms-eval's samples; \
             name its writer with --from",
        )),
    }
}

/// A value as text; nothing for `null`, a list or an object.
pub fn text(value: Option<&Value>) -> Option<String> {
    match value? {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// Why a record has no answer, where it says that it failed.
pub fn failure(record: &serde_json::Map<String, Value>) -> Option<String> {
    let error = match record.get("error") {
        None | Some(Value::Null | Value::Bool(false)) => None,
        Some(Value::String(error)) if error.is_empty() => None,
        Some(error) => Some(text(Some(error)).unwrap_or_else(|| error.to_string())),
    };
    let status = text(record.get("status"))
        .filter(|status| ["error", "failed", "failure", "timeout"].contains(&status.to_lowercase().as_str()));
    error.or(status)
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(FORMATS.iter().find(|(format, _)| format == self).map_or("", |(_, name)| name))
    }
}

impl FromStr for Format {
    type Err = Error;

    fn from_str(s: &str) -> Result<Self> {
        let known = FORMATS.iter().find(|(_, name)| *name == s).map(|(format, _)| *format);
        known.ok_or_else(|| Error::usage(format!("unknown writer `{s}`{}", suggest(s, FORMATS.map(|(_, name)| name)))))
    }
}
