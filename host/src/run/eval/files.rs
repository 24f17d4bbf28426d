//! `results.csv` and `predictions.json` as MedVLMBench writes them.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::Evaluation;
use crate::{
    config::SearchPath,
    dataset::{Sample, Target},
    error::{Error, Result},
    ids::Task,
    model::Place,
    prediction::{self, Prediction},
    run::{
        Catalogs, RunRecord, Settings, plan, predict,
        score::{self, Metric},
        to_json, write_atomically,
    },
};

/// Writes the original's files into the run directory; returns their paths.
///
/// The numbers of questions are those of the scorer `medvlmbench-compat`; accuracy and AUROC of diagnoses, and those of
/// reports, are this program's own, for MedVLMBench computes the former alike.
pub fn write(evaluation: &Evaluation, search: &SearchPath, save_predictions: bool) -> Result<Vec<PathBuf>> {
    let record = RunRecord::read(&evaluation.dir)?;
    let settings = Settings {
        place: Place::InProcess,
        device: record.device.clone(),
        dtype: record.dtype.clone(),
        batch_size: 1,
        adapter: None,
    };
    let plan = plan::plan_scoring(&record, &Catalogs::load(search)?, settings, evaluation.dir.clone())?;
    let cell = plan.cells.iter().find(|cell| cell.id == evaluation.cell);
    let cell = cell.ok_or_else(|| Error::failed(format!("{} is not in the run", evaluation.cell)))?;
    let dir = cell.dir(&plan.dir);
    let metrics = score::read(&dir).ok_or_else(|| Error::failed(format!("{} is not scored", cell.id)))?;
    let mut written = Vec::new();
    let mut keep = |name: &str, bytes: &[u8]| {
        let path = evaluation.dir.join(name);
        write_atomically(&path, bytes)?;
        written.push(path);
        Ok::<(), Error>(())
    };
    keep("results.csv", csv(&row(evaluation, &metrics))?.as_slice())?;
    if save_predictions {
        let dataset = cell.dataset()?;
        let samples = predict::samples(cell, &dataset, plan.suite.limit)?;
        let predictions = prediction::read(&dir.join(predict::FILE))?;
        let paired = score::pair(&dir, &samples, &predictions)?;
        let records: Vec<Value> =
            paired.iter().map(|(sample, prediction)| record_of(cell.id.task, sample, prediction)).collect();
        keep("predictions.json", &to_json(&records)?)?;
    }
    Ok(written)
}

/// The columns of `results.csv` with their values, in the original's order.
fn row(evaluation: &Evaluation, metrics: &score::Metrics) -> Vec<(String, String)> {
    let labels = &evaluation.labels;
    let text = |name: &str, value: &str| (name.to_string(), value.to_string());
    let number = |name: &str, scorer: &str, metric: &str| {
        let own = metrics.scorers.iter().find(|s| s.id == scorer).into_iter().flat_map(|s| &s.metrics);
        let value = own.filter(|m| m.name == metric).find_map(|m| m.value);
        (name.to_string(), value.map(|value| value.to_string()).unwrap_or_default())
    };
    let size = ("size".to_string(), metrics.samples.to_string());
    let (kind, dataset) = (text("model_type", labels.kind), text("dataset", &labels.dataset));
    if evaluation.cell.task == Task::Diagnosis {
        let start = [text("task", "binary-class"), dataset, kind, text("modality", "image"), size];
        let end = [number("accuracy", "accuracy", "accuracy"), number("auc", "auroc", "auroc")];
        return start.into_iter().chain(end).collect();
    }
    let task = evaluation.cell.task.to_string();
    let names = [text("model", &labels.model), text("model_name", &labels.checkpoint), text("task", &task)];
    let mut columns: Vec<(String, String)> =
        names.into_iter().chain([dataset, kind, text("modality", "image"), size]).collect();
    if evaluation.cell.task == Task::Caption {
        for n in 1..=4 {
            columns.push(number(&format!("bleu{n}"), "bleu", &format!("bleu_{n}")));
        }
        for rouge in ["rouge1", "rouge2", "rougeL"] {
            for part in ["precision", "recall"] {
                columns.push(number(&format!("{rouge}_{part}"), "rouge", &format!("{rouge}_{part}")));
            }
            columns.push(number(&format!("{rouge}_fmeasure"), "rouge", rouge));
        }
        columns.push(number("methor", "meteor", "meteor"));
        return columns;
    }
    let compat = metrics.scorers.iter().find(|scorer| scorer.id == "medvlmbench-compat");
    let known = compat.into_iter().flat_map(|scorer| &scorer.metrics).filter(|metric| metric.value.is_some());
    let (overall, of_kind): (Vec<&Metric>, Vec<&Metric>) = known.partition(|metric| metric.name.ends_with("_overall"));
    for metric in overall.into_iter().chain(of_kind) {
        let name = match metric.name.strip_suffix("_overall") {
            Some("f1") | None => metric.name.clone(),
            Some(overall) => overall.to_string(),
        };
        columns.push((name, metric.value.map(|value| value.to_string()).unwrap_or_default()));
    }
    columns
}

fn csv(row: &[(String, String)]) -> Result<Vec<u8>> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    let broken = |e: csv::Error| Error::failed(e.to_string());
    writer.write_record(row.iter().map(|(name, _)| name)).map_err(broken)?;
    writer.write_record(row.iter().map(|(_, value)| value)).map_err(broken)?;
    writer.into_inner().map_err(|e| Error::failed(e.to_string()))
}

fn record_of(task: Task, sample: &Sample, prediction: &Prediction) -> Value {
    let image = sample.images.first().map(ToString::to_string).unwrap_or_default();
    let said = prediction.text.clone().unwrap_or_default();
    let kind = sample.closed.map_or("", |closed| if closed { "closed" } else { "open" });
    let mut record = match (&sample.target, task) {
        (Target::Labels(labels), _) => diagnosis(labels, prediction),
        (Target::Answers(answers), Task::Caption) => {
            json!({ "image_path": image, "caption": answers.first(), "prediciton": said })
        }
        (Target::Answers(answers), _) => json!({
            "image_path": image,
            "question_type": kind,
            "qs": sample.prompt.as_ref().or(sample.question.as_ref()),
            "answer": answers.first(),
            "prediction": said,
        }),
    };
    if let Some(error) = &prediction.error {
        record["error"] = json!(error);
        record["status"] = json!("failed");
    }
    record
}

/// Probability of class 1, or of each of more classes.
fn diagnosis(labels: &[u32], prediction: &Prediction) -> Value {
    let highest = prediction.logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let exponentials: Vec<f64> = prediction.logits.iter().map(|l| f64::from(l - highest).exp()).collect();
    let sum: f64 = exponentials.iter().sum();
    let probabilities: Vec<f64> = exponentials.iter().map(|e| e / sum).collect();
    let best = probabilities.iter().enumerate().reduce(|best, next| if next.1 > best.1 { next } else { best });
    let score = match probabilities.as_slice() {
        [_, positive] => json!(positive),
        several => json!(several),
    };
    json!({ "true_label": labels.first(), "pred_label": best.map(|(class, _)| class), "pred_score": score })
}
