//! Architecture `qwen3_vl`: Qwen3-VL (Bai et al. 2025), dense models.
//!
//! It differs from Qwen2-VL in the tower, whose positions are learned and whose lower layers give vectors too, which the
//! first layers of Qwen3 add to those of the image (DeepStack, Meng et al. 2024).
//!
//! Reference: `transformers.Qwen3VLForConditionalGeneration` and `Qwen3VLProcessor`, 4.57.6.

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

use crate::qwen2_vl::{Family, Parsed, QwenVl, keys, with_defaults};

register!("qwen3_vl", "Qwen3-VL: a tower that is seen through at several depths, and Qwen3", [Generate, Choose], open);

/// Qwen3-VL. Its processor was published as one on tensors only.
const FAMILY: Family = Family {
    name: "qwen3_vl",
    options: &[],
    tower,
    text,
    names: &keys::QWEN3,
    processor: PatchProcessor::fast_from_dir,
    system: "",
};

/// The names are those of `transformers.Qwen3VLVisionConfig`.
#[derive(Deserialize)]
#[serde(default)]
struct Tower {
    depth: usize,
    hidden_size: usize,
    hidden_act: Activation,
    intermediate_size: usize,
    num_heads: usize,
    in_channels: usize,
    patch_size: usize,
    spatial_merge_size: usize,
    temporal_patch_size: usize,
    out_hidden_size: usize,
    num_position_embeddings: usize,
    deepstack_visual_indexes: Vec<usize>,
}

impl Default for Tower {
    fn default() -> Self {
        Self {
            depth: 27,
            hidden_size: 1152,
            hidden_act: Activation::GeluTanh,
            intermediate_size: 4304,
            num_heads: 16,
            in_channels: 3,
            patch_size: 16,
            spatial_merge_size: 2,
            temporal_patch_size: 2,
            out_hidden_size: 3584,
            num_position_embeddings: 2304,
            deepstack_visual_indexes: vec![8, 16, 24],
        }
    }
}

/// Opens a checkpoint. Options are those of `qwen2_vl`.
///
/// # Errors
/// A file is missing or corrupt, a tensor is missing, unused or misshapen, or an option is unknown.
pub fn open(open: Open) -> Result<Generator<QwenVl>> {
    QwenVl::open(&open, &FAMILY)
}

/// Qwen3 with defaults of its own.
fn text(raw: &Map<String, Value>) -> Parsed<LlamaConfig> {
    let defaults = json!({"num_hidden_layers": 32, "rope_theta": 5e6, "max_position_embeddings": 128_000});
    let mut merged = with_defaults(raw, &defaults);
    // The axes take turns, whatever the file says.
    if let Some(scaling) = merged.get_mut("rope_scaling").and_then(Value::as_object_mut) {
        scaling.entry("mrope_section").or_insert_with(|| json!([24, 20, 20]));
        scaling.insert("mrope_interleaved".into(), json!(true));
    }
    // Unlike Qwen3 itself, it has no windows.
    merged.insert("use_sliding_window".into(), json!(false));
    let text = LlamaConfig::parse("qwen3", &merged)?;
    match text.rope_scaling {
        Some(RopeScaling::Mrope { .. }) => Ok(text),
        _ => Err("`rope_scaling` gives no frequencies to time, height and width".into()),
    }
}

fn tower(raw: &Map<String, Value>) -> serde_json::Result<QwenVitConfig> {
    let tower: Tower = serde_json::from_value(Value::Object(raw.clone()))?;
    Ok(QwenVitConfig {
        width: tower.hidden_size,
        depth: tower.depth,
        heads: tower.num_heads,
        mlp: tower.intermediate_size,
        style: QwenStyle::Plain(tower.hidden_act),
        channels: tower.in_channels,
        frames: tower.temporal_patch_size,
        patch: tower.patch_size,
        patch_bias: true,
        positions: Some(tower.num_position_embeddings),
        merge: tower.spatial_merge_size,
        output: tower.out_hidden_size,
        windows: None,
        taps: tower.deepstack_visual_indexes,
    })
}
