//! `config.json` of a SigLIP checkpoint, with the defaults of `transformers.SiglipConfig` (4.53.1).

use std::path::Path;

use blocks::{
    Error, Result,
    layers::{Activation, EncoderConfig},
    text::SiglipTextConfig,
    vision::VitConfig,
};
use serde::{Deserialize, Serialize};

/// What the model reads of `config.json`; serialises to a file that `transformers` reads.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SiglipConfig {
    /// `siglip`.
    pub model_type: String,
    /// The vision tower; null means the defaults.
    pub vision_config: Option<VisionConfig>,
    /// The text tower; null means the defaults.
    pub text_config: Option<TextConfig>,
}

/// `vision_config`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[allow(missing_docs, reason = "the names are those of transformers.SiglipVisionConfig")]
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
    pub vision_use_head: bool,
}

/// `text_config`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[allow(missing_docs, reason = "the names are those of transformers.SiglipTextConfig")]
pub struct TextConfig {
    pub vocab_size: usize,
    pub hidden_size: usize,
    pub intermediate_size: usize,
    pub num_hidden_layers: usize,
    pub num_attention_heads: usize,
    pub max_position_embeddings: usize,
    pub hidden_act: Activation,
    pub layer_norm_eps: f64,
    /// The width of the text tower, where absent.
    pub projection_size: Option<usize>,
}

impl SiglipConfig {
    /// Reads `config.json` in `dir`.
    ///
    /// # Errors
    /// The file is missing or no SigLIP configuration, or the towers do not meet in one space.
    pub fn from_dir(dir: &Path) -> Result<Self> {
        let path = dir.join("config.json");
        let text = std::fs::read_to_string(&path).map_err(|source| Error::Read { path: path.clone(), source })?;
        let config: Self = serde_json::from_str(&text)
            .map_err(|e| Error::invalid(&path, format!("not a SigLIP configuration: {e}")))?;
        config.check().map_err(|reason| Error::invalid(&path, reason))?;
        Ok(config)
    }

    /// The vision tower.
    pub fn vision(&self) -> VitConfig {
        let c = self.vision_config.clone().unwrap_or_default();
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
            class_token: false,
            pre_norm: false,
            patch_bias: true,
        }
    }

    /// The text tower.
    pub fn text(&self) -> SiglipTextConfig {
        let c = self.text_config.clone().unwrap_or_default();
        SiglipTextConfig {
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
            output: c.projection_size.unwrap_or(c.hidden_size),
        }
    }

    fn check(&self) -> std::result::Result<(), String> {
        let (image, text) = (self.vision().encoder.width, self.text().output);
        match self.model_type.as_str() {
            "siglip" if self.vision_config.as_ref().is_some_and(|vision| !vision.vision_use_head) => {
                Err("`vision_use_head` is false, so images have no embedding".into())
            }
            "siglip" if image != text => Err(format!("images have {image} features, but texts have {text}")),
            "siglip" => Ok(()),
            other => Err(format!("`model_type` is `{other}`, expected `siglip`")),
        }
    }
}

impl Default for SiglipConfig {
    fn default() -> Self {
        Self { model_type: "siglip".into(), vision_config: None, text_config: None }
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
            patch_size: 16,
            hidden_act: Activation::GeluTanh,
            layer_norm_eps: 1e-6,
            vision_use_head: true,
        }
    }
}

impl Default for TextConfig {
    fn default() -> Self {
        Self {
            vocab_size: 32000,
            hidden_size: 768,
            intermediate_size: 3072,
            num_hidden_layers: 12,
            num_attention_heads: 12,
            max_position_embeddings: 64,
            hidden_act: Activation::GeluTanh,
            layer_norm_eps: 1e-6,
            projection_size: None,
        }
    }
}
