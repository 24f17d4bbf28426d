//! The small files of a Gemma 3, with the defaults of `transformers.Gemma3Config` and `Gemma3Processor` (4.53.1).

use std::path::Path;

use blocks::{Error, Result, decoder::GemmaConfig, vision::VitConfig};
use serde_json::{Map, Value};

/// A refusal, to which the file is added.
type Parsed<T> = std::result::Result<T, String>;

/// What a model reads of `config.json`, `generation_config.json` and `processor_config.json`.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// The language model.
    pub text: GemmaConfig,
    /// The vision tower.
    pub vision: VitConfig,
    /// Tokens of an image, as the model was trained with them; a square number.
    pub tokens_per_image: usize,
    /// Id that stands for a token of an image.
    pub image_id: u32,
    /// Ids that end an answer; none where no file says.
    pub stop_ids: Option<Vec<u32>>,
}

impl Config {
    /// Reads the files in `dir`, of which only `config.json` has to be there.
    ///
    /// # Errors
    /// A file is missing or corrupt, `config.json` is none of a Gemma 3 that sees, or the files contradict each other.
    pub fn from_dir(dir: &Path) -> Result<Self> {
        let path = dir.join("config.json");
        let mut config = Self::parse(&read(&path)?).map_err(|reason| Error::invalid(&path, reason))?;
        let path = dir.join("generation_config.json");
        if path.is_file() {
            let ends = ids(&read(&path)?).map_err(|reason| Error::invalid(&path, reason))?;
            config.stop_ids = ends.or(config.stop_ids);
        }
        let path = dir.join("processor_config.json");
        if path.is_file() {
            let told = read(&path)?.get("image_seq_length").and_then(Value::as_u64).unwrap_or(256);
            let yielded = config.side() / config.square();
            if told as usize != yielded * yielded {
                let reason = format!(
                    "`image_seq_length` is {told}, but the vision tower of `config.json` yields {} tokens of an image",
                    yielded * yielded
                );
                return Err(Error::invalid(path, reason));
            }
        }
        Ok(config)
    }

    /// Patches along the side of an image.
    pub fn side(&self) -> usize {
        self.vision.image_size / self.vision.patch
    }

    /// Patches along the side of a square that becomes one token.
    pub fn square(&self) -> usize {
        self.side() / self.tokens_per_image.isqrt()
    }

    fn parse(raw: &Map<String, Value>) -> Parsed<Self> {
        let kind = raw.get("model_type").and_then(Value::as_str).unwrap_or_default();
        if kind != "gemma3" {
            return Err(format!("`model_type` is `{kind}`, expected `gemma3`"));
        }
        let none = Map::new();
        let part = |key: &str| raw.get(key).and_then(Value::as_object).unwrap_or(&none);
        let number = |key: &str, default: u64| match raw.get(key) {
            None | Some(Value::Null) => Ok(default),
            Some(value) => value.as_u64().ok_or_else(|| format!("`{key}` is {value}, expected a number")),
        };
        // The reference knows it by either name.
        let image_id = number("image_token_id", number("image_token_index", 262_144)?)?;
        let config = Self {
            text: GemmaConfig::parse(part("text_config"))?,
            vision: VitConfig::siglip(part("vision_config"))?,
            tokens_per_image: number("mm_tokens_per_image", 256)? as usize,
            image_id: u32::try_from(image_id).map_err(|_| format!("{image_id} is no id of a token"))?,
            stop_ids: ids(raw)?.map_or_else(|| ids(part("text_config")), |ids| Ok(Some(ids)))?,
        };
        let (tokens, patch, image) = (config.tokens_per_image, config.vision.patch, config.vision.image_size);
        if patch == 0 || tokens == 0 || config.side() < tokens.isqrt() {
            return Err(format!("{tokens} tokens cannot be made of an image of {image} pixels in patches of {patch}"));
        }
        Ok(config)
    }
}

/// Reads a JSON object.
pub fn read(path: &Path) -> Result<Map<String, Value>> {
    let text = std::fs::read_to_string(path).map_err(|source| Error::Read { path: path.to_path_buf(), source })?;
    serde_json::from_str(&text).map_err(|e| Error::invalid(path, format!("not a configuration: {e}")))
}

/// `eos_token_id`: a number or a list of them; null says nothing.
fn ids(raw: &Map<String, Value>) -> Parsed<Option<Vec<u32>>> {
    let id = |value: &Value| {
        let id = value.as_u64().and_then(|id| u32::try_from(id).ok());
        id.ok_or_else(|| format!("`eos_token_id` has {value}, which is no id of a token"))
    };
    match raw.get("eos_token_id") {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Array(ids)) => ids.iter().map(id).collect::<Parsed<_>>().map(Some),
        Some(value) => Ok(Some(vec![id(value)?])),
    }
}
