//! One layer.

use candle_core::Tensor;
use candle_nn::Linear;

use super::{EPS, OptConfig, STD};
use crate::{
    Result, kernels,
    layers::{Activation, Norm},
    weights::{Init, Weights},
};

/// `x + attention(norm1(x))`, then `x + mlp(norm2(x))`; or `norm1(x + attention(x))`, then `norm2(x + mlp(x))`.
pub struct OptLayer {
    norm1: Norm,
    /// Query, key and value.
    input: Linear,
    output: Linear,
    norm2: Norm,
    fc1: Linear,
    activation: Activation,
    fc2: Linear,
    norm_first: bool,
}

impl OptLayer {
    /// Takes `norm1`, `query`, `key`, `value`, `output`, `norm2`, `fc1` and `fc2`.
    pub fn new(config: &OptConfig, weights: &Weights) -> Result<Self> {
        let (width, mlp) = (config.hidden_size, config.ffn_dim);
        // Rows of weights stay together: a decoder mostly multiplies few tokens.
        let linear = |name: &str, input: usize, output: usize| {
            let weights = weights.at(name);
            let weight = weights.get("weight", (output, input), Init::Normal(STD))?;
            let bias = config.enable_bias.then(|| weights.get("bias", output, Init::Constant(0.0)));
            Ok::<_, crate::Error>(Linear::new(weight, bias.transpose()?))
        };
        let parts = ["query", "key", "value"].map(|name| linear(name, width, width));
        let parts = parts.into_iter().collect::<Result<Vec<_>>>()?;
        let biases: Vec<_> = parts.iter().filter_map(Linear::bias).collect();
        let bias = if biases.is_empty() { None } else { Some(Tensor::cat(&biases, 0)?) };
        let joint = Tensor::cat(&parts.iter().map(Linear::weight).collect::<Vec<_>>(), 0)?;
        Ok(Self {
            norm1: Norm::new(&weights.at("norm1"), width, EPS)?,
            input: Linear::new(joint, bias),
            output: linear("output", width, width)?,
            norm2: Norm::new(&weights.at("norm2"), width, EPS)?,
            fc1: linear("fc1", width, mlp)?,
            activation: config.activation_function,
            fc2: linear("fc2", mlp, width)?,
            norm_first: config.do_layer_norm_before,
        })
    }

    /// `[tokens, width]` to the same shape; `attention` takes query, key and value side by side to what was attended to.
    pub fn forward(&self, x: &Tensor, attention: impl FnOnce(&Tensor) -> Result<Tensor>) -> Result<Tensor> {
        let before = |norm: &Norm, x: &Tensor| if self.norm_first { norm.forward(x, false) } else { Ok(x.clone()) };
        let after = |norm: &Norm, x: Tensor| if self.norm_first { Ok(x) } else { norm.forward(&x, false) };
        let mixed = attention(&kernels::linear(&self.input, &before(&self.norm1, x)?, None, None)?)?;
        let x = after(&self.norm1, kernels::linear(&self.output, &mixed, None, Some(x))?)?;
        let hidden = kernels::linear(&self.fc1, &before(&self.norm2, &x)?, Some(self.activation), None)?;
        after(&self.norm2, kernels::linear(&self.fc2, &hidden, None, Some(&x))?)
    }
}
