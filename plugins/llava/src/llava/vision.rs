//! The dimensions of vision towers, with the defaults of `transformers` (4.53.1).

use std::path::Path;

use blocks::{
    Error, Result,
    layers::{Activation, EncoderConfig},
    vision::VitConfig,
};
use bridge::files::{object, text};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// A vision tower.
#[derive(Debug, Clone, PartialEq)]
pub struct Vision {
    /// Whose it is, which says how images are prepared where no file does.
    pub family: Family,
    /// Its dimensions, with all layers.
    pub vit: VitConfig,
}

/// Whose towers are built in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// OpenAI's CLIP.
    Clip,
    /// Google's SigLIP.
    Siglip,
}

/// The names are those of `transformers.CLIPVisionConfig` and `SiglipVisionConfig`.
#[derive(Clone, Serialize, Deserialize)]
struct Dimensions {
    hidden_size: usize,
    intermediate_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    num_channels: usize,
    image_size: usize,
    patch_size: usize,
    hidden_act: Activation,
    layer_norm_eps: f64,
}

const CLIP: Dimensions = Dimensions {
    hidden_size: 768,
    intermediate_size: 3072,
    num_hidden_layers: 12,
    num_attention_heads: 12,
    num_channels: 3,
    image_size: 224,
    patch_size: 32,
    hidden_act: Activation::QuickGelu,
    layer_norm_eps: 1e-5,
};

const SIGLIP: Dimensions =
    Dimensions { patch_size: 16, hidden_act: Activation::GeluTanh, layer_norm_eps: 1e-6, ..CLIP };

/// OpenAI's ViT-L/14 at 336 pixels, LLaVA's tower.
const LARGE_336: Dimensions = Dimensions {
    hidden_size: 1024,
    intermediate_size: 4096,
    num_hidden_layers: 24,
    num_attention_heads: 16,
    image_size: 336,
    patch_size: 14,
    ..CLIP
};

impl Vision {
    /// `vision_config` of a LLaVA; without it, LLaVA's tower.
    ///
    /// # Errors
    /// It is no configuration of a tower that is built in.
    pub fn of_llava(raw: Option<&Value>) -> std::result::Result<Self, String> {
        match raw {
            None | Some(Value::Null) => Self::new(Family::Clip, LARGE_336),
            Some(Value::Object(raw)) => Self::parse(raw),
            Some(other) => Err(format!("`vision_config` is {other}")),
        }
    }

    /// `config.json` of a tower, alone or beside its text tower, in `dir`.
    ///
    /// # Errors
    /// The file is missing, or of another model.
    pub fn from_dir(dir: &Path) -> Result<Self> {
        let path = dir.join("config.json");
        let raw = object(&path)?;
        let vision = match text(&raw, "model_type", "") {
            "clip" | "siglip" => {
                let mut vision = raw.get("vision_config").and_then(Value::as_object).cloned().unwrap_or_default();
                vision.insert("model_type".into(), format!("{}_vision_model", text(&raw, "model_type", "")).into());
                Self::parse(&vision)
            }
            _ => Self::parse(&raw),
        };
        vision.map_err(|reason| Error::invalid(path, reason))
    }

    /// A tower by its name on the hub, if it is one that LLaVA's authors took.
    pub fn published(name: &str) -> Option<Self> {
        let dimensions = match name {
            "openai/clip-vit-large-patch14-336" => LARGE_336,
            "openai/clip-vit-large-patch14" => Dimensions { image_size: 224, ..LARGE_336 },
            _ => return None,
        };
        Self::new(Family::Clip, dimensions).ok()
    }

    fn parse(raw: &Map<String, Value>) -> std::result::Result<Self, String> {
        let (family, defaults) = match text(raw, "model_type", "clip_vision_model") {
            "clip_vision_model" => (Family::Clip, CLIP),
            "siglip_vision_model" => (Family::Siglip, SIGLIP),
            other => {
                let known = "`clip_vision_model` and `siglip_vision_model`";
                return Err(format!("the vision tower is `{other}`; known are {known}"));
            }
        };
        let wrong = |e: serde_json::Error| format!("not a configuration of a vision tower: {e}");
        let mut merged = serde_json::to_value(defaults).map_err(wrong)?;
        for (key, value) in raw.iter().filter(|(_, value)| !value.is_null()) {
            merged[key] = value.clone();
        }
        Self::new(family, serde_json::from_value(merged).map_err(wrong)?)
    }

    fn new(family: Family, dimensions: Dimensions) -> std::result::Result<Self, String> {
        if dimensions.num_channels != 3 {
            return Err(format!("`num_channels` is {}, expected 3", dimensions.num_channels));
        }
        let is_clip = family == Family::Clip;
        let vit = VitConfig {
            encoder: EncoderConfig {
                width: dimensions.hidden_size,
                depth: dimensions.num_hidden_layers,
                heads: dimensions.num_attention_heads,
                mlp: dimensions.intermediate_size,
                activation: dimensions.hidden_act,
                eps: dimensions.layer_norm_eps,
                fused_qkv: false,
            },
            image_size: dimensions.image_size,
            patch: dimensions.patch_size,
            channels: 3,
            class_token: is_clip,
            pre_norm: is_clip,
            patch_bias: !is_clip,
        };
        Ok(Self { family, vit })
    }
}
