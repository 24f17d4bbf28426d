//! The two towers and their shared space; reference `medclip.MedCLIPModel`, 0.0.3.

use blocks::{
    Error, Result,
    layers::projection,
    text::Bert,
    vision::Swin,
    weights::{Init, Weights},
};
use candle_core::{DType, Device, Tensor};
use candle_nn::{Linear, Module};

use super::MedClipConfig;
use crate::dual::Joint;

/// Limits of the logarithm of the factor of the cosine.
const LOGIT_SCALE: [f32; 2] = [0.0, 4.6052];
/// What it is before training: a temperature of 0.07.
const INITIAL_LOGIT_SCALE: f64 = 2.659_260_036_932_778;

/// A MedCLIP model on any [`Weights`].
pub struct MedClipModel {
    vision: Swin,
    vision_projection: Linear,
    text: Bert,
    text_projection: Linear,
    logit_scale: Tensor,
    dim: usize,
}

impl MedClipModel {
    /// Takes all tensors of the model.
    ///
    /// # Errors
    /// There are fewer than two text layers, or as [`Swin::new`] and [`Bert::new`].
    pub fn new(config: &MedClipConfig, weights: &Weights) -> Result<Self> {
        let (vision, text, dim) = (&config.vision, &config.text, config.projection_dim);
        if text.num_hidden_layers < 2 {
            let layers = text.num_hidden_layers;
            return Err(Error::Setting(format!(
                "MedCLIP reads its text from the second layer, but there are {layers}"
            )));
        }
        let project = |tower: &str, width: usize| {
            projection(&weights.at(tower).at("projection"), width, dim, (width as f64).powf(-0.5))
        };
        Ok(Self {
            vision: Swin::new(vision, &weights.at("vision"))?,
            vision_projection: project("vision", vision.width())?,
            text: Bert::new(text, &weights.at("text"))?,
            text_projection: project("text", text.hidden_size)?,
            logit_scale: weights.get("logit_scale", (), Init::Constant(INITIAL_LOGIT_SCALE))?,
            dim,
        })
    }

    /// Pixels `[n, 3, side, side]` to projected, unnormalised embeddings `[n, dim]`.
    ///
    /// # Errors
    /// As [`Swin::pooled`].
    pub fn image_features(&self, pixels: &Tensor, train: bool) -> Result<Tensor> {
        Ok(self.vision_projection.forward(&self.vision.pooled(pixels, train)?)?)
    }

    /// Texts, as ids padded to one length and their mask, to projected, unnormalised embeddings `[texts, dim]`: the mean
    /// over all positions, padding included, and over the states after the first, the second and the last layer.
    ///
    /// # Errors
    /// As [`Bert::hidden_states`].
    pub fn text_features(&self, ids: &[Vec<u32>], mask: &[Vec<u32>], train: bool) -> Result<Tensor> {
        let states = self.text.hidden_states(ids, mask, train)?;
        let mean = |state: &Tensor| state.to_dtype(DType::F32)?.mean(1);
        let sum = (mean(&states[1])? + mean(&states[2])? + mean(&states[states.len() - 1])?)?;
        Ok(self.text_projection.forward(&(sum / 3.0)?.to_dtype(self.text.placement().1)?)?)
    }

    /// The vision tower.
    pub fn vision(&self) -> &Swin {
        &self.vision
    }

    /// The text tower.
    pub fn text(&self) -> &Bert {
        &self.text
    }

    fn factor(&self, dtype: DType) -> Result<Tensor> {
        let [low, high] = LOGIT_SCALE;
        Ok(self.logit_scale.to_dtype(DType::F32)?.clamp(low, high)?.exp()?.to_dtype(dtype)?)
    }
}

impl Joint for MedClipModel {
    /// Normalised embeddings of images `[n, dim]` and texts `[t, dim]` to `scale * cosine`, `[n, t]`.
    fn logits(&self, images: &Tensor, texts: &Tensor) -> Result<Tensor> {
        Ok(images.matmul(&texts.t()?)?.broadcast_mul(&self.factor(images.dtype())?)?)
    }

    /// Factor of the cosine, which is at most 100.
    fn scale(&self) -> Result<f32> {
        Ok(self.factor(DType::F32)?.to_scalar()?)
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
