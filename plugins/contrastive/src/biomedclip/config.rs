//! `open_clip_config.json`, with the defaults of `open_clip` (3.3.0).

use std::path::Path;

use blocks::{
    Error, Result,
    image::OpenClipPreprocessing,
    layers::{Activation, EncoderConfig},
    vision::VitConfig,
    weights::Weights,
};
use serde::Deserialize;
use serde_json::{Map, Value};

const FILE: &str = "open_clip_config.json";

/// The file.
#[derive(Clone, Deserialize)]
pub struct OpenClipConfig {
    /// The model.
    pub model_cfg: ModelConfig,
    /// How images become pixel values.
    #[serde(default)]
    pub preprocess_cfg: OpenClipPreprocessing,
}

/// `model_cfg`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct ModelConfig {
    /// Width of the space that images and texts share.
    pub embed_dim: usize,
    /// The vision tower.
    pub vision_cfg: VisionConfig,
    /// The text tower.
    pub text_cfg: TextConfig,
}

/// `vision_cfg`. The library reads the dimensions of a timm model from the model's name; here the tensors tell them,
/// and heads are `head_width` wide, which is 64 in timm's ViT-Ti, S, B and L.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default)]
#[allow(missing_docs, reason = "the names are those of open_clip.model.CLIPVisionCfg")]
pub struct VisionConfig {
    pub timm_model_name: Option<String>,
    pub timm_pool: TimmPool,
    pub timm_proj: TimmProjection,
    pub timm_proj_bias: bool,
    pub image_size: Side,
    pub head_width: usize,
}

/// `text_cfg`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default)]
#[allow(missing_docs, reason = "the names are those of open_clip.model.CLIPTextCfg")]
pub struct TextConfig {
    pub hf_model_name: Option<String>,
    pub hf_proj_type: Option<TextProjection>,
    pub hf_pooler_type: TextPool,
    pub context_length: usize,
    pub tokenizer_kwargs: Option<Map<String, Value>>,
}

/// Which tokens stand for an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum TimmPool {
    /// The class token, which is timm's own choice for a ViT.
    #[serde(rename = "", alias = "token")]
    Class,
    /// The mean of the patches.
    #[serde(rename = "avg")]
    Mean,
}

/// How an image's state becomes its embedding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TimmProjection {
    /// A product with a matrix.
    Linear,
}

/// Which tokens stand for a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum TextPool {
    /// The first token of the last hidden state.
    #[serde(rename = "cls_last_hidden_state_pooler")]
    Class,
    /// The mean of all tokens but padding.
    #[serde(rename = "mean_pooler")]
    Mean,
}

/// How a text's state becomes its embedding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TextProjection {
    /// A product with a matrix.
    Linear,
    /// Two products with GELU between them.
    Mlp,
}

/// The side of a square, in pixels: a number or two equal ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Value")]
pub struct Side(pub usize);

impl OpenClipConfig {
    /// Reads `open_clip_config.json` in `dir`.
    ///
    /// # Errors
    /// The file is missing or describes another kind of model.
    pub fn from_dir(dir: &Path) -> Result<Self> {
        let path = dir.join(FILE);
        let text = std::fs::read_to_string(&path).map_err(|source| Error::Read { path: path.clone(), source })?;
        let config: Self = serde_json::from_str(&text)
            .map_err(|e| Error::invalid(&path, format!("not a configuration of a timm ViT and a BERT: {e}")))?;
        config.model_cfg.check().map_err(|reason| Error::invalid(&path, reason))?;
        Ok(config)
    }
}

impl ModelConfig {
    fn check(&self) -> std::result::Result<(), String> {
        let kwargs = self.text_cfg.tokenizer_kwargs.as_ref().and_then(|kwargs| kwargs.keys().next());
        match (&self.vision_cfg.timm_model_name, &self.text_cfg.hf_model_name, kwargs) {
            (None, _, _) => Err("`vision_cfg` lacks `timm_model_name`, and other vision towers are not known".into()),
            (_, None, _) => Err("`text_cfg` lacks `hf_model_name`, and other text towers are not known".into()),
            (_, _, Some(key)) => Err(format!("`tokenizer_kwargs` holds `{key}`, but none is known")),
            _ => Ok(()),
        }
    }
}

impl VisionConfig {
    /// The vision tower, whose dimensions are those of the tensors in `weights`; `heads` counts before `head_width`.
    ///
    /// # Errors
    /// The weights hold no vision transformer.
    pub fn vit(&self, weights: &Weights, heads: Option<usize>) -> Result<VitConfig> {
        let (patch, mlp) = (weights.shape("patch.weight"), weights.shape("layers.0.fc1.weight"));
        let (Some([width, channels, patch, _]), Some([mlp, _])) = (patch.as_deref(), mlp.as_deref()) else {
            return Err(Error::Setting("the weights hold no timm vision transformer".into()));
        };
        Ok(VitConfig {
            encoder: EncoderConfig {
                width: *width,
                depth: weights.at("layers").count("norm2.weight"),
                heads: heads.unwrap_or((width / self.head_width.max(1)).max(1)),
                mlp: *mlp,
                activation: Activation::Gelu,
                eps: 1e-6,
                fused_qkv: true,
            },
            image_size: self.image_size.0,
            patch: *patch,
            channels: *channels,
            class_token: true,
            pre_norm: false,
            patch_bias: true,
        })
    }
}

impl Default for VisionConfig {
    fn default() -> Self {
        Self {
            timm_model_name: None,
            timm_pool: TimmPool::Mean,
            timm_proj: TimmProjection::Linear,
            timm_proj_bias: false,
            image_size: Side(224),
            head_width: 64,
        }
    }
}

impl Default for TextConfig {
    fn default() -> Self {
        Self {
            hf_model_name: None,
            hf_proj_type: Some(TextProjection::Mlp),
            hf_pooler_type: TextPool::Mean,
            context_length: 77,
            tokenizer_kwargs: None,
        }
    }
}

impl TryFrom<Value> for Side {
    type Error = String;

    fn try_from(value: Value) -> std::result::Result<Self, String> {
        let side = match value.as_array().map(Vec::as_slice) {
            Some([height, width]) if height == width => height.as_u64(),
            Some([side]) => side.as_u64(),
            _ => value.as_u64(),
        };
        side.filter(|&n| n > 0)
            .map(|n| Self(n as usize))
            .ok_or_else(|| format!("`image_size` is {value}; expected one side of a square, in pixels"))
    }
}
