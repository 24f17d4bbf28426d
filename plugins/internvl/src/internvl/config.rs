//! `config.json` of InternVL, with the defaults of `transformers.InternVLConfig` (4.53.1).

use std::path::Path;

use blocks::{
    Error, Result,
    decoder::LlamaConfig,
    layers::{Activation, EncoderConfig, Particulars},
    vision::VitConfig,
};
use bridge::files::{Parsed, object, stop_ids, stop_ids_of, text};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Map, Value};

/// What a model reads of its files.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// The vision tower.
    pub vit: VitConfig,
    /// What InternViT does otherwise.
    pub particulars: Particulars,
    /// A norm follows its last layer.
    pub post_norm: bool,
    /// So many tokens along each side become one.
    pub joined: usize,
    /// Between the linear layers of the projector.
    pub activation: Activation,
    /// The language model.
    pub text: LlamaConfig,
    /// Id that stands for a vector of an image.
    pub image_id: u32,
    /// Ids that end an answer; none where no file says.
    pub stop_ids: Option<Vec<u32>>,
}

/// The names are those of `transformers.InternVLConfig`.
#[derive(Deserialize)]
#[serde(default)]
struct Whole {
    image_token_id: u32,
    downsample_ratio: f64,
    projector_hidden_act: Activation,
    vision_feature_layer: Value,
    vision_feature_select_strategy: String,
}

/// The names are those of `transformers.InternVLVisionConfig`.
#[derive(Deserialize)]
#[serde(default)]
struct Tower {
    hidden_size: usize,
    intermediate_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    num_channels: usize,
    attention_bias: bool,
    use_qk_norm: bool,
    hidden_act: Activation,
    norm_type: NormType,
    layer_norm_eps: f64,
    image_size: Sides,
    patch_size: Sides,
    use_absolute_position_embeddings: bool,
    use_mean_pooling: bool,
}

#[derive(Deserialize, PartialEq)]
#[serde(rename_all = "snake_case")]
enum NormType {
    LayerNorm,
    RmsNorm,
}

/// A side of a square, or height and width.
#[derive(Deserialize)]
#[serde(untagged)]
enum Sides {
    One(usize),
    Both([usize; 2]),
}

impl Config {
    /// Reads `config.json` in `dir`, and `generation_config.json` where there is one.
    ///
    /// # Errors
    /// A file is missing or corrupt, or `config.json` is none of an InternVL that is built in.
    pub fn from_dir(dir: &Path) -> Result<Self> {
        let path = dir.join("config.json");
        let raw = object(&path)?;
        let mut config = Self::parse(&raw).map_err(|reason| Error::invalid(&path, reason))?;
        config.stop_ids = stop_ids(dir, config.stop_ids)?;
        Ok(config)
    }

    fn parse(raw: &Map<String, Value>) -> Parsed<Self> {
        let none = Map::new();
        let kind = text(raw, "model_type", "");
        if kind != "internvl" {
            return Err(format!("`model_type` is `{kind}`, expected `internvl`"));
        }
        let whole: Whole = read(raw)?;
        if whole.vision_feature_layer != -1 {
            let layer = whole.vision_feature_layer;
            return Err(format!("`vision_feature_layer` is {layer}, expected -1, the one that the reference has"));
        }
        if whole.vision_feature_select_strategy != "default" {
            let strategy = whole.vision_feature_select_strategy;
            return Err(format!("`vision_feature_select_strategy` is `{strategy}`, expected `default`"));
        }
        let tower: Tower = read(raw.get("vision_config").and_then(Value::as_object).unwrap_or(&none))?;
        let vit = tower.vit()?;
        let (side, joined) = (vit.image_size / vit.patch.max(1), (1.0 / whole.downsample_ratio).round());
        if !((joined * whole.downsample_ratio - 1.0).abs() < 1e-9 && (1.0..=side.max(1) as f64).contains(&joined)) {
            let ratio = whole.downsample_ratio;
            return Err(format!("`downsample_ratio` is {ratio}, expected one part of a whole, such as 0.5"));
        }
        if !side.is_multiple_of(joined as usize) {
            return Err(format!("{side} patches along a side cannot be joined by {joined}"));
        }
        let words = raw.get("text_config").and_then(Value::as_object).unwrap_or(&none);
        let language = text(words, "model_type", "qwen2");
        Ok(Self {
            vit,
            particulars: Particulars {
                qkv_bias: tower.attention_bias,
                qk_norm: tower.use_qk_norm,
                rms_norm: tower.norm_type == NormType::RmsNorm,
                layer_scale: true,
            },
            post_norm: !tower.use_mean_pooling,
            joined: joined as usize,
            activation: whole.projector_hidden_act,
            text: LlamaConfig::parse(language, words)?,
            image_id: whole.image_token_id,
            stop_ids: stop_ids_of(language, &[raw, words])?,
        })
    }
}

impl Tower {
    fn vit(&self) -> Parsed<VitConfig> {
        if self.num_channels != 3 {
            return Err(format!("`num_channels` is {}, expected 3", self.num_channels));
        }
        if !self.use_absolute_position_embeddings {
            return Err(
                "`use_absolute_position_embeddings` is false, but a tower without positions is not built in".into()
            );
        }
        Ok(VitConfig {
            encoder: EncoderConfig {
                width: self.hidden_size,
                depth: self.num_hidden_layers,
                heads: self.num_attention_heads,
                mlp: self.intermediate_size,
                activation: self.hidden_act,
                eps: self.layer_norm_eps,
                fused_qkv: false,
            },
            image_size: self.image_size.square("image_size")?,
            patch: self.patch_size.square("patch_size")?,
            channels: 3,
            class_token: true,
            pre_norm: false,
            patch_bias: true,
        })
    }
}

impl Sides {
    fn square(&self, key: &str) -> Parsed<usize> {
        match *self {
            Self::One(side) => Ok(side),
            Self::Both([height, width]) if height == width => Ok(width),
            Self::Both(sides) => Err(format!("`{key}` is {sides:?}, expected a square")),
        }
    }
}

/// What is null counts as absent.
fn read<T: DeserializeOwned>(raw: &Map<String, Value>) -> Parsed<T> {
    let told = raw.iter().filter(|(_, value)| !value.is_null());
    let told = told.map(|(key, value)| (key.clone(), value.clone())).collect();
    serde_json::from_value(Value::Object(told)).map_err(|e| format!("not a configuration of an InternVL: {e}"))
}

impl Default for Whole {
    fn default() -> Self {
        Self {
            image_token_id: 151667,
            downsample_ratio: 0.5,
            projector_hidden_act: Activation::Gelu,
            vision_feature_layer: (-1).into(),
            vision_feature_select_strategy: "default".into(),
        }
    }
}

impl Default for Tower {
    fn default() -> Self {
        Self {
            hidden_size: 1024,
            intermediate_size: 4096,
            num_hidden_layers: 24,
            num_attention_heads: 16,
            num_channels: 3,
            attention_bias: false,
            use_qk_norm: false,
            hidden_act: Activation::Gelu,
            norm_type: NormType::LayerNorm,
            layer_norm_eps: 1e-6,
            image_size: Sides::One(448),
            patch_size: Sides::One(14),
            use_absolute_position_embeddings: true,
            use_mean_pooling: true,
        }
    }
}
