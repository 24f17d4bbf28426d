//! The records of `plugin-api/wit/scorer.wit` in Rust; wasmtime checks their shape when a scorer is loaded.

use serde::{Deserialize, Serialize};
use wasmtime::component::{ComponentType, Lift, Lower};

/// One prediction beside its target.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ComponentType, Lower)]
#[component(record)]
pub struct Sample {
    /// Position of the sample in its dataset split.
    pub index: u32,
    /// What the model answered (`vqa`, `caption`); empty for `diagnosis`.
    pub prediction: String,
    /// The model's score for each class before softmax (`diagnosis`); empty otherwise.
    pub logits: Vec<f64>,
    /// Acceptable answers; for `diagnosis` the names of the true classes.
    pub references: Vec<String>,
    /// Indices of the true classes (`diagnosis`): one for multi-class, any number for multi-label.
    pub labels: Vec<u32>,
    /// True when the model gave no answer; such a sample scores the metric's worst.
    pub failed: bool,
    /// A JSON object with what else the dataset knows: `question` (raw), `closed`, `choices` (text by letter),
    /// `options` (texts), `multi_label`, `groups`, and the manifest's columns of groups and for scorers by their names.
    pub meta: String,
}

/// Name, direction and range of one value or metric.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ComponentType, Lift)]
#[component(record)]
pub struct MetricInfo {
    /// The field's standard name in lower case: `accuracy`, `auroc`.
    pub name: String,
    /// Whether a greater value is a better one.
    #[component(name = "higher-is-better")]
    pub higher_is_better: bool,
    /// Smallest possible value.
    pub min: f64,
    /// Greatest possible value.
    pub max: f64,
}

/// What a scorer says about itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ComponentType, Lift)]
#[component(record)]
pub struct Metadata {
    /// Name of the scorer.
    pub id: String,
    /// Semantic version; a change that can move a number raises it.
    pub version: String,
    /// One sentence.
    pub summary: String,
    /// Tasks that the scorer understands: `diagnosis`, `vqa`, `caption`.
    pub tasks: Vec<String>,
    /// What each sample gets from [`Scorer::score`](super::Scorer::score), in this order.
    pub values: Vec<MetricInfo>,
    /// What [`Scorer::aggregate`](super::Scorer::aggregate) returns, in this order.
    pub metrics: Vec<MetricInfo>,
    /// Capabilities that the scorer imports: `judge`, `embed`.
    pub needs: Vec<String>,
    /// JSON schema of the accepted configuration.
    #[component(name = "config-schema")]
    pub config_schema: String,
}

/// What a scorer made of one sample; a line of `scores.jsonl`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ComponentType, Lift, Lower)]
#[component(record)]
pub struct SampleScore {
    /// Position of the sample in its dataset split.
    pub index: u32,
    /// One for each [`Metadata::values`], in that order; `None` is a missing value.
    pub values: Vec<Option<f64>>,
    /// What the scorer's `aggregate` needs beyond the values, such as class probabilities and the label.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub statistics: Vec<f64>,
    /// Free text for the reader of the sample.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// Why a scorer refused its configuration or its samples.
#[derive(Debug, Clone, PartialEq, thiserror::Error, ComponentType, Lift)]
#[component(variant)]
pub(super) enum Refusal {
    #[error("bad configuration: {0}")]
    #[component(name = "bad-config")]
    BadConfig(String),
    #[error("bad input: {0}")]
    #[component(name = "bad-input")]
    BadInput(String),
    #[error("judge: {0}")]
    #[component(name = "judge")]
    Judge(String),
    #[error("internal error: {0}")]
    #[component(name = "internal")]
    Internal(String),
}

/// Severity of a line that a scorer logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ComponentType, Lift)]
#[component(enum)]
#[repr(u8)]
#[allow(dead_code, reason = "wasmtime makes the values from what the scorer passes")]
pub(super) enum Level {
    #[component(name = "debug")]
    Debug,
    #[component(name = "info")]
    Info,
    #[component(name = "warn")]
    Warn,
    #[component(name = "error")]
    Error,
}
