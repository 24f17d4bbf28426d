//! Products of the same input as one.

use candle_core::{D, Tensor};
use candle_nn::{Linear, Module};

use crate::{Error, Result, kernels, weights::Weights};

/// Linear layers of the same input: one product where possible; variables stay apart, so that each can be saved.
pub enum Joint<const N: usize> {
    Fused(Linear),
    Split([Linear; N]),
}

impl<const N: usize> Joint<N> {
    /// Of layers, all of which have a bias or none.
    pub fn new(parts: [Linear; N], weights: &Weights) -> Result<Self> {
        if weights.trainable() {
            return Ok(Self::Split(parts));
        }
        let biases: Vec<_> = parts.iter().filter_map(Linear::bias).collect();
        let bias = if biases.is_empty() { None } else { Some(Tensor::cat(&biases, 0)?) };
        Ok(Self::Fused(Linear::new(Tensor::cat(&parts.each_ref().map(Linear::weight), 0)?, bias)))
    }

    /// All results side by side, without gradients.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        match self {
            Self::Fused(layer) => kernels::linear(layer, x, None, None),
            Self::Split(parts) => {
                let parts = parts.iter().map(|part| part.forward(x)).collect::<candle_core::Result<Vec<_>>>()?;
                Ok(Tensor::cat(&parts, D::Minus1)?)
            }
        }
    }

    /// Each result of its own width, differentiable.
    pub fn apart(&self, x: &Tensor, widths: [usize; N]) -> Result<[Tensor; N]> {
        let mut parts = Vec::with_capacity(N);
        match self {
            Self::Split(layers) => {
                for layer in layers {
                    parts.push(layer.forward(x)?);
                }
            }
            Self::Fused(layer) => {
                let (joint, mut start) = (layer.forward(x)?, 0);
                for width in widths {
                    parts.push(joint.narrow(D::Minus1, start, width)?);
                    start += width;
                }
            }
        }
        parts.try_into().map_err(|_| Error::Setting("a layer has lost a part".into()))
    }
}
