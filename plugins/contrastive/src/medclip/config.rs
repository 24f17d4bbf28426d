//! Dimensions of a MedCLIP checkpoint, which is published without a configuration.

use std::path::Path;

use blocks::{Error, Result, text::BertConfig, vision::SwinConfig, weights::Weights};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};

/// Longest text in tokens: `model_max_length` of `medclip.MedCLIPProcessor`.
const CONTEXT: usize = 77;

/// Dimensions of both towers and of the space that they share.
#[derive(Debug, Clone, PartialEq)]
pub struct MedClipConfig {
    /// Width of the shared space.
    pub projection_dim: usize,
    /// The vision tower.
    pub vision: SwinConfig,
    /// The text tower.
    pub text: BertConfig,
}

impl MedClipConfig {
    /// What the shapes of the tensors tell; the rest is as in `swin-tiny-patch4-window7-224` and Bio_ClinicalBERT,
    /// whose attention heads are 64 wide. An optional `config.json` in `dir` overrides that: its `vision_config` with
    /// keys of `transformers.SwinConfig`, its `text_config` with those of `transformers.BertConfig` (or the file of
    /// Bio_ClinicalBERT), and `projection_dim`. `text_heads`, where given, is the number of BERT's heads.
    ///
    /// # Errors
    /// The weights hold no such towers, or the file is no such configuration.
    pub fn find(dir: &Path, weights: &Weights, text_heads: Option<usize>) -> Result<Self> {
        let path = dir.join("config.json");
        let file: Map<String, Value> = match path.is_file() {
            true => {
                let text =
                    std::fs::read_to_string(&path).map_err(|source| Error::Read { path: path.clone(), source })?;
                serde_json::from_str(&text).map_err(|e| Error::invalid(&path, format!("not a JSON object: {e}")))?
            }
            false => Map::new(),
        };
        let wrong = |key: &str, e| Error::invalid(&path, format!("`{key}` is wrong: {e}"));
        let absent =
            |what: &str| Error::invalid(dir, format!("the weights hold no {what}, and nothing tells its size"));
        let vision = SwinConfig::from_tensors(&weights.at("vision")).ok_or_else(|| absent("Swin"))?;
        let mut text = BertConfig::find(dir, &weights.at("text"), None)?;
        if file.contains_key("text_config") {
            text.num_attention_heads = BertConfig::default().num_attention_heads;
        }
        let mut text: BertConfig = overlay(text, file.get("text_config")).map_err(|e| wrong("text_config", e))?;
        text.num_attention_heads = text_heads.unwrap_or(text.num_attention_heads);
        let projection = weights.shape("vision.projection.weight").and_then(|shape| shape.first().copied());
        let projection = projection.ok_or_else(|| absent("projection of images"))?;
        Ok(Self {
            projection_dim: overlay(projection, file.get("projection_dim")).map_err(|e| wrong("projection_dim", e))?,
            vision: overlay(vision, file.get("vision_config")).map_err(|e| wrong("vision_config", e))?,
            text,
        })
    }

    /// Longest text in tokens.
    pub fn context(&self) -> usize {
        self.text.max_position_embeddings.min(CONTEXT)
    }
}

/// `base` with what `file` says otherwise.
fn overlay<T: Serialize + DeserializeOwned>(base: T, file: Option<&Value>) -> serde_json::Result<T> {
    let merged = match (serde_json::to_value(base)?, file) {
        (base, None | Some(Value::Null)) => base,
        (Value::Object(base), Some(Value::Object(file))) => base.into_iter().chain(file.clone()).collect(),
        (_, Some(other)) => other.clone(),
    };
    serde_json::from_value(merged)
}
