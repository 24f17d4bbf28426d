//! `predictions.json` of MedVLMBench: a list of records, or of batches that are records of lists.
//!
//! Questions have `image_path`, `question_type`, `qs`, `answer` and `prediction`, reports `image_path`, `caption` and
//! `prediciton` (so), diagnoses `true_label`, `pred_label` and `pred_score`. Where a model failed, its fork writes `error`
//! and `status`.

use std::path::Path;

use serde_json::{Map, Value};

use super::records::{Record, Said, failure, text};
use crate::{
    error::{Error, Result},
    ids::Task,
};

/// What a batch has a list of.
const LISTS: [&str; 4] = ["prediction", "prediciton", "pred_label", "true_label"];

/// The records of a file.
pub fn records(path: &Path, bytes: &[u8]) -> Result<Vec<Record>> {
    let entries: Vec<Map<String, Value>> = serde_json::from_slice(bytes)
        .map_err(|e| Error::invalid(format!("{}:{}", path.display(), e.line()), format!("no list of records: {e}")))?;
    let mut records = Vec::new();
    for (at, entry) in entries.into_iter().enumerate() {
        let length = LISTS.iter().find_map(|key| entry.get(*key)?.as_array()).map(Vec::len);
        match length {
            None => records.push(record(format!("[{at}]"), &entry)),
            Some(length) => {
                for (place, one) in rows(path, at, length, &entry)? {
                    records.push(record(place, &one));
                }
            }
        }
    }
    Ok(records)
}

/// The records of a batch; a value that is no list holds for all of them.
fn rows(
    path: &Path,
    at: usize,
    length: usize,
    batch: &Map<String, Value>,
) -> Result<Vec<(String, Map<String, Value>)>> {
    for (key, list) in batch.iter().filter_map(|(key, value)| Some((key, value.as_array()?))) {
        if list.len() != length {
            let message = format!("`{key}` of batch [{at}] has {} entries, others {length}", list.len());
            return Err(Error::invalid(path, message));
        }
    }
    let of = |value: &Value, i: usize| value.as_array().map_or_else(|| value.clone(), |list| list[i].clone());
    let row = |i: usize| {
        let one = batch.iter().map(|(key, value)| (key.clone(), of(value, i))).collect();
        (format!("[{at}][{i}]"), one)
    };
    Ok((0..length).map(row).collect())
}

fn record(place: String, entry: &Map<String, Value>) -> Record {
    let text = |key: &str| text(entry.get(key));
    let mut record = Record { place, image: text("image_path"), ..Record::default() };
    if entry.contains_key("pred_label") || entry.contains_key("true_label") {
        record.task = Some(Task::Diagnosis);
        record.label = entry.get("true_label").and_then(class);
        record.said = diagnosis(entry);
    } else if entry.contains_key("caption") || entry.contains_key("prediciton") {
        record.task = Some(Task::Caption);
        record.truth = text("caption");
        record.said = text("prediciton").or_else(|| text("prediction")).map_or_else(Said::default, Said::Text);
    } else {
        record.task = entry.contains_key("qs").then_some(Task::Vqa);
        record.asked = text("qs").into_iter().collect();
        record.truth = text("answer");
        record.said = text("prediction").map_or_else(Said::default, Said::Text);
    }
    if let Some(why) = failure(entry) {
        record.said = Said::Failed(why);
    }
    record
}

/// `pred_score` is the probability of class 1, or one of each class. Logits of these probabilities give them again.
fn diagnosis(entry: &Map<String, Value>) -> Said {
    let number = |value: &Value| value.as_f64().filter(|p| (0.0..=1.0).contains(p));
    let probabilities: Option<Vec<f64>> = match entry.get("pred_score") {
        Some(Value::Array(scores)) if scores.len() > 1 => scores.iter().map(number).collect(),
        Some(Value::Array(scores)) => scores.first().and_then(number).map(|p| vec![1.0 - p, p]),
        Some(score) => number(score).map(|p| vec![1.0 - p, p]),
        None => return Said::Unusable("has no `pred_score`".into()),
    };
    let Some(probabilities) = probabilities else {
        return Said::Unusable("`pred_score` is no probability".into());
    };
    let predicted =
        probabilities.iter().enumerate().fold(0, |best, (at, p)| if *p > probabilities[best] { at } else { best });
    match entry.get("pred_label").and_then(class) {
        Some(label) if label as usize != predicted => {
            Said::Unusable(format!("`pred_label` is {label}, but `pred_score` is greatest for {predicted}"))
        }
        _ => Said::Logits(probabilities.iter().map(|p| p.max(f64::MIN_POSITIVE).ln() as f32).collect()),
    }
}

/// A class as a number, or as a list of one number.
fn class(value: &Value) -> Option<u32> {
    let value = value.as_array().filter(|list| list.len() == 1).map_or(value, |list| &list[0]);
    let number = value.as_f64().filter(|number| number.fract() == 0.0 && *number >= 0.0)?;
    Some(number as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<Record> {
        records(Path::new("predictions.json"), text.as_bytes()).expect("readable")
    }

    #[test]
    fn batches_and_single_records_say_the_same() {
        let single = r#"[{"image_path":"a.jpg","qs":"Is it?","answer":"yes","prediction":"Yes."},
            {"image_path":"b.jpg","qs":"Where?","answer":"left","prediction":"right"}]"#;
        let batch = r#"[{"image_path":["a.jpg","b.jpg"],"qs":["Is it?","Where?"],"answer":["yes","left"],
            "prediction":["Yes.","right"]}]"#;
        let (single, batch) = (read(single), read(batch));
        assert_eq!((single[1].place.as_str(), batch[1].place.as_str()), ("[1]", "[0][1]"));
        let without = |records: Vec<Record>| -> Vec<Record> {
            records.into_iter().map(|record| Record { place: String::new(), ..record }).collect()
        };
        assert_eq!(without(single), without(batch));
        let uneven = r#"[{"qs":["a"],"prediction":["b","c"]}]"#;
        let error = records(Path::new("p.json"), uneven.as_bytes()).expect_err("uneven").to_string();
        assert_eq!(error, "p.json: `qs` of batch [0] has 1 entries, others 2");
    }

    #[test]
    fn reports_failures_and_scores_are_read() {
        let records = read(
            r#"[{"image_path":"a","caption":"clear","prediciton":"clear lungs"},
            {"qs":"Is it?","answer":"no","error":"timed out","status":"failed","prediction":""},
            {"true_label":1,"pred_label":1,"pred_score":0.75},
            {"true_label":0,"pred_label":0,"pred_score":0.75}]"#,
        );
        assert_eq!((records[0].task, &records[0].said), (Some(Task::Caption), &Said::Text("clear lungs".into())));
        assert_eq!(records[1].said, Said::Failed("timed out".into()));
        let Said::Logits(logits) = &records[2].said else { panic!("{:?}", records[2]) };
        assert!((1.0 / (1.0 + f64::from(logits[0] - logits[1]).exp()) - 0.75).abs() < 1e-7, "{logits:?}");
        assert!(matches!(&records[3].said, Said::Unusable(why) if why.contains("greatest for 1")));
    }
}
