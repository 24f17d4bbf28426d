//! The two towers and their shared space; reference `transformers.CLIPModel`.

use blocks::{
    Result,
    layers::projection,
    text::ClipText,
    vision::Vit,
    weights::{Init, Weights},
};
use candle_core::{DType, Device, Tensor};
use candle_nn::{Linear, Module};

use super::ClipConfig;
use crate::dual::Joint;

/// A CLIP model on any [`Weights`]: a checkpoint for inference, fresh variables for training.
pub struct ClipModel {
    vision: Vit,
    vision_projection: Linear,
    text: ClipText,
    text_projection: Linear,
    logit_scale: Tensor,
    dim: usize,
}

impl ClipModel {
    /// Takes all tensors of the model.
    ///
    /// # Errors
    /// As [`Weights::get`].
    pub fn new(config: &ClipConfig, weights: &Weights) -> Result<Self> {
        let (vision, text, dim) = (config.vision(), config.text(), config.projection_dim);
        let project = |tower: &str, width: usize| {
            projection(&weights.at(tower).at("projection"), width, dim, (width as f64).powf(-0.5))
        };
        Ok(Self {
            vision: Vit::new(&vision, &weights.at("vision"))?,
            vision_projection: project("vision", vision.encoder.width)?,
            text: ClipText::new(&text, &weights.at("text"))?,
            text_projection: project("text", text.encoder.width)?,
            logit_scale: weights.get("logit_scale", (), Init::Constant(config.logit_scale_init_value))?,
            dim,
        })
    }

    /// Pixels `[n, 3, side, side]` to projected, unnormalised embeddings `[n, dim]`.
    ///
    /// # Errors
    /// As [`Vit::class_state`].
    pub fn image_features(&self, pixels: &Tensor, train: bool) -> Result<Tensor> {
        Ok(self.vision_projection.forward(&self.vision.class_state(pixels, train)?)?)
    }

    /// Texts, as ids padded to one length, to projected, unnormalised embeddings `[texts, dim]`.
    ///
    /// # Errors
    /// As [`ClipText::forward`].
    pub fn text_features(&self, ids: &[Vec<u32>], train: bool) -> Result<Tensor> {
        Ok(self.text_projection.forward(&self.text.forward(ids, train)?)?)
    }

    /// The vision tower.
    pub fn vision(&self) -> &Vit {
        &self.vision
    }

    /// The text tower.
    pub fn text(&self) -> &ClipText {
        &self.text
    }
}

impl Joint for ClipModel {
    /// Normalised embeddings of images `[n, dim]` and texts `[t, dim]` to `exp(logit_scale) * cosine`, `[n, t]`.
    fn logits(&self, images: &Tensor, texts: &Tensor) -> Result<Tensor> {
        let scale = self.logit_scale.to_dtype(images.dtype())?.exp()?;
        Ok(images.matmul(&texts.t()?)?.broadcast_mul(&scale)?)
    }

    fn scale(&self) -> Result<f32> {
        Ok(self.logit_scale.to_dtype(DType::F32)?.exp()?.to_scalar()?)
    }

    fn dim(&self) -> usize {
        self.dim
    }

    fn image_size(&self) -> usize {
        self.vision.config().image_size
    }

    fn device(&self) -> &Device {
        self.logit_scale.device()
    }
}
