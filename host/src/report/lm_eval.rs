//! The layout of lm-evaluation-harness: what its readers know to find.
//!
//! A task is a cell without its model, `<dataset>_<split>_<task>_<usage>`, with `_s<seed>` where the seed is not 0; the filter
//! of a metric is its scorer. `<metric>_stderr` is the half width of the metric's interval in units of the normal
//! distribution, since the interval is what a run keeps. `date`, `git_hash` and `total_evaluation_time_seconds` are absent: a
//! report has the same bytes whenever it is written.

use serde_json::{Map, Value, json};
use statrs::distribution::{ContinuousCDF, Normal};

use super::{CellReport, MetricReport, Report, SampleReport};
use crate::ids::digest;

/// The keys of a results file; `name` names the task of a cell.
pub fn results(report: &Report, cells: &[&CellReport], name: &dyn Fn(&CellReport) -> String) -> Map<String, Value> {
    let of_each = |value: &dyn Fn(&CellReport) -> Value| -> Value {
        cells.iter().map(|cell| (name(cell), value(cell))).collect::<Map<String, Value>>().into()
    };
    let mut models: Vec<&str> = cells.iter().map(|cell| cell.model.as_str()).collect();
    models.dedup();
    let fingerprint = |key: &str| cells.first().and_then(|cell| cell.fingerprint.get(key).cloned());
    let mut keys = Map::new();
    let mut put = |key: &str, value: Value| drop(keys.insert(key.into(), value));
    put("results", of_each(&|cell| scores(report, cell)));
    put("group_subtasks", json!({}));
    put("configs", of_each(&config));
    put("versions", of_each(&|cell| json!(cell.fingerprint.get("dataset.manifest"))));
    put("n-shot", of_each(&|_| json!(0)));
    put("higher_is_better", of_each(&|cell| cell.metrics.iter().map(direction).collect::<Map<_, _>>().into()));
    put("n-samples", of_each(&|cell| json!({"original": cell.expected, "effective": cell.predicted})));
    put(
        "config",
        json!({
            "model": models.join(","),
            "model_dtype": fingerprint("dtype"),
            "device": fingerprint("device"),
            "bootstrap_iters": report.resamples,
            "medvlm_version": env!("CARGO_PKG_VERSION"),
        }),
    );
    put("task_hashes", of_each(&|cell| json!(cell.fingerprint.get("dataset.files"))));
    keys
}

/// Name of a cell's task within the results of its model.
pub fn task(cell: &CellReport) -> String {
    let seed = if cell.seed == 0 { String::new() } else { format!("_s{}", cell.seed) };
    format!("{}_{}_{}_{}{seed}", cell.dataset, cell.split, cell.task, cell.usage)
}

/// One line of `samples_<task>.jsonl`.
pub fn sample(cell: &CellReport, sample: &SampleReport) -> Value {
    let response = if sample.probabilities.is_empty() { json!(sample.prediction) } else { json!(sample.probabilities) };
    let hash = |value: &Value| digest(value.to_string().as_bytes());
    let doc = json!({"id": sample.id, "question": sample.question, "choices": cell.classes});
    let mut line = json!({
        "doc_id": sample.index,
        "doc": doc,
        "target": sample.target,
        "resps": [[response]],
        "filtered_resps": [sample.prediction],
        "filter": "none",
        "metrics": sample.scores.iter().map(|(name, _)| name).collect::<Vec<_>>(),
        "doc_hash": hash(&doc),
        "prompt_hash": hash(&json!(sample.question)),
        "target_hash": hash(&json!(sample.target)),
        "error": sample.error,
    });
    if let Value::Object(line) = &mut line {
        line.extend(sample.scores.iter().map(|(name, value)| (name.clone(), json!(value))));
    }
    line
}

/// The standard error that belongs to a normal interval.
pub(super) fn standard_error(metric: &MetricReport, level: f64) -> Option<f64> {
    let (low, high) = metric.low.zip(metric.high)?;
    Some((high - low) / 2.0 / Normal::standard().inverse_cdf((1.0 + level) / 2.0))
}

fn scores(report: &Report, cell: &CellReport) -> Value {
    let mut scores = Map::from_iter([("alias".into(), json!(task(cell)))]);
    for metric in cell.metrics.iter().filter(|metric| metric.value.is_some()) {
        scores.insert(format!("{},{}", metric.name, metric.scorer), json!(metric.value));
        let error = standard_error(metric, report.level).map_or(json!("N/A"), |error| json!(error));
        scores.insert(format!("{}_stderr,{}", metric.name, metric.scorer), error);
    }
    scores.into()
}

fn config(cell: &CellReport) -> Value {
    let metric = |metric: &MetricReport| json!({"metric": metric.name, "aggregation": metric.scorer, "higher_is_better": metric.higher_is_better});
    json!({
        "task": task(cell),
        "dataset_path": cell.dataset,
        "test_split": cell.split,
        "output_type": if cell.classes.is_empty() { "generate_until" } else { "multiple_choice" },
        "num_fewshot": 0,
        "repeats": 1,
        "metric_list": cell.metrics.iter().map(metric).collect::<Vec<_>>(),
        "metadata": {"model": cell.model, "usage": cell.usage, "seed": cell.seed, "cell": cell.id},
    })
}

fn direction(metric: &MetricReport) -> (String, Value) {
    (metric.name.clone(), json!(metric.higher_is_better))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::example;

    #[test]
    fn results_and_samples_have_the_keys_of_the_harness() {
        let report = example::report();
        let keys = results(&report, &[&report.cells[0]], &task);
        let line = sample(&report.cells[0], &example::samples(false)[1]);
        insta::assert_snapshot!(serde_json::to_string_pretty(&json!([keys, line])).expect("JSON"));
    }

    #[test]
    fn a_standard_error_is_a_share_of_the_interval() {
        let report = example::report();
        // (1.0 - 0.5) / (2 * scipy.stats.norm.ppf(0.975))
        let error = standard_error(&report.cells[0].metrics[0], 0.95).expect("an interval");
        assert!((error - 0.127_553_364_231_163_48).abs() < 1e-9, "{error}");
    }
}
