//! What sets the architectures of the family apart.

use std::path::Path;

use blocks::{decoder::LlamaConfig, image::PatchProcessor, vision::QwenVitConfig, weights::Names};
use serde_json::{Map, Value};

use super::config::Parsed;

/// An architecture of the family.
pub struct Family {
    /// Its name, which is the `model_type` of its checkpoints too.
    pub name: &'static str,
    /// Options beside those that all have.
    pub options: &'static [&'static str],
    /// Reads `vision_config`.
    pub tower: fn(&Map<String, Value>) -> serde_json::Result<QwenVitConfig>,
    /// Reads `text_config`.
    pub text: fn(&Map<String, Value>) -> Parsed<LlamaConfig>,
    /// How checkpoints may name their tensors.
    pub names: &'static [Names],
    /// Reads `preprocessor_config.json`.
    pub processor: fn(&Path) -> blocks::Result<PatchProcessor>,
    /// The turn of the system in the template that the models were published with.
    pub system: &'static str,
}

/// A configuration with `defaults` for what it leaves out.
pub fn with_defaults(raw: &Map<String, Value>, defaults: &Value) -> Map<String, Value> {
    let mut merged = raw.clone();
    for (key, value) in defaults.as_object().into_iter().flatten() {
        merged.entry(key).or_insert_with(|| value.clone());
    }
    merged
}
