//! The two towers and their shared space.

use crate::dual::Joint;

use blocks::{
    Result,
    text::{Bert, BertConfig},
    vision::{ModifiedResNet, ModifiedResNetConfig},
    weights::{Init, Weights},
};
use candle_core::{DType, Device, Tensor};

/// A residual network and a BERT that map into one space.
pub struct PmcClipModel {
    vision: ModifiedResNet,
    text: Bert,
    /// `[width, dim]`
    text_projection: Tensor,
    logit_scale: Tensor,
}

impl PmcClipModel {
    /// Takes all tensors of the model. `scales` are the logarithm of the factor of the cosine where the checkpoint has
    /// none, and the one that counts in any case, if given.
    ///
    /// # Errors
    /// As [`Weights::get`].
    pub fn new(
        vision: &ModifiedResNetConfig,
        text: &BertConfig,
        scales: (f64, Option<f64>),
        weights: &Weights,
    ) -> Result<Self> {
        let stored = weights.shape("logit_scale").is_some();
        let stored = stored.then(|| weights.get("logit_scale", (), Init::Constant(scales.0))).transpose()?;
        let width = text.hidden_size;
        let text_projection =
            weights.at("text").get("projection", (width, vision.output), Init::Normal((width as f64).powf(-0.5)))?;
        let given = Tensor::new(scales.1.unwrap_or(scales.0) as f32, text_projection.device())?;
        Ok(Self {
            vision: ModifiedResNet::new(vision, &weights.at("vision"))?,
            text: Bert::new(text, &weights.at("text").at("bert"))?,
            text_projection,
            logit_scale: stored.filter(|_| scales.1.is_none()).unwrap_or(given).to_dtype(DType::F32)?,
        })
    }

    /// Pixels `[n, 3, side, side]` to pooled, unnormalised embeddings `[n, dim]`.
    ///
    /// # Errors
    /// As [`ModifiedResNet::forward`].
    pub fn image_features(&self, pixels: &Tensor) -> Result<Tensor> {
        self.vision.forward(pixels)
    }

    /// Texts, as ids padded to one length and a mask that is 0 there, to the projected, unnormalised first token
    /// `[texts, dim]`. Nothing attends to padding, so its amount does not matter.
    ///
    /// # Errors
    /// As [`Bert::forward`].
    pub fn text_features(&self, ids: &[Vec<u32>], mask: &[Vec<u32>]) -> Result<Tensor> {
        let states = self.text.forward(ids, mask, false)?;
        Ok(states.narrow(1, 0, 1)?.squeeze(1)?.contiguous()?.matmul(&self.text_projection)?)
    }
}

impl Joint for PmcClipModel {
    /// Embeddings of images `[n, dim]` and texts `[t, dim]` to `exp(logit_scale) * product`, `[n, t]`.
    fn logits(&self, images: &Tensor, texts: &Tensor) -> Result<Tensor> {
        Ok(images.matmul(&texts.t()?)?.broadcast_mul(&self.logit_scale.exp()?)?)
    }

    /// Factor of the product.
    fn scale(&self) -> Result<f32> {
        Ok(self.logit_scale.exp()?.to_scalar()?)
    }

    fn dim(&self) -> usize {
        self.vision.config().output
    }

    fn image_size(&self) -> usize {
        self.vision.config().image_size
    }

    fn device(&self) -> &Device {
        self.logit_scale.device()
    }
}
