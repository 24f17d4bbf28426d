//! `config.json` of Qwen's checkpoints, with the defaults of `transformers` (4.53.1, and 4.57.6 for Qwen3-VL).

use std::path::Path;

use blocks::{Error, Result, decoder::LlamaConfig, vision::QwenVitConfig};
use serde_json::{Map, Value};

use super::Family;

/// A refusal, to which the file is added.
pub type Parsed<T> = std::result::Result<T, String>;

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
    /// Reads `config.json` in `dir`, that of a `family`, and `generation_config.json` where there is one.
    ///
    /// # Errors
    /// A file is missing or corrupt, or `config.json` is that of another model.
    pub fn from_dir(dir: &Path, family: &Family) -> Result<Self> {
        let path = dir.join("config.json");
        let raw = read(&path)?;
        let mut config = Self::parse(&raw, family).map_err(|reason| Error::invalid(&path, reason))?;
        let generation = dir.join("generation_config.json");
        if generation.is_file() {
            let ends = ids(&read(&generation)?, "eos_token_id").map_err(|reason| Error::invalid(generation, reason))?;
            config.stop_ids = ends.or(config.stop_ids);
        }
        Ok(config)
    }

    fn parse(raw: &Map<String, Value>, family: &Family) -> Parsed<Self> {
        let (found, expected) = (raw.get("model_type").and_then(Value::as_str).unwrap_or_default(), family.name);
        if found == format!("{expected}_moe") {
            return Err(format!("`model_type` is `{found}`, a mixture of experts, which `{expected}` is not"));
        }
        if found != expected {
            return Err(format!("`model_type` is `{found}`, expected `{expected}`"));
        }
        // The hub's files have the language model's keys beside the others, those of `transformers` in a part of their own.
        let words = raw.get("text_config").and_then(Value::as_object).unwrap_or(raw);
        let text = (family.text)(words)?;
        let vision = raw.get("vision_config").and_then(Value::as_object).cloned().unwrap_or_default();
        let vision = (family.tower)(&vision).map_err(|e| format!("not a configuration of a vision tower: {e}"))?;
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
