//! The samples of a report as JSON inside its page.

use std::collections::HashMap;

use base64::{Engine, engine::general_purpose::STANDARD};
use serde::Serialize;

use super::{CellReport, Report, SampleReport, summary::usage};
use crate::error::{Error, Result};

/// The distinct images of a report: cells that share a dataset share its images.
pub(super) struct Images<'a> {
    list: Vec<&'a [u8]>,
    numbers: HashMap<&'a [u8], usize>,
}

/// Collects the images of all cells.
pub(super) fn images(report: &Report) -> Images<'_> {
    let mut images = Images { list: Vec::new(), numbers: HashMap::new() };
    for bytes in report.cells.iter().flat_map(|c| &c.samples).filter_map(|s| s.thumbnail.as_deref()) {
        images.numbers.entry(bytes).or_insert_with(|| {
            images.list.push(bytes);
            images.list.len() - 1
        });
    }
    images
}

impl Images<'_> {
    /// Data addresses, in the order that samples refer to.
    pub fn json(&self) -> Result<String> {
        json(&self.list.iter().map(|bytes| data_address(bytes)).collect::<Vec<_>>())
    }
}

/// The cells and samples that the page's script reads.
pub(super) fn embedded(report: &Report, images: &Images<'_>) -> Result<String> {
    json(&report.cells.iter().map(|cell| CellData::new(cell, images)).collect::<Vec<_>>())
}

#[derive(Serialize)]
struct CellData<'a> {
    id: &'a str,
    model: &'a str,
    usage: String,
    /// Cells of the same set answer the same samples.
    set: String,
    classes: &'a [String],
    samples: Vec<SampleData<'a>>,
}

#[derive(Serialize)]
struct SampleData<'a> {
    id: &'a str,
    index: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    patient: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    image: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    question: Option<&'a str>,
    target: &'a str,
    prediction: &'a str,
    probabilities: Vec<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    correct: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
    scores: &'a [(String, Option<f64>)],
    groups: &'a [(String, String)],
}

impl<'a> CellData<'a> {
    fn new(cell: &'a CellReport, images: &Images<'_>) -> Self {
        Self {
            id: &cell.id,
            model: &cell.model,
            usage: usage(cell),
            set: format!("{}.{}.{}", cell.dataset, cell.split, cell.task),
            classes: &cell.classes,
            samples: cell.samples.iter().map(|sample| SampleData::new(sample, images)).collect(),
        }
    }
}

impl<'a> SampleData<'a> {
    fn new(sample: &'a SampleReport, images: &Images<'_>) -> Self {
        Self {
            id: &sample.id,
            index: sample.index,
            patient: sample.patient.as_deref(),
            image: sample.thumbnail.as_deref().and_then(|bytes| images.numbers.get(bytes).copied()),
            question: sample.question.as_deref(),
            target: &sample.target,
            prediction: &sample.prediction,
            probabilities: sample.probabilities.iter().map(|&p| p as f32).collect(),
            correct: sample.correct,
            error: sample.error.as_deref(),
            scores: &sample.scores,
            groups: &sample.groups,
        }
    }
}

/// JSON that stays inside its script element: `<` occurs in strings only, where it can be written as an escape.
fn json<T: Serialize>(value: &T) -> Result<String> {
    let text = serde_json::to_string(value).map_err(|e| Error::failed(format!("the report data: {e}")))?;
    Ok(text.replace('<', "\\u003c"))
}

fn data_address(bytes: &[u8]) -> String {
    let kind = if bytes.starts_with(b"\x89PNG") { "png" } else { "jpeg" };
    format!("data:image/{kind};base64,{}", STANDARD.encode(bytes))
}
