//! One layer.

use candle_core::Tensor;
use candle_nn::Linear;

use super::{EPS, QwenStyle, QwenVitConfig, STD, order::Run};
use crate::{
    Result,
    decoder::Angles,
    kernels,
    layers::{Activation, Norm, RmsNorm, linear},
    weights::Weights,
};

/// `x + attention(norm1(x))`, then `x + mlp(norm2(x))`.
pub struct Layer {
    norm1: AnyNorm,
    qkv: Linear,
    output: Linear,
    norm2: AnyNorm,
    mlp: Mlp,
    heads: usize,
    scale: f64,
}

/// A norm of either kind.
pub enum AnyNorm {
    Layer(Norm),
    Rms(RmsNorm),
}

enum Mlp {
    Plain(Linear, Activation, Linear),
    /// Gate and up as one layer, then down.
    Gated(Linear, Linear),
}

impl Layer {
    /// Takes `norm1`, `qkv`, `output`, `norm2` and either `fc1` and `fc2` or `gate`, `up` and `down`.
    pub fn new(config: &QwenVitConfig, weights: &Weights) -> Result<Self> {
        let QwenVitConfig { width, heads, mlp, style, .. } = *config;
        let layer = |name: &str, input, output| linear(&weights.at(name), input, output, STD);
        Ok(Self {
            norm1: AnyNorm::new(style, width, &weights.at("norm1"))?,
            qkv: layer("qkv", width, 3 * width)?,
            output: layer("output", width, width)?,
            norm2: AnyNorm::new(style, width, &weights.at("norm2"))?,
            mlp: match style {
                QwenStyle::Plain(activation) => {
                    Mlp::Plain(layer("fc1", width, mlp)?, activation, layer("fc2", mlp, width)?)
                }
                QwenStyle::Gated => {
                    let gate = joint(&layer("gate", width, mlp)?, &layer("up", width, mlp)?)?;
                    Mlp::Gated(gate, layer("down", mlp, width)?)
                }
            },
            heads,
            scale: ((width / heads) as f64).powf(-0.5),
        })
    }

    /// `[tokens, width]` to the same shape; the tokens of each sequence in `runs` see each other.
    pub fn forward(&self, x: &Tensor, angles: &Angles, runs: &[Run]) -> Result<Tensor> {
        let qkv = kernels::linear(&self.qkv, &self.norm1.forward(x)?, None, None)?;
        let mixed = self.attend(&kernels::rotate(qkv, 2 * self.heads, angles)?, runs)?;
        let x = kernels::linear(&self.output, &mixed, None, Some(x))?;
        let y = self.norm2.forward(&x)?;
        match &self.mlp {
            Mlp::Plain(first, activation, second) => {
                kernels::linear(second, &kernels::linear(first, &y, Some(*activation), None)?, None, Some(&x))
            }
            Mlp::Gated(gate, down) => {
                kernels::linear(down, &kernels::gate(&kernels::linear(gate, &y, None, None)?)?, None, Some(&x))
            }
        }
    }

    fn attend(&self, qkv: &Tensor, runs: &[Run]) -> Result<Tensor> {
        let (_, joint) = qkv.dims2()?;
        let mut start = 0;
        let mixed = runs.iter().map(|run| -> Result<Tensor> {
            let tokens = run.count * run.length;
            let part = qkv.narrow(0, start, tokens)?.reshape((run.count, run.length, joint))?;
            start += tokens;
            Ok(kernels::attention(&part, self.heads, self.scale)?.reshape((tokens, joint / 3))?)
        });
        Ok(Tensor::cat(&mixed.collect::<Result<Vec<_>>>()?, 0)?)
    }
}

impl AnyNorm {
    pub fn new(style: QwenStyle, width: usize, weights: &Weights) -> Result<Self> {
        Ok(match style {
            QwenStyle::Plain(_) => Self::Layer(Norm::new(weights, width, EPS)?),
            QwenStyle::Gated => Self::Rms(RmsNorm::new(weights, width, EPS)?),
        })
    }

    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        match self {
            Self::Layer(norm) => norm.forward(x, false),
            Self::Rms(norm) => norm.forward(x, false),
        }
    }
}

/// Two layers of the same input as one, their results side by side.
fn joint(first: &Linear, second: &Linear) -> Result<Linear> {
    let weight = kernels::stored(&Tensor::cat(&[first.weight(), second.weight()], 0)?)?;
    let biases: Vec<_> = [first, second].into_iter().filter_map(Linear::bias).collect();
    Ok(Linear::new(weight, Some(Tensor::cat(&biases, 0)?)))
}
