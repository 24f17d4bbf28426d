//! The dimensions of SigLIP's tower.

use serde::Deserialize;
use serde_json::{Map, Value};

use super::VitConfig;
use crate::layers::{Activation, EncoderConfig};

/// The names and the defaults are those of `transformers.SiglipVisionConfig`, 4.53.1.
#[derive(Deserialize)]
#[serde(default)]
struct Tower {
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

impl VitConfig {
    /// `vision_config` of a model with SigLIP's tower; what is absent is as `transformers` (4.53.1) has it.
    ///
    /// # Errors
    /// Something is of another type, or it is the configuration of another tower.
    pub fn siglip(raw: &Map<String, Value>) -> Result<Self, String> {
        let told = raw.iter().filter(|(_, value)| !value.is_null());
        let told: Map<_, _> = told.map(|(key, value)| (key.clone(), value.clone())).collect();
        match told.get("model_type").and_then(Value::as_str).unwrap_or("siglip_vision_model") {
            "siglip_vision_model" => {}
            other => return Err(format!("the vision tower is `{other}`, expected `siglip_vision_model`")),
        }
        let tower: Tower = serde_json::from_value(Value::Object(told))
            .map_err(|e| format!("not a configuration of a vision tower: {e}"))?;
        if tower.num_channels != 3 {
            return Err(format!("`num_channels` is {}, expected 3", tower.num_channels));
        }
        Ok(Self {
            encoder: EncoderConfig {
                width: tower.hidden_size,
                depth: tower.num_hidden_layers,
                heads: tower.num_attention_heads,
                mlp: tower.intermediate_size,
                activation: tower.hidden_act,
                eps: tower.layer_norm_eps,
                fused_qkv: false,
            },
            image_size: tower.image_size,
            patch: tower.patch_size,
            channels: tower.num_channels,
            class_token: false,
            pre_norm: false,
            patch_bias: true,
        })
    }
}

impl Default for Tower {
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
        }
    }
}
