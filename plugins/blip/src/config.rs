//! `config.json` of BLIP and BLIP-2 checkpoints, with the defaults of `transformers` (4.53.1).

use std::path::Path;

use blocks::{
    Error, Result,
    layers::{Activation, EncoderConfig},
    text::{BertConfig, Crossing},
    vision::VitConfig,
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};

/// What a model reads of `config.json`.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Class of `transformers` that wrote the checkpoint, where the file names it.
    pub class: Option<String>,
    /// The vision tower.
    pub vision: VitConfig,
    /// The text tower of BLIP, the Q-Former of BLIP-2.
    pub text: BertConfig,
    /// Width of the space in which images and texts are compared.
    pub dim: usize,
    /// Queries of the Q-Former; 0 in BLIP.
    pub queries: usize,
    /// Id that BLIP's decoder starts with.
    pub start: u32,
    /// Id that ends a text of BLIP's decoder.
    pub separator: u32,
}

/// `vision_config`; the names are those of `transformers.BlipVisionConfig` and `Blip2VisionConfig`.
#[derive(Serialize, Deserialize)]
struct Vision {
    hidden_size: usize,
    intermediate_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    image_size: usize,
    patch_size: usize,
    hidden_act: Activation,
    layer_norm_eps: f64,
    qkv_bias: bool,
}

/// What `qformer_config` has beside the dimensions of BERT.
#[derive(Serialize, Deserialize)]
struct Queries {
    cross_attention_frequency: usize,
    use_qformer_text_input: bool,
}

/// What BLIP's `text_config` has beside the dimensions of BERT.
#[derive(Serialize, Deserialize)]
struct Ends {
    bos_token_id: u32,
    sep_token_id: u32,
}

const BLIP_VISION: Vision = Vision {
    hidden_size: 768,
    intermediate_size: 3072,
    num_hidden_layers: 12,
    num_attention_heads: 12,
    image_size: 384,
    patch_size: 16,
    hidden_act: Activation::Gelu,
    layer_norm_eps: 1e-5,
    qkv_bias: true,
};

const BLIP2_VISION: Vision = Vision {
    hidden_size: 1408,
    intermediate_size: 6144,
    num_hidden_layers: 39,
    num_attention_heads: 16,
    image_size: 224,
    patch_size: 14,
    layer_norm_eps: 1e-6,
    ..BLIP_VISION
};

impl Config {
    /// Reads the `config.json` of a BLIP checkpoint in `dir`; reference `transformers.BlipConfig`.
    ///
    /// # Errors
    /// The file is missing or no BLIP configuration.
    pub fn blip(dir: &Path) -> Result<Self> {
        read(dir, "blip", |raw| {
            let vision: Vision = overlay(BLIP_VISION, raw.get("vision_config"))?;
            let defaults = BertConfig { vocab_size: 30524, num_attention_heads: 8, ..BertConfig::default() };
            let text = overlay(defaults, raw.get("text_config"))?;
            let crossing = Crossing { every: 1, width: vision.hidden_size, query_mlp: false };
            let ends = overlay(Ends { bos_token_id: 30522, sep_token_id: 102 }, raw.get("text_config"))?;
            let config = Self::new(raw, vision, text, crossing, 0)?;
            Ok(Self { start: ends.bos_token_id, separator: ends.sep_token_id, ..config })
        })
    }

    /// Reads the `config.json` of a BLIP-2 checkpoint in `dir`; reference `transformers.Blip2Config`.
    ///
    /// # Errors
    /// The file is missing or no configuration of a BLIP-2 whose Q-Former reads texts.
    pub fn blip2(dir: &Path) -> Result<Self> {
        read(dir, "blip-2", |raw| {
            let vision: Vision = overlay(BLIP2_VISION, raw.get("vision_config"))?;
            let (text, queries) = Self::qformer(raw)?;
            if !queries.use_qformer_text_input {
                return Err("`use_qformer_text_input` is false, so this Q-Former reads no texts".into());
            }
            let crossing =
                Crossing { every: queries.cross_attention_frequency, width: vision.hidden_size, query_mlp: true };
            Self::new(raw, vision, text, crossing, positive(raw, "num_query_tokens", 32)?)
        })
    }

    /// What [`Config::blip2`] reads, of a BLIP-2 whose Q-Former sees images only.
    ///
    /// # Errors
    /// It reads texts, or a value is of no use.
    pub(crate) fn blip2_with_language(raw: &Map<String, Value>) -> std::result::Result<Self, String> {
        let vision: Vision = overlay(BLIP2_VISION, raw.get("vision_config"))?;
        let (text, queries) = Self::qformer(raw)?;
        if queries.use_qformer_text_input {
            return Err(
                "`use_qformer_text_input` is true, but a Q-Former before a language model reads no texts".into()
            );
        }
        let crossing =
            Crossing { every: queries.cross_attention_frequency, width: vision.hidden_size, query_mlp: false };
        let text = BertConfig { vocab_size: 0, ..text };
        Self::new(raw, vision, text, crossing, positive(raw, "num_query_tokens", 32)?)
    }

    fn qformer(raw: &Map<String, Value>) -> std::result::Result<(BertConfig, Queries), String> {
        let defaults = Queries { cross_attention_frequency: 2, use_qformer_text_input: false };
        Ok((overlay(BertConfig::default(), raw.get("qformer_config"))?, overlay(defaults, raw.get("qformer_config"))?))
    }

    fn new(
        raw: &Map<String, Value>,
        vision: Vision,
        text: BertConfig,
        crossing: Crossing,
        queries: usize,
    ) -> std::result::Result<Self, String> {
        if !vision.qkv_bias {
            return Err("`qkv_bias` is false, but a vision tower without these biases is not built in".into());
        }
        Ok(Self {
            class: raw.get("architectures").and_then(|classes| Some(classes.get(0)?.as_str()?.to_string())),
            vision: VitConfig {
                encoder: EncoderConfig {
                    width: vision.hidden_size,
                    depth: vision.num_hidden_layers,
                    heads: vision.num_attention_heads,
                    mlp: vision.intermediate_size,
                    activation: vision.hidden_act,
                    eps: vision.layer_norm_eps,
                    fused_qkv: true,
                },
                image_size: vision.image_size,
                patch: vision.patch_size,
                channels: 3,
                class_token: true,
                pre_norm: false,
                patch_bias: true,
            },
            text: BertConfig { type_vocab_size: 0, crossing: Some(crossing), ..text },
            dim: positive(raw, "image_text_hidden_size", 256)?,
            queries,
            start: 0,
            separator: 0,
        })
    }
}

pub(crate) fn read<T>(
    dir: &Path,
    model_type: &str,
    parse: impl FnOnce(&Map<String, Value>) -> std::result::Result<T, String>,
) -> Result<T> {
    let path = dir.join("config.json");
    let raw: Map<String, Value> = json(&path)?;
    match raw.get("model_type").and_then(Value::as_str) {
        Some(found) if found == model_type => parse(&raw).map_err(|reason| Error::invalid(&path, reason)),
        found => {
            let found = found.unwrap_or_default();
            Err(Error::invalid(&path, format!("`model_type` is `{found}`, expected `{model_type}`")))
        }
    }
}

/// Reads a JSON file.
pub(crate) fn json<T: DeserializeOwned>(path: &Path) -> Result<T> {
    let text = std::fs::read_to_string(path).map_err(|source| Error::Read { path: path.to_path_buf(), source })?;
    serde_json::from_str(&text).map_err(|e| Error::invalid(path, format!("not a configuration: {e}")))
}

/// `defaults`, with what the file says instead; null says nothing.
fn overlay<T: Serialize + DeserializeOwned>(defaults: T, raw: Option<&Value>) -> std::result::Result<T, String> {
    let wrong = |e: serde_json::Error| format!("not a configuration of this model: {e}");
    let mut merged = serde_json::to_value(defaults).map_err(wrong)?;
    for (key, value) in raw.and_then(Value::as_object).into_iter().flatten().filter(|(_, value)| !value.is_null()) {
        merged[key] = value.clone();
    }
    serde_json::from_value(merged).map_err(wrong)
}

fn positive(raw: &Map<String, Value>, key: &str, default: usize) -> std::result::Result<usize, String> {
    match raw.get(key).unwrap_or(&Value::Null) {
        Value::Null => Ok(default),
        value => value
            .as_u64()
            .filter(|&n| n > 0)
            .map(|n| n as usize)
            .ok_or_else(|| format!("`{key}` is {value}, expected a positive number")),
    }
}
