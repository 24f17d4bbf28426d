//! Architecture `qwen2_vl`: Qwen2-VL (Wang et al. 2024), and what every later model of the family shares with it.
//!
//! Reference: `transformers.Qwen2VLForConditionalGeneration` and `Qwen2VLProcessor`, 4.53.1.

mod added;
mod config;
mod family;
pub mod keys;
mod model;
mod pictures;
mod positions;
mod wording;

use blocks::{
    decoder::{LlamaConfig, RopeScaling},
    image::PatchProcessor,
    layers::Activation,
    vision::{QwenStyle, QwenVitConfig},
};
use bridge::reader::Generator;
use plugin_api::{Open, Result, register};
use serde::Deserialize;
use serde_json::{Map, Value, json};

pub use config::Parsed;
pub use family::{Family, with_defaults};
pub use model::QwenVl;

register!("qwen2_vl", "Qwen2-VL: a tower for images of any size, and Qwen2", [Generate, Choose], open);

/// Qwen2-VL.
pub const FAMILY: Family = Family {
    name: "qwen2_vl",
    options: &[],
    tower,
    text,
    names: &keys::QWEN2,
    processor: PatchProcessor::from_dir,
    system: "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n",
};

/// The names are those of `transformers.Qwen2VLVisionConfig`.
#[derive(Deserialize)]
#[serde(default)]
struct Tower {
    depth: usize,
    embed_dim: usize,
    hidden_size: usize,
    hidden_act: Activation,
    mlp_ratio: f64,
    num_heads: usize,
    in_channels: usize,
    patch_size: usize,
    spatial_merge_size: usize,
    temporal_patch_size: usize,
}

impl Default for Tower {
    fn default() -> Self {
        Self {
            depth: 32,
            embed_dim: 1280,
            hidden_size: 3584,
            hidden_act: Activation::QuickGelu,
            mlp_ratio: 4.0,
            num_heads: 16,
            in_channels: 3,
            patch_size: 14,
            spatial_merge_size: 2,
            temporal_patch_size: 2,
        }
    }
}

/// Opens a checkpoint. Options are `side`, to whose square images are brought first, and `max_pixels`, in place of what
/// `preprocessor_config.json` says.
///
/// # Errors
/// A file is missing or corrupt, a tensor is missing, unused or misshapen, or an option is unknown.
pub fn open(open: Open) -> Result<Generator<QwenVl>> {
    QwenVl::open(&open, &FAMILY)
}

/// Qwen2 with defaults of its own.
fn text(raw: &Map<String, Value>) -> Parsed<LlamaConfig> {
    let defaults = json!({
        "vocab_size": 152_064, "hidden_size": 8192, "intermediate_size": 29_568, "num_hidden_layers": 80,
        "num_attention_heads": 64, "num_key_value_heads": 8, "rms_norm_eps": 1e-5, "rope_theta": 1e6,
        "max_window_layers": 80
    });
    let text = LlamaConfig::parse("qwen2", &with_defaults(raw, &defaults))?;
    match text.rope_scaling {
        Some(RopeScaling::Mrope { .. }) => Ok(text),
        _ => Err("`rope_scaling` has no `mrope_section`".into()),
    }
}

fn tower(raw: &Map<String, Value>) -> serde_json::Result<QwenVitConfig> {
    let tower: Tower = serde_json::from_value(Value::Object(raw.clone()))?;
    Ok(QwenVitConfig {
        width: tower.embed_dim,
        depth: tower.depth,
        heads: tower.num_heads,
        mlp: (tower.embed_dim as f64 * tower.mlp_ratio) as usize,
        style: QwenStyle::Plain(tower.hidden_act),
        channels: tower.in_channels,
        frames: tower.temporal_patch_size,
        patch: tower.patch_size,
        patch_bias: false,
        positions: None,
        merge: tower.spatial_merge_size,
        output: tower.hidden_size,
        windows: None,
        taps: Vec::new(),
    })
}
