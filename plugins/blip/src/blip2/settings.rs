//! What a BLIP-2 with a language model reads of its small files.

use std::path::Path;

use blocks::{Result, decoder::OptConfig};
use serde_json::{Map, Value};

use crate::config::{Config, json, read};

/// The class whose checkpoints write.
const CLASS: &str = "Blip2ForConditionalGeneration";

/// `config.json`, `generation_config.json` and `processor_config.json`; reference `transformers.Blip2Config` and
/// `Blip2Processor`, 4.53.1.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// Vision tower and Q-Former.
    pub image: Config,
    /// The language model.
    pub language: OptConfig,
    /// Id that stands for a query in prompts, where `config.json` names one.
    pub image_token: Option<u32>,
    /// Image tokens that the processor puts before a text; 0 in older checkpoints.
    pub inserted: usize,
    /// Ids that end an answer.
    pub stop: Vec<u32>,
}

impl Settings {
    /// Reads the files in `dir`.
    ///
    /// # Errors
    /// `config.json` is missing or no configuration of a BLIP-2 with OPT, or a file is corrupt.
    pub fn from_dir(dir: &Path) -> Result<Self> {
        let generation = optional(dir, "generation_config.json")?;
        let processor = optional(dir, "processor_config.json")?;
        read(dir, "blip-2", |raw| {
            let image = Config::blip2_with_language(raw)?;
            if let Some(class) = image.class.as_deref().filter(|class| *class != CLASS) {
                return Err(format!("`architectures` is `{class}`, expected `{CLASS}`"));
            }
            let none = Map::new();
            let text = raw.get("text_config").and_then(Value::as_object).unwrap_or(&none);
            if let Some(kind) = text.get("model_type").and_then(Value::as_str).filter(|kind| *kind != "opt") {
                return Err(format!("`model_type` of `text_config` is `{kind}`, but only `opt` is built in"));
            }
            // The language model generates by its own configuration; OPT's default is 2.
            let mut stop = ids(text.get("eos_token_id").filter(|ids| !ids.is_null()).unwrap_or(&Value::from(2)))?;
            stop.extend(ids(&generation["eos_token_id"])?);
            Ok(Self {
                image,
                language: OptConfig::parse(text)?,
                image_token: ids(raw.get("image_token_index").unwrap_or(&Value::Null))?.first().copied(),
                inserted: processor["num_query_tokens"].as_u64().unwrap_or(0) as usize,
                stop,
            })
        })
    }
}

/// A number, several, or none.
pub fn ids(value: &Value) -> std::result::Result<Vec<u32>, String> {
    let id = |value: &Value| value.as_u64().and_then(|id| u32::try_from(id).ok());
    let several = match value {
        Value::Null => Some(Vec::new()),
        Value::Array(values) => values.iter().map(id).collect(),
        one => id(one).map(|id| vec![id]),
    };
    several.ok_or_else(|| format!("{value} is no token id, nor several"))
}

fn optional(dir: &Path, name: &str) -> Result<Value> {
    let path = dir.join(name);
    if !path.is_file() {
        return Ok(Value::Null);
    }
    json(&path)
}
