//! The two towers and their shared space; reference `open_clip.CustomTextCLIP`.

use blocks::{
    Error, Result,
    layers::{Activation, linear, projection},
    text::{Bert, BertConfig},
    vision::{Vit, VitConfig},
    weights::{Init, Weights},
};
use candle_core::{DType, Device, Tensor};
use candle_nn::{Linear, Module};

use super::config::{ModelConfig, TextPool, TextProjection, TimmPool};
use crate::dual::Joint;

/// A timm vision transformer and a BERT that map into one space.
pub struct BiomedClipModel {
    vision: Vit,
    pool: TimmPool,
    vision_projection: Linear,
    text: Bert,
    text_pool: TextPool,
    text_projection: Vec<Linear>,
    logit_scale: Tensor,
    dim: usize,
}

impl BiomedClipModel {
    /// Takes all tensors of the model.
    ///
    /// # Errors
    /// As [`Weights::get`], or there is no projection although the text tower has another width than the shared space.
    pub fn new(config: &ModelConfig, vision: &VitConfig, text: &BertConfig, weights: &Weights) -> Result<Self> {
        let (dim, width, text_width) = (config.embed_dim, vision.encoder.width, text.hidden_size);
        let std = |input: usize| (input as f64).powf(-0.5);
        let at = weights.at("vision").at("projection");
        let vision_projection = match config.vision_cfg.timm_proj_bias {
            true => linear(&at, width, dim, std(width))?,
            false => projection(&at, width, dim, std(width))?,
        };
        let at = weights.at("text").at("projection");
        let text_projection = match config.text_cfg.hf_proj_type {
            Some(TextProjection::Mlp) => {
                let hidden = (text_width + dim) / 2;
                vec![
                    projection(&at.at(0), text_width, hidden, std(text_width))?,
                    projection(&at.at(2), hidden, dim, std(hidden))?,
                ]
            }
            Some(TextProjection::Linear) => vec![projection(&at, text_width, dim, std(text_width))?],
            None if text_width == dim => Vec::new(),
            None => {
                let reason = format!("texts have {text_width} features, images {dim}, and `hf_proj_type` is null");
                return Err(Error::Setting(reason));
            }
        };
        Ok(Self {
            vision: Vit::new(vision, &weights.at("vision"))?,
            pool: config.vision_cfg.timm_pool,
            vision_projection,
            text: Bert::new(text, &weights.at("text").at("bert"))?,
            text_pool: config.text_cfg.hf_pooler_type,
            text_projection,
            logit_scale: weights.get("logit_scale", (), Init::Constant((1.0f64 / 0.07).ln()))?,
            dim,
        })
    }

    /// Pixels `[n, 3, side, side]` to projected, unnormalised embeddings `[n, dim]`.
    ///
    /// # Errors
    /// As [`Vit::class_state`].
    pub fn image_features(&self, pixels: &Tensor, train: bool) -> Result<Tensor> {
        let state = match self.pool {
            TimmPool::Class => self.vision.class_state(pixels, train)?,
            TimmPool::Mean => {
                let states = self.vision.token_states(pixels, train)?;
                states.narrow(1, 1, states.dim(1)? - 1)?.mean(1)?
            }
        };
        Ok(self.vision_projection.forward(&state)?)
    }

    /// Texts, as ids padded to one length and a mask that is 0 there, to projected, unnormalised embeddings
    /// `[texts, dim]`. Nothing attends to padding, so its amount does not matter.
    ///
    /// # Errors
    /// As [`Bert::forward`].
    pub fn text_features(&self, ids: &[Vec<u32>], mask: &[Vec<u32>], train: bool) -> Result<Tensor> {
        let states = self.text.forward(ids, mask, train)?;
        let mut state = match self.text_pool {
            TextPool::Class => states.narrow(1, 0, 1)?.squeeze(1)?,
            TextPool::Mean => {
                let shape = (mask.len(), ids[0].len(), 1);
                let mask: Vec<f32> = mask.iter().flatten().map(|&m| m as f32).collect();
                let mask = Tensor::from_vec(mask, shape, states.device())?.to_dtype(states.dtype())?;
                states.broadcast_mul(&mask)?.sum(1)?.broadcast_div(&mask.sum(1)?)?
            }
        };
        for (n, layer) in self.text_projection.iter().enumerate() {
            if n > 0 {
                state = Activation::Gelu.forward(&state)?;
            }
            state = layer.forward(&state)?;
        }
        Ok(state)
    }

    /// The text tower.
    pub fn text(&self) -> &Bert {
        &self.text
    }
}

impl Joint for BiomedClipModel {
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
