//! `config.json` of a CLIP checkpoint, with the defaults of `transformers.CLIPConfig` (4.53.1).

use std::path::Path;

use blocks::{
    Error, Result,
    layers::{Activation, EncoderConfig},
    text::{ClipTextConfig, Pool},
    vision::VitConfig,
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The end-of-text id of configurations older than transformers 4.31, which is wrong on purpose.
const LEGACY_END: u32 = 2;

/// What the model reads of `config.json`; serialises to a file that `transformers` reads.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ClipConfig {
    /// `clip`.
    pub model_type: String,
    /// Width of the space that images and texts share.
    pub projection_dim: usize,
    /// Initial logarithm of the factor of the cosine.
    pub logit_scale_init_value: f64,
    /// The vision tower.
    pub vision_config: VisionConfig,
    /// The text tower.
    pub text_config: TextConfig,
}

/// `vision_config`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[allow(missing_docs, reason = "the names are those of transformers.CLIPVisionConfig")]
pub struct VisionConfig {
    pub hidden_size: usize,
    pub intermediate_size: usize,
    pub num_hidden_layers: usize,
    pub num_attention_heads: usize,
    pub num_channels: usize,
    pub image_size: usize,
    pub patch_size: usize,
    pub hidden_act: Activation,
    pub layer_norm_eps: f64,
}

/// `text_config`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[allow(missing_docs, reason = "the names are those of transformers.CLIPTextConfig")]
pub struct TextConfig {
    pub vocab_size: usize,
    pub hidden_size: usize,
    pub intermediate_size: usize,
    pub num_hidden_layers: usize,
    pub num_attention_heads: usize,
    pub max_position_embeddings: usize,
    pub hidden_act: Activation,
    pub layer_norm_eps: f64,
    pub eos_token_id: u32,
}

impl ClipConfig {
    /// Reads `config.json` in `dir`.
    ///
    /// # Errors
    /// The file is missing or no CLIP configuration.
    pub fn from_dir(dir: &Path) -> Result<Self> {
        let path = dir.join("config.json");
        let text = std::fs::read_to_string(&path).map_err(|source| Error::Read { path: path.clone(), source })?;
        let wrong = |e: serde_json::Error| Error::invalid(&path, format!("not a CLIP configuration: {e}"));
        let mut raw: Map<String, Value> = serde_json::from_str(&text).map_err(wrong)?;
        for tower in ["vision_config", "text_config"] {
            supersede(&mut raw, tower);
        }
        let config: Self = serde_json::from_value(Value::Object(raw)).map_err(wrong)?;
        match config.model_type.as_str() {
            "clip" => Ok(config),
            other => Err(Error::invalid(&path, format!("`model_type` is `{other}`, expected `clip`"))),
        }
    }

    /// The vision tower.
    pub fn vision(&self) -> VitConfig {
        let c = &self.vision_config;
        VitConfig {
            encoder: EncoderConfig {
                width: c.hidden_size,
                depth: c.num_hidden_layers,
                heads: c.num_attention_heads,
                mlp: c.intermediate_size,
                activation: c.hidden_act,
                eps: c.layer_norm_eps,
                fused_qkv: false,
            },
            image_size: c.image_size,
            patch: c.patch_size,
            channels: c.num_channels,
            class_token: true,
            pre_norm: true,
            patch_bias: false,
        }
    }

    /// The text tower.
    pub fn text(&self) -> ClipTextConfig {
        let c = &self.text_config;
        ClipTextConfig {
            encoder: EncoderConfig {
                width: c.hidden_size,
                depth: c.num_hidden_layers,
                heads: c.num_attention_heads,
                mlp: c.intermediate_size,
                activation: c.hidden_act,
                eps: c.layer_norm_eps,
                fused_qkv: false,
            },
            vocabulary: c.vocab_size,
            context: c.max_position_embeddings,
            pool: if c.eos_token_id == LEGACY_END { Pool::HighestId } else { Pool::First(c.eos_token_id) },
        }
    }
}

impl TextConfig {
    /// Checks that texts, which the tokenizer ends with `eos`, are pooled there.
    ///
    /// # Errors
    /// The configuration names another id.
    pub fn check_end(&self, eos: u32) -> std::result::Result<(), String> {
        match self.eos_token_id {
            LEGACY_END => Ok(()),
            id if id == eos => Ok(()),
            id => Err(format!("config.json says that texts end with id {id}, but the tokenizer ends them with {eos}")),
        }
    }
}

impl Default for ClipConfig {
    fn default() -> Self {
        Self {
            model_type: "clip".into(),
            projection_dim: 512,
            logit_scale_init_value: 2.6592,
            vision_config: VisionConfig::default(),
            text_config: TextConfig::default(),
        }
    }
}

impl Default for VisionConfig {
    fn default() -> Self {
        Self {
            hidden_size: 768,
            intermediate_size: 3072,
            num_hidden_layers: 12,
            num_attention_heads: 12,
            num_channels: 3,
            image_size: 224,
            patch_size: 32,
            hidden_act: Activation::QuickGelu,
            layer_norm_eps: 1e-5,
        }
    }
}

impl Default for TextConfig {
    fn default() -> Self {
        Self {
            vocab_size: 49408,
            hidden_size: 512,
            intermediate_size: 2048,
            num_hidden_layers: 12,
            num_attention_heads: 8,
            max_position_embeddings: 77,
            hidden_act: Activation::QuickGelu,
            layer_norm_eps: 1e-5,
            eos_token_id: 49407,
        }
    }
}

/// Old files repeat a tower's settings as `vision_config_dict` or `text_config_dict`. Where present and not null,
/// that one counts in full: what it leaves out has the default, whatever `vision_config` says.
fn supersede(raw: &mut Map<String, Value>, tower: &str) {
    match raw.remove(&format!("{tower}_dict")) {
        None | Some(Value::Null) => {}
        Some(settings) => {
            raw.insert(tower.to_string(), settings);
        }
    }
    if raw.get(tower).is_some_and(Value::is_null) {
        raw.remove(tower);
    }
}
