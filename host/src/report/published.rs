//! Values that others published: shown beside a run's own, with their source and what speaks against them.

use std::path::Path;

use serde::Deserialize;

use crate::{
    error::{Error, Result},
    ids::{Task, Usage},
};

/// One published value.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PublishedValue {
    /// Name of the model, as rows of `models.toml` name it.
    pub model: String,
    /// Name of the dataset, as manifests name it.
    pub dataset: String,
    /// The task.
    pub task: Task,
    /// The usage.
    pub usage: Usage,
    /// Name of the metric, as scorers name it.
    pub metric: String,
    /// The value.
    pub value: f64,
    /// Lower end of its interval.
    pub low: Option<f64>,
    /// Upper end of its interval.
    pub high: Option<f64>,
    /// Samples behind it.
    #[serde(rename = "n")]
    pub samples: Option<usize>,
    /// Where it was published.
    pub source: String,
    /// What is known to speak against it, or against comparing it; empty where nothing is.
    pub doubt: String,
}

/// Reads a table of published values: CSV with the columns `model, dataset, task, usage, metric, value, low, high, n, source,
/// doubt`, of which `low`, `high`, `n` and `doubt` may be empty. `path` is for messages.
pub fn read_published(path: &Path, text: &[u8]) -> Result<Vec<PublishedValue>> {
    let mut reader = ::csv::Reader::from_reader(text);
    let broken = |e: ::csv::Error| {
        let line = e.position().map(|p| format!(":{}", p.line())).unwrap_or_default();
        let reason = match e.kind() {
            ::csv::ErrorKind::Deserialize { err, .. } => err.to_string(),
            _ => e.to_string(),
        };
        Error::invalid(format!("{}{line}", path.display()), format!("no published value: {reason}"))
    };
    reader.deserialize().map(|row| row.map_err(broken)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "model,dataset,task,usage,metric,value,low,high,n,source,doubt\n";

    #[test]
    fn ends_counts_and_doubts_may_be_absent() {
        let text = format!("{HEAD}clip,chexpert,diagnosis,linear-probe,auroc,0.5,,,,\"Table 1, left\",\n");
        let values = read_published(Path::new("p.csv"), text.as_bytes()).expect("valid");
        let expected = PublishedValue {
            model: "clip".into(),
            dataset: "chexpert".into(),
            task: Task::Diagnosis,
            usage: Usage::LinearProbe,
            metric: "auroc".into(),
            value: 0.5,
            low: None,
            high: None,
            samples: None,
            source: "Table 1, left".into(),
            doubt: String::new(),
        };
        assert_eq!(values, [expected]);
    }

    #[test]
    fn a_broken_line_is_named() {
        let error = |row: &str| {
            let text = format!("{HEAD}clip,chexpert,diagnosis,zero-shot,auroc,0.5,,,,s,\n{row}\n");
            read_published(Path::new("p.csv"), text.as_bytes()).expect_err("broken").to_string()
        };
        let message = error("clip,chexpert,diagnosis,few-shot,auroc,0.5,,,,s,");
        assert!(message.contains("p.csv:3: no published value: unknown variant `few-shot`"), "{message}");
        assert!(error("clip,chexpert").contains("p.csv:3"));
    }
}
