//! Architecture `qwen2_5_vl`: Qwen2.5-VL (Bai et al. 2025) and Lingshu (Xu et al. 2025).
//!
//! It differs from Qwen2-VL in the tower, most of whose layers see windows of the image only.
//!
//! Reference: `transformers.Qwen2_5_VLForConditionalGeneration` and `Qwen2_5_VLProcessor`, 4.53.1.

use blocks::vision::{QwenStyle, QwenVitConfig, QwenWindows};
use bridge::reader::Generator;
use plugin_api::{Open, Result, register};
use serde::{Deserialize, de::Error};
use serde_json::{Map, Value};

use crate::qwen2_vl::{self, Family, QwenVl};

register!("qwen2_5_vl", "Qwen2.5-VL: a tower that looks through windows, and Qwen2.5", [Generate, Choose], open);

/// Qwen2.5-VL.
const FAMILY: Family = Family { name: "qwen2_5_vl", options: &["compat"], tower, ..qwen2_vl::FAMILY };

/// The names are those of `transformers.Qwen2_5_VLVisionConfig`.
#[derive(Deserialize)]
#[serde(default)]
struct Tower {
    depth: usize,
    hidden_size: usize,
    hidden_act: String,
    intermediate_size: usize,
    num_heads: usize,
    in_channels: usize,
    patch_size: usize,
    spatial_merge_size: usize,
    temporal_patch_size: usize,
    window_size: usize,
    out_hidden_size: usize,
    fullatt_block_indexes: Vec<usize>,
}

impl Default for Tower {
    fn default() -> Self {
        Self {
            depth: 32,
            hidden_size: 3584,
            hidden_act: "silu".into(),
            intermediate_size: 3420,
            num_heads: 16,
            in_channels: 3,
            patch_size: 14,
            spatial_merge_size: 2,
            temporal_patch_size: 2,
            window_size: 112,
            out_hidden_size: 3584,
            fullatt_block_indexes: vec![7, 15, 23, 31],
        }
    }
}

/// Opens a checkpoint. Options are those of `qwen2_vl`, and `compat = "medvlmbench"`: images are brought to 224 pixels a
/// side unless `side` says otherwise, as that benchmark does with Lingshu.
///
/// # Errors
/// A file is missing or corrupt, a tensor is missing, unused or misshapen, or an option is unknown.
pub fn open(open: Open) -> Result<Generator<QwenVl>> {
    QwenVl::open(&open, &FAMILY)
}

fn tower(raw: &Map<String, Value>) -> serde_json::Result<QwenVitConfig> {
    let tower: Tower = serde_json::from_value(Value::Object(raw.clone()))?;
    if tower.hidden_act != "silu" {
        return Err(Error::custom(format!("`hidden_act` is `{}`, expected `silu`", tower.hidden_act)));
    }
    let cell = tower.spatial_merge_size * tower.patch_size;
    Ok(QwenVitConfig {
        width: tower.hidden_size,
        depth: tower.depth,
        heads: tower.num_heads,
        mlp: tower.intermediate_size,
        style: QwenStyle::Gated,
        channels: tower.in_channels,
        frames: tower.temporal_patch_size,
        patch: tower.patch_size,
        patch_bias: false,
        positions: None,
        merge: tower.spatial_merge_size,
        output: tower.out_hidden_size,
        windows: Some(QwenWindows {
            side: tower.window_size.checked_div(cell).unwrap_or(0),
            full: tower.fullatt_block_indexes,
        }),
        taps: Vec::new(),
    })
}
