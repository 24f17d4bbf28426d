//! Predictions: what a model answered for one sample, and the file that keeps them.

use serde::{Deserialize, Serialize};

mod store;

pub use store::{Store, read};

/// One line of `predictions.jsonl`. It has no times in it, so that a resumed run ends with the same bytes.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Prediction {
    /// Position of the sample in its split.
    pub index: u32,
    /// Id of the sample.
    pub sample: String,
    /// One score for each class before softmax (`diagnosis`).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub logits: Vec<f32>,
    /// The answer (`vqa`, `caption`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// Why generation ended: `stop` or `length`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub finish: String,
    /// Tokens of the prompt.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub prompt_tokens: u32,
    /// Tokens of the answer.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub new_tokens: u32,
    /// Why there is no answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// What the model was given.
    pub digests: Digests,
}

/// Digests that let two runs be compared down to the cause of a difference.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Digests {
    /// Decoded pixels of the images.
    pub pixels: String,
    /// Question, or class prompts.
    pub prompt: String,
    /// Model input after preprocessing; empty where the model gives none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub input: String,
}

impl Prediction {
    /// True when the model gave no answer.
    pub fn failed(&self) -> bool {
        self.error.is_some()
    }
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
fn is_zero(n: &u32) -> bool {
    *n == 0
}
