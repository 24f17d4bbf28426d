//! From the patches of a square to one vector.

use candle_core::{D, Tensor};
use candle_nn::Linear;

use super::{QwenVitConfig, STD, layer::AnyNorm};
use crate::{
    Result, kernels,
    layers::{Activation, linear},
    weights::Weights,
};

/// A norm, two layers, and GELU between them.
pub struct Merger {
    norm: AnyNorm,
    /// Width of what is normalised: of a patch, or of those of a square as one.
    normed: usize,
    layers: [Linear; 2],
}

impl Merger {
    /// Takes `norm`, of patches or of those of a square `joined` to one, `0` and `1`.
    pub fn new(config: &QwenVitConfig, joined: bool, weights: &Weights) -> Result<Self> {
        let square = config.width * config.merge.pow(2);
        let normed = if joined { square } else { config.width };
        Ok(Self {
            norm: AnyNorm::new(config.style, normed, &weights.at("norm"))?,
            normed,
            layers: [linear(&weights.at(0), square, square, STD)?, linear(&weights.at(1), square, config.output, STD)?],
        })
    }

    /// `[patches, width]` to `[squares, output]`.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let square = self.layers[0].weight().dim(D::Minus1)?;
        let x = self.norm.forward(&x.reshape(((), self.normed))?)?.reshape(((), square))?;
        let x = kernels::linear(&self.layers[0], &x, Some(Activation::Gelu), None)?;
        kernels::linear(&self.layers[1], &x, None, None)
    }
}
