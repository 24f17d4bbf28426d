//! `.eval_results/*.yaml`, by which a model's repository on the Hugging Face hub states its results.
//!
//! The format is documented at the hub as work in progress: a list of entries with `dataset.id`, `dataset.task_id` and `value`,
//! optionally `dataset.revision`, `date`, `source` and `notes`. Only datasets that lie on the hub can be named; whether the
//! hub shows an entry depends on the dataset being registered as a benchmark, with a task of that name.

use serde_json::json;

use super::{CellReport, MetricReport};

/// Where a dataset is on the hub.
#[derive(Debug, Clone)]
pub struct Place {
    /// `owner/name`.
    pub repo: String,
    /// Commit, branch or tag.
    pub revision: String,
}

/// The file of one cell: an entry for each metric with a value. The date is left to the commit that adds the file.
pub fn eval_results(cell: &CellReport, place: &Place) -> String {
    cell.metrics.iter().filter_map(|metric| entry(cell, metric, place)).collect()
}

fn entry(cell: &CellReport, metric: &MetricReport, place: &Place) -> Option<String> {
    // A JSON string is a YAML string, whatever is in it.
    let text = |text: &str| json!(text).to_string();
    let value = metric.value?;
    let interval =
        metric.low.zip(metric.high).map(|(low, high)| format!(", interval [{low:.4}, {high:.4}] by patient"));
    let notes = format!(
        "{} by scorer {} {}, {}, seed {}, {} samples, {} failed{}; medvlm {}",
        metric.name,
        metric.scorer,
        metric.version,
        cell.usage,
        cell.seed,
        metric.samples,
        metric.failed,
        interval.unwrap_or_default(),
        env!("CARGO_PKG_VERSION"),
    );
    Some(format!(
        "- dataset:\n    id: {}\n    task_id: {}\n    revision: {}\n  value: {value}\n  notes: {}\n",
        text(&place.repo),
        text(&format!("{}_{}", cell.task, metric.name)),
        text(&place.revision),
        text(&notes),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::example;

    #[test]
    fn an_entry_names_dataset_task_and_value() {
        let place = Place { repo: "owner/name".into(), revision: "main".into() };
        insta::assert_snapshot!(eval_results(&example::report().cells[0], &place));
    }
}
