//! One layer.

use candle_core::Tensor;
use candle_nn::Linear;

use super::{GemmaConfig, STD};
use crate::{
    Result,
    decoder::{Angles, head_norms::HeadNorms, joint::Joint},
    kernels,
    layers::{Activation, RmsNorm, linear, projection},
    weights::Weights,
};

/// `x + behind(attention(before(x)))`, then the same with the MLP and norms of its own.
pub struct GemmaLayer {
    before_attention: RmsNorm,
    /// Query, key and value.
    input: Joint<3>,
    norms: HeadNorms,
    output: Linear,
    behind_attention: RmsNorm,
    before_mlp: RmsNorm,
    /// Gate and up.
    gate: Joint<2>,
    activation: Activation,
    down: Linear,
    behind_mlp: RmsNorm,
    /// Heads of queries and of keys, and the size of a head.
    heads: [usize; 3],
}

impl GemmaLayer {
    /// Takes `before_attention`, `query`, `key`, `value`, `query_norm`, `key_norm`, `output`, `behind_attention`,
    /// `before_mlp`, `gate`, `up`, `down` and `behind_mlp`.
    pub fn new(config: &GemmaConfig, weights: &Weights) -> Result<Self> {
        let (width, mlp, head, eps) =
            (config.hidden_size, config.intermediate_size, config.head_dim, config.rms_norm_eps);
        let (queries, keys) = (config.num_attention_heads, config.num_key_value_heads);
        let attention = |name: &str, input, output| match config.attention_bias {
            true => linear(&weights.at(name), input, output, STD),
            false => projection(&weights.at(name), input, output, STD),
        };
        let norm = |name: &str, width| RmsNorm::around_one(&weights.at(name), width, eps);
        let input = |name, heads| attention(name, width, heads * head);
        let gate = |name: &str| projection(&weights.at(name), width, mlp, STD);
        Ok(Self {
            before_attention: norm("before_attention", width)?,
            input: Joint::new([input("query", queries)?, input("key", keys)?, input("value", keys)?], weights)?,
            norms: HeadNorms { query: norm("query_norm", head)?, key: norm("key_norm", head)? },
            output: attention("output", queries * head, width)?,
            behind_attention: norm("behind_attention", width)?,
            before_mlp: norm("before_mlp", width)?,
            gate: Joint::new([gate("gate")?, gate("up")?], weights)?,
            activation: config.hidden_activation,
            down: projection(&weights.at("down"), mlp, width, STD)?,
            behind_mlp: norm("behind_mlp", width)?,
            heads: [queries, keys, head],
        })
    }

    /// `[tokens, width]` to the same shape; `attention` takes query, key and value side by side to what was attended to.
    pub fn forward(
        &self,
        x: &Tensor,
        angles: &Angles,
        attention: impl FnOnce(&Tensor) -> Result<Tensor>,
    ) -> Result<Tensor> {
        let joint = self.input.forward(&self.before_attention.forward(x, false)?)?;
        let joint = self.norms.forward(&joint, self.heads)?;
        let [queries, keys, _] = self.heads;
        let mixed = attention(&kernels::rotate(joint, queries + keys, angles)?)?;
        let branch = kernels::linear(&self.output, &mixed, None, None)?;
        let x = (x + self.behind_attention.forward(&branch, false)?)?;
        let hidden = self.gate.forward(&self.before_mlp.forward(&x, false)?)?;
        let branch = kernels::linear(&self.down, &kernels::gate_by(&hidden, self.activation)?, None, None)?;
        Ok((x + self.behind_mlp.forward(&branch, false)?)?)
    }
}
