//! What scoring needs of a sample, as a line: its texts and labels, never its images.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    dataset::{Choice, Sample, Target},
    error::{Error, Result},
};

/// A line of `samples/*.jsonl` of an open dataset.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Line {
    index: u32,
    id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    question: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    prompt: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    closed: Option<bool>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    options: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    labels: Option<Vec<u32>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    answers: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    patient: Option<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    groups: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    meta: BTreeMap<String, String>,
}

/// A line of each sample.
pub fn lines(samples: &[Sample]) -> Result<Vec<String>> {
    samples
        .iter()
        .map(|sample| serde_json::to_string(&Line::of(sample)).map_err(|e| Error::failed(e.to_string())))
        .collect()
}

/// The sample of a line, which has no images; what is wrong with it otherwise.
pub fn parse(line: &str) -> std::result::Result<Sample, String> {
    let read: Line = serde_json::from_str(line).map_err(|e| format!("no sample: {e}"))?;
    if serde_json::to_string(&read).ok().as_deref() != Some(line) {
        return Err("is not written as packing writes it".into());
    }
    let target = match (read.labels, read.answers) {
        (Some(labels), None) => Target::Labels(labels),
        (None, Some(answers)) => Target::Answers(answers),
        _ => return Err("needs either labels or answers".into()),
    };
    let choice = |(letter, text)| Choice { letter, text };
    Ok(Sample {
        index: read.index,
        id: read.id,
        images: Vec::new(),
        question: read.question,
        prompt: read.prompt,
        closed: read.closed,
        options: read.options.into_iter().map(choice).collect(),
        target,
        unknown: Vec::new(),
        patient: read.patient,
        groups: read.groups,
        meta: read.meta,
    })
}

/// Every text that a dataset has of its samples, those of its columns and names included.
pub fn texts(samples: &[Sample]) -> impl Iterator<Item = &str> {
    samples.iter().flat_map(|sample| {
        let single = [Some(&sample.id), sample.question.as_ref(), sample.prompt.as_ref(), sample.patient.as_ref()];
        let answers = match &sample.target {
            Target::Answers(answers) => answers.as_slice(),
            Target::Labels(_) => &[],
        };
        let columns = sample.groups.values().chain(sample.meta.values());
        let options = sample.options.iter().map(|choice| &choice.text);
        single.into_iter().flatten().chain(answers).chain(columns).chain(options).map(String::as_str)
    })
}

impl Line {
    fn of(sample: &Sample) -> Self {
        let (labels, answers) = match &sample.target {
            Target::Labels(labels) => (Some(labels.clone()), None),
            Target::Answers(answers) => (None, Some(answers.clone())),
        };
        Self {
            index: sample.index,
            id: sample.id.clone(),
            question: sample.question.clone(),
            prompt: sample.prompt.clone(),
            closed: sample.closed,
            options: sample.options.iter().map(|choice| (choice.letter.clone(), choice.text.clone())).collect(),
            labels,
            answers,
            patient: sample.patient.clone(),
            groups: sample.groups.clone(),
            meta: sample.meta.clone(),
        }
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// A sample with every field.
    pub fn sample(index: u32) -> Sample {
        let column = |name: &str, value: &str| BTreeMap::from([(name.to_string(), value.to_string())]);
        Sample {
            index,
            id: format!("film-of-patient-{index:04}"),
            images: Vec::new(),
            question: Some("What does the film show?".into()),
            prompt: Some("Answer briefly. What does the film show?".into()),
            closed: Some(false),
            options: vec![Choice { letter: "A".into(), text: "a broken left rib".into() }],
            target: Target::Answers(vec!["A".into(), format!("a broken left rib, number {index}")]),
            unknown: Vec::new(),
            patient: Some(format!("patient-{index:06}")),
            groups: column("sex", "female"),
            meta: column("organ", "bones of the chest"),
        }
    }

    #[test]
    fn a_line_reads_back_as_its_sample_and_in_one_form_only() {
        let samples = [sample(0), Sample { target: Target::Labels(vec![1]), options: Vec::new(), ..sample(1) }];
        let lines = lines(&samples).expect("written");
        let read: Vec<Sample> = lines.iter().map(|line| parse(line).expect("read")).collect();
        assert_eq!(read, samples);
        assert!(parse(&lines[0].replace(",\"id\"", ", \"id\"")).expect_err("refused").contains("as packing writes it"));
        assert!(parse("{\"index\":0,\"id\":\"a\"}").is_err());
        assert!(texts(&samples).any(|text| text == "bones of the chest"));
    }
}
