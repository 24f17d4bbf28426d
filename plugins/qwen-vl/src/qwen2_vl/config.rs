//! `config.json` of Qwen's checkpoints, with the defaults of `transformers` (4.53.1).

use std::path::Path;

use blocks::{
    Error, Result,
    decoder::{LlamaConfig, RopeScaling},
    vision::QwenVitConfig,
};
use serde_json::{Map, Value, json};

/// A refusal, to which the file is added.
type Parsed<T> = std::result::Result<T, String>;

/// Reads `vision_config`.
pub type Tower = fn(&Map<String, Value>) -> std::result::Result<QwenVitConfig, serde_json::Error>;

/// What a model reads of `config.json`.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// The language model.
    pub text: LlamaConfig,
    /// The vision tower.
    pub vision: QwenVitConfig,
    /// Id of the token that stands for a vector of an image.
    pub image_id: u32,
    /// Id of the token before an image, where the file names one.
    pub start_id: Option<u32>,
    /// Ids that end an answer; none where no file says.
    pub stop_ids: Option<Vec<u32>>,
}

impl Config {
    /// Reads `config.json` in `dir`, whose `model_type` is `kind`, and `generation_config.json` where there is one.
    ///
    /// # Errors
    /// A file is missing or corrupt, or `config.json` is that of another model.
    pub fn from_dir(dir: &Path, kind: &str, tower: Tower) -> Result<Self> {
        let path = dir.join("config.json");
        let raw = read(&path)?;
        let mut config = Self::parse(&raw, kind, tower).map_err(|reason| Error::invalid(&path, reason))?;
        let generation = dir.join("generation_config.json");
        if generation.is_file() {
            let ends = ids(&read(&generation)?, "eos_token_id").map_err(|reason| Error::invalid(generation, reason))?;
            config.stop_ids = ends.or(config.stop_ids);
        }
        Ok(config)
    }

    fn parse(raw: &Map<String, Value>, kind: &str, tower: Tower) -> Parsed<Self> {
        let found = raw.get("model_type").and_then(Value::as_str).unwrap_or_default();
        if found != kind {
            return Err(format!("`model_type` is `{found}`, expected `{kind}`"));
        }
        // The hub's files have the language model's keys beside the others, those of `transformers` in a part of their own.
        let words = raw.get("text_config").and_then(Value::as_object).unwrap_or(raw);
        let text = text(words)?;
        let vision = raw.get("vision_config").and_then(Value::as_object).cloned().unwrap_or_default();
        let vision = tower(&vision).map_err(|e| format!("not a configuration of a vision tower: {e}"))?;
        if vision.channels != 3 {
            return Err(format!("`in_channels` is {}, expected 3", vision.channels));
        }
        if vision.output != text.hidden_size {
            let (found, expected) = (vision.output, text.hidden_size);
            return Err(format!("the tower gives vectors of {found}, but the language model takes {expected}"));
        }
        let stop_ids = [raw, words].into_iter().map(|part| ids(part, "eos_token_id")).collect::<Parsed<Vec<_>>>()?;
        Ok(Self {
            text,
            vision,
            image_id: raw.get("image_token_id").map_or(Ok(151_655), id)?,
            start_id: raw.get("vision_start_token_id").filter(|value| !value.is_null()).map(id).transpose()?,
            stop_ids: stop_ids.into_iter().flatten().next(),
        })
    }
}

/// The language model, Qwen2 with defaults of its own.
fn text(raw: &Map<String, Value>) -> Parsed<LlamaConfig> {
    let defaults = json!({
        "vocab_size": 152_064, "hidden_size": 8192, "intermediate_size": 29_568, "num_hidden_layers": 80,
        "num_attention_heads": 64, "num_key_value_heads": 8, "rms_norm_eps": 1e-5, "rope_theta": 1e6,
        "max_window_layers": 80
    });
    let mut merged = raw.clone();
    for (key, value) in defaults.as_object().into_iter().flatten() {
        merged.entry(key).or_insert_with(|| value.clone());
    }
    let text = LlamaConfig::parse("qwen2", &merged)?;
    match text.rope_scaling {
        Some(RopeScaling::Mrope { .. }) => Ok(text),
        _ => Err("`rope_scaling` has no `mrope_section`".into()),
    }
}

fn read(path: &Path) -> Result<Map<String, Value>> {
    let text = std::fs::read_to_string(path).map_err(|source| Error::Read { path: path.to_path_buf(), source })?;
    serde_json::from_str(&text).map_err(|e| Error::invalid(path, format!("not a configuration: {e}")))
}

/// A number or a list of them; null says nothing.
fn ids(raw: &Map<String, Value>, key: &str) -> Parsed<Option<Vec<u32>>> {
    match raw.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Array(ids)) => ids.iter().map(id).collect::<Parsed<_>>().map(Some),
        Some(value) => Ok(Some(vec![id(value)?])),
    }
}

fn id(value: &Value) -> Parsed<u32> {
    let id = value.as_u64().and_then(|id| u32::try_from(id).ok());
    id.ok_or_else(|| format!("{value} is no id of a token"))
}
