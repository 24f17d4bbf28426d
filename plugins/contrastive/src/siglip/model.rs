//! The two towers and their shared space; reference `transformers.SiglipModel`.

use blocks::{
    Result,
    text::SiglipText,
    vision::{MapHead, Vit},
    weights::{Init, Weights},
};
use candle_core::{DType, Device, Tensor};

use super::SiglipConfig;
use crate::dual::Joint;

/// Factor and offset of the cosine at the beginning of training (Zhai et al. 2023): ln 10 and -10.
const FRESH: (f64, f64) = (std::f64::consts::LN_10, -10.0);

/// A SigLIP model on any [`Weights`]: a checkpoint for inference, fresh variables for training.
pub struct SiglipModel {
    vision: Vit,
    head: MapHead,
    text: SiglipText,
    logit_scale: Tensor,
    logit_bias: Tensor,
}

impl SiglipModel {
    /// Takes all tensors of the model.
    ///
    /// # Errors
    /// As [`Weights::get`].
    pub fn new(config: &SiglipConfig, weights: &Weights) -> Result<Self> {
        let vision = config.vision();
        Ok(Self {
            vision: Vit::new(&vision, &weights.at("vision"))?,
            head: MapHead::new(&vision.encoder, &weights.at("vision").at("head"))?,
            text: SiglipText::new(&config.text(), &weights.at("text"))?,
            logit_scale: weights.get("logit_scale", 1, Init::Constant(FRESH.0))?,
            logit_bias: weights.get("logit_bias", 1, Init::Constant(FRESH.1))?,
        })
    }

    /// Pixels `[n, 3, side, side]` to the pooled output `[n, dim]`, unnormalised.
    ///
    /// # Errors
    /// As [`Vit::token_states`].
    pub fn image_features(&self, pixels: &Tensor, train: bool) -> Result<Tensor> {
        self.head.forward(&self.vision.token_states(pixels, train)?, train)
    }

    /// Texts, as ids padded to one length, to the pooled output `[texts, dim]`, unnormalised.
    ///
    /// # Errors
    /// As [`SiglipText::forward`].
    pub fn text_features(&self, ids: &[Vec<u32>], train: bool) -> Result<Tensor> {
        self.text.forward(ids, train)
    }

    /// The vision tower.
    pub fn vision(&self) -> &Vit {
        &self.vision
    }

    /// The text tower.
    pub fn text(&self) -> &SiglipText {
        &self.text
    }
}

impl Joint for SiglipModel {
    /// Normalised embeddings of images `[n, dim]` and texts `[t, dim]` to `exp(logit_scale) * cosine + logit_bias`,
    /// `[n, t]`.
    fn logits(&self, images: &Tensor, texts: &Tensor) -> Result<Tensor> {
        let scale = self.logit_scale.to_dtype(images.dtype())?.exp()?;
        let bias = self.logit_bias.to_dtype(images.dtype())?;
        Ok(images.matmul(&texts.t()?)?.broadcast_mul(&scale)?.broadcast_add(&bias)?)
    }

    fn scale(&self) -> Result<f32> {
        Ok(self.logit_scale.to_dtype(DType::F32)?.exp()?.squeeze(0)?.to_scalar()?)
    }

    fn dim(&self) -> usize {
        self.vision.config().encoder.width
    }

    fn image_size(&self) -> usize {
        self.vision.config().image_size
    }

    fn device(&self) -> &Device {
        self.logit_scale.device()
    }
}
