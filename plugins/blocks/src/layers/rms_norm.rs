//! Root mean square normalisation.

use candle_core::{D, DType, Tensor};

use crate::{
    Result, kernels,
    weights::{Init, Weights},
};

/// Division by the root of the mean square over the last axis, times a weight (Zhang and Sennrich 2019).
pub struct RmsNorm {
    /// In the number format of what is normalised or, where the product is computed in it, in f32.
    weight: Tensor,
    eps: f32,
}

impl RmsNorm {
    /// Takes `weight` of length `width`.
    ///
    /// # Errors
    /// As [`Weights::get`].
    pub fn new(weights: &Weights, width: usize, eps: f64) -> Result<Self> {
        Ok(Self { weight: weights.get("weight", width, Init::Constant(1.0))?, eps: eps as f32 })
    }

    /// As [`RmsNorm::new`], where the checkpoint has the weights less 1 and the product is computed in f32 as well, as in
    /// Gemma; for inference.
    ///
    /// # Errors
    /// As [`Weights::get`].
    pub fn around_one(weights: &Weights, width: usize, eps: f64) -> Result<Self> {
        let distance = weights.get("weight", width, Init::Constant(0.0))?.to_dtype(DType::F32)?;
        Ok(Self { weight: (distance + 1.0)?, eps: eps as f32 })
    }

    /// `[.., width]` to the same shape; the mean is computed in f32.
    ///
    /// # Errors
    /// The last axis has another length.
    pub fn forward(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        if !train && x.dtype() != self.weight.dtype() {
            let wide = x.to_dtype(self.weight.dtype())?.contiguous()?;
            return Ok(kernels::rms_norm(&wide, &self.weight, self.eps)?.to_dtype(x.dtype())?);
        }
        if !train {
            return kernels::rms_norm(&x.contiguous()?, &self.weight, self.eps);
        }
        let wide = x.to_dtype(DType::F32)?;
        let mean = (wide.sqr()?.mean_keepdim(D::Minus1)? + f64::from(self.eps))?;
        Ok(wide.broadcast_div(&mean.sqrt()?)?.to_dtype(x.dtype())?.broadcast_mul(&self.weight)?)
    }
}
