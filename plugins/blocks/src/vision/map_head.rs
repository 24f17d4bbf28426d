//! Attention pooling of a vision tower (Zhai et al. 2022); reference
//! `transformers.SiglipMultiheadAttentionPoolingHead`.

use candle_core::{D, Tensor};
use candle_nn::{Linear, Module, ops};

use crate::{
    Error, Result,
    layers::{Activation, EncoderConfig, Norm, linear},
    weights::{Init, Weights},
};

/// A learned query attends to all tokens; an MLP follows.
pub struct MapHead {
    probe: Tensor,
    query: Linear,
    key_value: Linear,
    output: Linear,
    norm: Norm,
    fc1: Linear,
    fc2: Linear,
    activation: Activation,
    heads: usize,
}

impl MapHead {
    /// Takes `probe` `[1, 1, width]`, `attention.in_proj_weight`, `attention.in_proj_bias`, `attention.out_proj`, `norm`,
    /// `fc1` and `fc2`; the dimensions are those of a layer of the tower.
    ///
    /// # Errors
    /// The width is no multiple of the number of heads, or as [`Weights::get`].
    pub fn new(config: &EncoderConfig, weights: &Weights) -> Result<Self> {
        let EncoderConfig { width, heads, mlp, activation, eps, .. } = *config;
        if heads == 0 || !width.is_multiple_of(heads) {
            return Err(Error::Setting(format!("a width of {width} cannot be divided among {heads} attention heads")));
        }
        let std = (width as f64).powf(-0.5);
        let attention = weights.at("attention");
        let weight = attention.get("in_proj_weight", (3 * width, width), Init::Normal(std))?;
        let bias = attention.get("in_proj_bias", 3 * width, Init::Constant(0.0))?;
        let part = |start: usize, length: usize| {
            Ok::<_, Error>(Linear::new(weight.narrow(0, start, length)?, Some(bias.narrow(0, start, length)?)))
        };
        Ok(Self {
            probe: weights.get("probe", (1, 1, width), Init::Normal(std))?,
            query: part(0, width)?,
            key_value: part(width, 2 * width)?,
            output: linear(&attention.at("out_proj"), width, width, std)?,
            norm: Norm::new(&weights.at("norm"), width, eps)?,
            fc1: linear(&weights.at("fc1"), width, mlp, std)?,
            fc2: linear(&weights.at("fc2"), mlp, width, (mlp as f64).powf(-0.5))?,
            activation,
            heads,
        })
    }

    /// Tokens `[batch, tokens, width]` to one vector an image `[batch, width]`.
    ///
    /// # Errors
    /// Shapes do not agree.
    pub fn forward(&self, tokens: &Tensor, train: bool) -> Result<Tensor> {
        let (batch, count, width) = tokens.dims3()?;
        let (heads, head) = (self.heads, width / self.heads);
        let query = (self.query.forward(&self.probe)? * (head as f64).powf(-0.5))?;
        let query = query.reshape((1, heads, 1, head))?.broadcast_as((batch, heads, 1, head))?.contiguous()?;
        let split = self.key_value.forward(tokens)?.reshape((batch, count, 2, heads, head))?;
        let split = split.permute((2, 0, 3, 1, 4))?.contiguous()?;
        let (key, value) = (split.get(0)?, split.get(1)?);
        let scores = query.matmul(&key.transpose(2, 3)?)?;
        let weights = if train { ops::softmax(&scores, D::Minus1)? } else { ops::softmax_last_dim(&scores)? };
        // One query: heads are adjacent as they lie.
        let pooled = self.output.forward(&weights.matmul(&value)?.reshape((batch, width))?)?;
        let hidden = self.activation.forward(&self.fc1.forward(&self.norm.forward(&pooled, train)?)?)?;
        Ok((&pooled + self.fc2.forward(&hidden)?)?)
    }
}
