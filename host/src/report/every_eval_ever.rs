//! Every Eval Ever 0.3.0: one JSON record a cell, with its samples beside it.
//!
//! Files lie where the project's datastore has them, `data/<collection>/<developer>/<model>/<uuid>.json`. The UUID has the
//! form of version 4 and comes from the digest of the record, so that the same run gives the same files.

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{CellReport, MetricReport, Report, SampleReport, lm_eval};

/// Version of the schema.
pub const VERSION: &str = "0.3.0";

/// What the schema wants to know beyond a report.
#[derive(Debug, Clone, Default)]
pub struct Origin {
    /// `developer/model`, as on the Hugging Face hub.
    pub model: String,
    /// Heading of the model.
    pub title: String,
    /// Whether it was behind an endpoint.
    pub remote: bool,
    /// Whether its weights can be had.
    pub open_weights: bool,
    /// Repository of the dataset on the Hugging Face hub.
    pub hub: Option<String>,
    /// Judges that were asked: model and endpoint.
    pub judges: Vec<String>,
    /// Seconds since 1970 that the record shall state.
    pub timestamp: u64,
}

/// Name of the file of a cell, without extension.
pub fn path(report: &Report, cell: &CellReport, origin: &Origin) -> String {
    let seed = Sha256::digest(format!("{} {}", record(report, cell, origin, None), cell.id));
    let mut bytes: Vec<u8> = seed[..16].into();
    (bytes[6], bytes[8]) = (bytes[6] & 0x0f | 0x40, bytes[8] & 0x3f | 0x80);
    let hex: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
    let uuid = [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-");
    format!("data/{}/{}/{uuid}", cell.dataset, origin.model)
}

/// The record of a cell; `samples` are the path of its samples, their number and the SHA-256 of the file.
pub fn record(report: &Report, cell: &CellReport, origin: &Origin, samples: Option<(&str, usize, &str)>) -> Value {
    let developer = origin.model.split('/').next().unwrap_or_default();
    let mut record = json!({
        "schema_version": VERSION,
        "evaluation_id": evaluation_id(cell, origin),
        "retrieved_timestamp": origin.timestamp.to_string(),
        "source_metadata": {
            "source_name": report.title,
            "source_type": "evaluation_run",
            "source_organization_name": "unknown",
            "evaluator_relationship": "third_party",
        },
        "eval_library": {"name": "medvlm", "version": env!("CARGO_PKG_VERSION")},
        "model_info": {
            "name": origin.title,
            "id": origin.model,
            "developer": developer,
            "additional_details": {
                "deployment_type": if origin.remote { "externally_managed" } else { "self_deployed" },
                "model_availability": if origin.open_weights { "open_weights" } else { "unknown" },
                "medvlm_model": cell.model,
                "usage": cell.usage.to_string(),
                "seed": cell.seed.to_string(),
            },
        },
        "evaluation_results": cell
            .metrics
            .iter()
            .filter(|metric| metric.value.is_some())
            .map(|metric| result(report, cell, metric, origin))
            .collect::<Vec<_>>(),
    });
    if let Some((path, rows, checksum)) = samples {
        record["detailed_evaluation_results"] = json!({
            "format": "jsonl",
            "file_path": path,
            "hash_algorithm": "sha256",
            "checksum": checksum,
            "total_rows": rows,
        });
    }
    record
}

/// The lines of a sample: one for each of its scores that is there.
pub fn samples(cell: &CellReport, sample: &SampleReport, origin: &Origin) -> Vec<Value> {
    let raw = sample.question.clone().unwrap_or_default();
    let hash = Sha256::digest(format!("{raw}{}", sample.target));
    let hash: String = hash.iter().map(|b| format!("{b:02x}")).collect();
    let line = |(name, value): &(String, Option<f64>)| {
        let value = (*value)?;
        Some(json!({
            "schema_version": VERSION,
            "evaluation_id": evaluation_id(cell, origin),
            "model_id": origin.model,
            "evaluation_name": lm_eval::task(cell),
            "evaluation_result_id": result_id(cell, name),
            "sample_id": sample.id,
            "sample_hash": hash,
            "interaction_type": "single_turn",
            "input": {
                "raw": raw,
                "reference": [sample.target],
                "choices": Some(&cell.classes).filter(|classes| !classes.is_empty()),
            },
            "output": {"raw": [sample.prediction]},
            "messages": null,
            "answer_attribution": [{
                "turn_idx": 0,
                "source": "output.raw",
                "extracted_value": sample.prediction,
                "extraction_method": "none",
                "is_terminal": true,
            }],
            "evaluation": {"score": value, "is_correct": sample.correct.unwrap_or(value >= 1.0)},
            "error": sample.error,
            "metadata": {"index": sample.index.to_string(), "score": name},
        }))
    };
    sample.scores.iter().filter_map(line).collect()
}

fn evaluation_id(cell: &CellReport, origin: &Origin) -> String {
    format!("{}/{}/{}", lm_eval::task(cell), origin.model.replace('/', "_"), origin.timestamp)
}

/// A value of a sample belongs to the metric of its name, where the scorer has one.
fn result_id(cell: &CellReport, score: &str) -> Option<String> {
    let same = |metric: &&MetricReport| format!("{}.{}", metric.scorer, metric.name) == score;
    cell.metrics.iter().filter(|metric| metric.value.is_some()).find(same).map(|_| score.to_string())
}

fn result(report: &Report, cell: &CellReport, metric: &MetricReport, origin: &Origin) -> Value {
    let source = match &origin.hub {
        Some(repo) => json!({
            "dataset_name": cell.dataset,
            "source_type": "hf_dataset",
            "hf_repo": repo,
            "hf_split": cell.split,
            "samples_number": cell.expected,
        }),
        None => json!({"dataset_name": cell.dataset, "source_type": "other"}),
    };
    let range = metric.range.map(|range| [range.0, range.1].map(bound));
    let mut config = json!({
        "evaluation_description": format!("{} by {} {} of medvlm", metric.name, metric.scorer, metric.version),
        "metric_id": format!("{}.{}", metric.scorer, metric.name),
        "metric_name": metric.name,
        "lower_is_better": !metric.higher_is_better,
        "additional_details": {"component": metric.component, "scorer_version": metric.version},
    });
    if let Some([low, high]) = range {
        config["score_type"] = json!("continuous");
        (config["min_score"], config["max_score"]) = (low, high);
    }
    if !origin.judges.is_empty() && metric.scorer.contains("judge") {
        config["additional_details"]["judges"] = json!(origin.judges.join(", "));
    }
    let mut uncertainty = json!({"num_samples": metric.samples});
    if let Some((low, high)) = metric.low.zip(metric.high) {
        uncertainty["confidence_interval"] = json!({
            "lower": low,
            "upper": high,
            "confidence_level": report.level,
            "method": "percentile bootstrap of whole patients",
        });
        uncertainty["num_bootstrap_samples"] = json!(report.resamples);
    }
    json!({
        "evaluation_result_id": format!("{}.{}", metric.scorer, metric.name),
        "evaluation_name": lm_eval::task(cell),
        "source_data": source,
        "metric_config": config,
        "score_details": {
            "score": metric.value,
            "details": {
                "patients": metric.patients.to_string(),
                "failed_predictions": metric.failed.to_string(),
                "missing_scores": metric.missing.to_string(),
            },
            "uncertainty": uncertainty,
        },
        "generation_config": {"additional_details": {"usage": cell.usage.to_string(), "seed": cell.seed.to_string()}},
    })
}

fn bound(value: f64) -> Value {
    match value {
        f64::INFINITY => json!("Infinity"),
        f64::NEG_INFINITY => json!("-Infinity"),
        value => json!(value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::example;

    fn origin() -> Origin {
        Origin { model: "openai/clip".into(), title: "CLIP".into(), timestamp: 1_700_000_000, ..Default::default() }
    }

    #[test]
    fn a_record_and_its_samples_have_the_fields_of_the_schema() {
        let report = example::report();
        let path = path(&report, &report.cells[0], &origin());
        let record = record(&report, &report.cells[0], &origin(), Some((&format!("{path}_samples.jsonl"), 1, "00")));
        let lines = samples(&report.cells[0], &example::samples(false)[1], &origin());
        insta::assert_snapshot!(serde_json::to_string_pretty(&json!([path, record, lines])).expect("JSON"));
    }

    #[test]
    fn a_name_is_a_uuid_of_version_4_that_depends_on_the_record() {
        let report = example::report();
        let name =
            |origin: &Origin| path(&report, &report.cells[0], origin).rsplit('/').next().unwrap_or("").to_string();
        let [first, second] = [origin(), Origin { timestamp: 1, ..origin() }].map(|origin| name(&origin));
        assert_eq!((first.len(), &first[14..15]), (36, "4"));
        assert!("89ab".contains(&first[19..20]), "{first}");
        assert_ne!(first, second);
        assert_eq!(first, name(&origin()));
    }
}
