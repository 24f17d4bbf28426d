//! Layers that towers share.
//!
//! Each `forward` takes `train`: candle's fused softmax and layer norm have no gradient, and their differentiable
//! forms are several times slower, so the former serve inference and the latter training.

mod activation;
mod attention;
mod cross_attention;
mod encoder;
mod norm;
mod rms_norm;

use candle_nn::Linear;

use crate::{
    Result, kernels,
    weights::{Init, Weights},
};
pub use activation::Activation;
pub use attention::{Attention, causal_mask};
pub use cross_attention::CrossAttention;
pub use encoder::{Encoder, EncoderConfig, EncoderLayer, Particulars};
pub use norm::Norm;
pub use rms_norm::RmsNorm;

/// A linear layer with bias; fresh weights have the standard deviation `std`, the bias is zero.
///
/// # Errors
/// As [`Weights::get`].
pub fn linear(weights: &Weights, input: usize, output: usize, std: f64) -> Result<Linear> {
    let weight = weights.get("weight", (output, input), Init::Normal(std))?;
    let weight = if weights.trainable() { weight } else { kernels::stored(&weight)? };
    Ok(Linear::new(weight, Some(weights.get("bias", output, Init::Constant(0.0))?)))
}

/// A linear layer without bias; fresh weights have the standard deviation `std`.
///
/// # Errors
/// As [`Weights::get`].
pub fn projection(weights: &Weights, input: usize, output: usize, std: f64) -> Result<Linear> {
    Ok(Linear::new(weights.get("weight", (output, input), Init::Normal(std))?, None))
}
