//! Layer normalisation.

use candle_core::Tensor;
use candle_nn::ops;

use crate::{
    Result, kernels,
    weights::{Init, Weights},
};

/// Layer normalisation over the last axis, with weight and bias (Ba et al. 2016).
pub struct Norm {
    weight: Tensor,
    bias: Tensor,
    eps: f32,
}

impl Norm {
    /// Takes `weight` and `bias` of length `width`.
    ///
    /// # Errors
    /// As [`Weights::get`].
    pub fn new(weights: &Weights, width: usize, eps: f64) -> Result<Self> {
        let weight = weights.get("weight", width, Init::Constant(1.0))?;
        Ok(Self { weight, bias: weights.get("bias", width, Init::Constant(0.0))?, eps: eps as f32 })
    }

    /// `[.., width]` to the same shape.
    ///
    /// # Errors
    /// The last axis has another length.
    pub fn forward(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        Ok(match train {
            true => ops::layer_norm_slow(x, &self.weight, &self.bias, self.eps)?,
            false => kernels::layer_norm(&x.contiguous()?, &self.weight, &self.bias, self.eps)?,
        })
    }
}
