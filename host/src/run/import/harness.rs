//! Sample files of lm-eval and lmms-eval: one JSON object a line, `doc_id`, `doc` or `input`, `target`, `resps`.
//!
//! `resps` is what the model said; `filtered_resps`, what a task's filters made of it, is read where that is all there is.

use std::path::Path;

use serde_json::{Map, Value};

use super::records::{Record, Said, failure, text};
use crate::error::{Error, Result};

/// Columns of public datasets that hold a question, an answer, an image.
const QUESTIONS: [&str; 4] = ["question", "Question", "query", "text"];
const ANSWERS: [&str; 3] = ["answer", "Answer", "caption"];
const IMAGES: [&str; 5] = ["image_path", "img_name", "image_name", "image", "file_name"];

/// The records of a file.
pub fn records(path: &Path, bytes: &[u8]) -> Result<Vec<Record>> {
    let text = std::str::from_utf8(bytes).map_err(|_| Error::invalid(path, "is no UTF-8 text"))?;
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    lines
        .map(|(at, line)| {
            let line: Map<String, Value> = serde_json::from_str(line).map_err(|e| {
                Error::invalid(format!("{}:{}", path.display(), at + 1), format!("no JSON object: {e}"))
            })?;
            Ok(record(format!("line {}", at + 1), &line))
        })
        .collect()
}

fn record(place: String, line: &Map<String, Value>) -> Record {
    let empty = Map::new();
    let doc = line.get("doc").and_then(Value::as_object).unwrap_or(&empty);
    let column = |names: &[&str]| names.iter().find_map(|name| text(doc.get(*name)));
    // lm-eval's `arguments` are a list, or an object of objects, of which the first holds the prompt.
    let prompt = line.get("arguments").and_then(first_text);
    let asked = [column(&QUESTIONS), text(line.get("input")), prompt];
    let truth = text(line.get("target")).or_else(|| line.get("target").and_then(first_text));
    let said = line.get("resps").or_else(|| line.get("filtered_resps"));
    Record {
        place,
        position: line.get("doc_id").and_then(Value::as_u64).and_then(|id| usize::try_from(id).ok()),
        image: column(&IMAGES),
        asked: asked.into_iter().flatten().collect(),
        truth: truth.filter(|truth| !truth.is_empty()).or_else(|| column(&ANSWERS)),
        said: failure(line).map_or_else(|| answer(said), Said::Failed),
        ..Record::default()
    }
}

fn answer(resps: Option<&Value>) -> Said {
    match resps.and_then(first) {
        Some(Value::String(answer)) => Said::Text(answer.clone()),
        Some(Value::Number(_)) => Said::Unusable("holds log-likelihoods of options, not an answer".into()),
        _ => Said::default(),
    }
}

/// The first value that is neither list nor object.
fn first(value: &Value) -> Option<&Value> {
    match value {
        Value::Array(values) => values.first().and_then(first),
        Value::Object(values) => values.values().next().and_then(first),
        value => Some(value),
    }
}

fn first_text(value: &Value) -> Option<String> {
    text(first(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_both_harnesses_are_read() {
        let lines = r#"{"doc_id":3,"doc":{"question":"Is it?","answer":"yes"},"target":"yes","arguments":[["Q: Is it?\nA:",{}]],"resps":[["Yes."]],"filtered_resps":["yes"]}
{"doc_id":4,"input":"Where?","target":["left","right"],"filtered_resps":["left"]}

{"doc_id":5,"doc":{},"target":"0","resps":[[[-1.5,false]],[[-2.5,true]]]}"#;
        let records = records(Path::new("samples.jsonl"), lines.as_bytes()).expect("readable");
        assert_eq!((records[0].position, &records[0].said), (Some(3), &Said::Text("Yes.".into())));
        assert_eq!(records[0].asked, ["Is it?", "Q: Is it?\nA:"]);
        assert_eq!((records[1].truth.as_deref(), &records[1].said), (Some("left"), &Said::Text("left".into())));
        assert_eq!(records[2].place, "line 4");
        assert!(matches!(&records[2].said, Said::Unusable(why) if why.contains("log-likelihoods")));
        let error = super::records(Path::new("s.jsonl"), b"{}\n[1]").expect_err("a list").to_string();
        assert!(error.starts_with("s.jsonl:2: no JSON object"), "{error}");
    }
}
