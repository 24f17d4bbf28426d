//! The pre-norm transformer encoder that vision and text towers share.

use candle_core::Tensor;
use candle_nn::{Linear, Module};

use super::{Activation, Attention, Norm, RmsNorm, linear};
use crate::{
    Error, Result, kernels,
    weights::{Init, Weights},
};

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

/// What the layers of some towers, such as InternViT, do otherwise than CLIP's; the default is none of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Particulars {
    /// Query, key and value have biases; CLIP's have.
    pub qkv_bias: bool,
    /// Queries and keys are normalised by their root mean square, all heads at once.
    pub qk_norm: bool,
    /// The norms before the branches are by root mean square.
    pub rms_norm: bool,
    /// What a branch adds is multiplied by a learned vector (Touvron et al. 2021).
    pub layer_scale: bool,
}

/// `depth` layers in sequence, named `0`, `1` and so on.
pub struct Encoder {
    layers: Vec<EncoderLayer>,
}

/// `x + scale1 * attention(norm1(x))`, then `x + scale2 * mlp(norm2(x))`; most towers have no scales.
pub struct EncoderLayer {
    norm1: BranchNorm,
    attention: Attention,
    norm2: BranchNorm,
    fc1: Linear,
    fc2: Linear,
    activation: Activation,
    scales: Option<[Tensor; 2]>,
}

enum BranchNorm {
    Layer(Norm),
    RootMeanSquare(RmsNorm),
}

impl Default for Particulars {
    fn default() -> Self {
        Self { qkv_bias: true, qk_norm: false, rms_norm: false, layer_scale: false }
    }
}

impl Encoder {
    /// Takes all layers.
    ///
    /// # Errors
    /// The width is no multiple of the number of heads, or as [`Weights::get`].
    pub fn new(config: &EncoderConfig, weights: &Weights) -> Result<Self> {
        Self::particular(config, Particulars::default(), weights)
    }

    /// As [`Encoder::new`], with particulars.
    ///
    /// # Errors
    /// As [`Encoder::new`].
    pub fn particular(config: &EncoderConfig, particulars: Particulars, weights: &Weights) -> Result<Self> {
        let (width, heads) = (config.width, config.heads);
        if heads == 0 || !width.is_multiple_of(heads) {
            return Err(Error::Setting(format!("a width of {width} cannot be divided among {heads} attention heads")));
        }
        let layers = (0..config.depth).map(|n| EncoderLayer::particular(config, particulars, &weights.at(n)));
        Ok(Self { layers: layers.collect::<Result<_>>()? })
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
        Self::particular(config, Particulars::default(), weights)
    }

    /// As [`EncoderLayer::new`], with particulars, of which `scale1` and `scale2` are the learned vectors.
    ///
    /// # Errors
    /// As [`Weights::get`].
    pub fn particular(config: &EncoderConfig, particulars: Particulars, weights: &Weights) -> Result<Self> {
        let (width, mlp) = (config.width, config.mlp);
        // Fresh weights as CLIP's: residual branches shrink with the number of layers.
        let fc1_std = (2.0 * width as f64).powf(-0.5);
        let scale = |name| weights.get(name, width, Init::Constant(0.1));
        let fc2_std = (width as f64).powf(-0.5) * (2.0 * config.depth as f64).powf(-0.5);
        Ok(Self {
            norm1: BranchNorm::new(particulars, &weights.at("norm1"), config)?,
            attention: Attention::particular(config, particulars, &weights.at("attention"))?,
            norm2: BranchNorm::new(particulars, &weights.at("norm2"), config)?,
            fc1: linear(&weights.at("fc1"), width, mlp, fc1_std)?,
            fc2: linear(&weights.at("fc2"), mlp, width, fc2_std)?,
            activation: config.activation,
            scales: match particulars.layer_scale {
                true => Some([scale("scale1")?, scale("scale2")?]),
                false => None,
            },
        })
    }

    /// `[batch, tokens, width]` to the same shape.
    ///
    /// # Errors
    /// Shapes do not agree.
    pub fn forward(&self, x: &Tensor, mask: Option<&Tensor>, train: bool) -> Result<Tensor> {
        if let Some([first, second]) = &self.scales {
            let mixed = self.attention.forward(&self.norm1.forward(x, train)?, mask, train)?;
            let x = (x + mixed.broadcast_mul(first)?)?;
            let hidden = self.activation.forward(&self.fc1.forward(&self.norm2.forward(&x, train)?)?)?;
            return Ok((&x + self.fc2.forward(&hidden)?.broadcast_mul(second)?)?);
        }
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

impl BranchNorm {
    fn new(particulars: Particulars, weights: &Weights, config: &EncoderConfig) -> Result<Self> {
        match particulars.rms_norm {
            true => RmsNorm::new(weights, config.width, config.eps).map(Self::RootMeanSquare),
            false => Norm::new(weights, config.width, config.eps).map(Self::Layer),
        }
    }

    fn forward(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        match self {
            Self::Layer(norm) => norm.forward(x, train),
            Self::RootMeanSquare(norm) => norm.forward(x, train),
        }
    }
}
