//! The pre-norm transformer encoder that vision and text towers share.

use candle_core::Tensor;
use candle_nn::{Linear, Module};

use super::{Activation, Attention, Norm, linear};
use crate::{Error, Result, kernels, weights::Weights};

/// Dimensions and choices of an [`Encoder`].
#[derive(Debug, Clone, PartialEq)]
pub struct EncoderConfig {
    /// Width of a token.
    pub width: usize,
    /// Number of layers.
    pub depth: usize,
    /// Number of attention heads.
    pub heads: usize,
    /// Width of the hidden layer of the MLP.
    pub mlp: usize,
    /// Activation of the MLP.
    pub activation: Activation,
    /// Added to the variance in layer norms.
    pub eps: f64,
    /// The checkpoint holds query, key and value as one tensor.
    pub fused_qkv: bool,
}

/// `depth` layers in sequence, named `0`, `1` and so on.
pub struct Encoder {
    layers: Vec<EncoderLayer>,
}

/// `x + attention(norm1(x))`, then `x + mlp(norm2(x))`.
pub struct EncoderLayer {
    norm1: Norm,
    attention: Attention,
    norm2: Norm,
    fc1: Linear,
    fc2: Linear,
    activation: Activation,
}

impl Encoder {
    /// Takes all layers.
    ///
    /// # Errors
    /// The width is no multiple of the number of heads, or as [`Weights::get`].
    pub fn new(config: &EncoderConfig, weights: &Weights) -> Result<Self> {
        let (width, heads) = (config.width, config.heads);
        if heads == 0 || !width.is_multiple_of(heads) {
            return Err(Error::Setting(format!("a width of {width} cannot be divided among {heads} attention heads")));
        }
        let layers = (0..config.depth).map(|n| EncoderLayer::new(config, &weights.at(n))).collect::<Result<_>>()?;
        Ok(Self { layers })
    }

    /// Number of layers.
    pub fn depth(&self) -> usize {
        self.layers.len()
    }

    /// `[batch, tokens, width]` through the first `depth` layers.
    ///
    /// # Errors
    /// `depth` exceeds the number of layers, or shapes do not agree.
    pub fn forward(&self, x: &Tensor, mask: Option<&Tensor>, depth: usize, train: bool) -> Result<Tensor> {
        let layers = self.layers.get(..depth).ok_or_else(|| {
            Error::Setting(format!("layer {depth} was asked for, but this tower has {}", self.layers.len()))
        })?;
        layers.iter().try_fold(x.clone(), |x, layer| layer.forward(&x, mask, train))
    }
}

impl EncoderLayer {
    /// Takes `norm1`, `attention`, `norm2`, `fc1` and `fc2`.
    ///
    /// # Errors
    /// As [`Weights::get`].
    pub fn new(config: &EncoderConfig, weights: &Weights) -> Result<Self> {
        let (width, mlp) = (config.width, config.mlp);
        // Fresh weights as CLIP's: residual branches shrink with the number of layers.
        let fc1_std = (2.0 * width as f64).powf(-0.5);
        let fc2_std = (width as f64).powf(-0.5) * (2.0 * config.depth as f64).powf(-0.5);
        Ok(Self {
            norm1: Norm::new(&weights.at("norm1"), width, config.eps)?,
            attention: Attention::new(config, &weights.at("attention"))?,
            norm2: Norm::new(&weights.at("norm2"), width, config.eps)?,
            fc1: linear(&weights.at("fc1"), width, mlp, fc1_std)?,
            fc2: linear(&weights.at("fc2"), mlp, width, fc2_std)?,
            activation: config.activation,
        })
    }

    /// `[batch, tokens, width]` to the same shape.
    ///
    /// # Errors
    /// Shapes do not agree.
    pub fn forward(&self, x: &Tensor, mask: Option<&Tensor>, train: bool) -> Result<Tensor> {
        if train {
            let x = (x + self.attention.forward(&self.norm1.forward(x, train)?, mask, train)?)?;
            let hidden = self.activation.forward(&self.fc1.forward(&self.norm2.forward(&x, train)?)?)?;
            return Ok((&x + self.fc2.forward(&hidden)?)?);
        }
        let x = self.attention.onto(x, &self.norm1.forward(x, train)?, mask)?;
        let hidden = kernels::linear(&self.fc1, &self.norm2.forward(&x, train)?, Some(self.activation), None)?;
        kernels::linear(&self.fc2, &hidden, None, Some(&x))
    }
}
