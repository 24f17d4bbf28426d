//! One layer.

use candle_core::{D, Tensor};
use candle_nn::{Linear, Module, ops};

use super::STD;
use crate::{
    Result,
    decoder::{Angles, LlamaConfig, head_norms::HeadNorms, joint::Joint},
    kernels,
    layers::{RmsNorm, linear, projection},
    weights::Weights,
};

/// `x + attention(norm1(x))`, then `x + mlp(norm2(x))`.
pub struct LlamaLayer {
    norm1: RmsNorm,
    /// Query, key and value.
    input: Joint<3>,
    norms: Option<HeadNorms>,
    output: Linear,
    norm2: RmsNorm,
    /// Gate and up.
    gate: Joint<2>,
    down: Linear,
    /// Heads of queries and of keys, and the size of a head.
    heads: [usize; 3],
}

impl LlamaLayer {
    /// Takes `norm1`, `query`, `key`, `value`, `output`, `norm2`, `gate`, `up` and `down`, or with
    /// [`LlamaConfig::fused`] `qkv` in place of the first three and `gate_up` in place of those two; with
    /// [`LlamaConfig::head_norms`] `query_norm` and `key_norm` as well.
    pub fn new(config: &LlamaConfig, depth: usize, weights: &Weights) -> Result<Self> {
        let (width, mlp, eps) = (config.hidden_size, config.intermediate_size, config.rms_norm_eps);
        let (queries, keys) = (config.query_width(), config.key_width());
        // Fresh weights as GPT-2's: residual branches shrink with the number of layers.
        let last_std = STD * (2.0 * config.num_hidden_layers.max(depth + 1) as f64).powf(-0.5);
        let layer = |name: &str, input, output, bias, std| match bias {
            true => linear(&weights.at(name), input, output, std),
            false => projection(&weights.at(name), input, output, std),
        };
        let part = |name, output| layer(name, width, output, config.qkv_bias, STD);
        let gate = |name, output| layer(name, width, output, config.mlp_bias, STD);
        let (input, gate) = match config.fused {
            true => (Joint::Fused(part("qkv", queries + 2 * keys)?), Joint::Fused(gate("gate_up", 2 * mlp)?)),
            false => (
                Joint::new([part("query", queries)?, part("key", keys)?, part("value", keys)?], weights)?,
                Joint::new([gate("gate", mlp)?, gate("up", mlp)?], weights)?,
            ),
        };
        let norm = |name: &str, width| RmsNorm::new(&weights.at(name), width, eps);
        let norms = || -> Result<HeadNorms> {
            Ok(HeadNorms { query: norm("query_norm", config.head_dim)?, key: norm("key_norm", config.head_dim)? })
        };
        Ok(Self {
            norm1: norm("norm1", width)?,
            input,
            norms: config.head_norms.then(norms).transpose()?,
            output: layer("output", queries, width, config.output_bias, last_std)?,
            norm2: norm("norm2", width)?,
            gate,
            down: layer("down", mlp, width, config.mlp_bias, last_std)?,
            heads: [config.num_attention_heads, config.num_key_value_heads, config.head_dim],
        })
    }

    /// `[tokens, width]` to the same shape; `attention` takes query, key and value side by side to what was attended to.
    pub fn attend(
        &self,
        x: &Tensor,
        angles: &Angles,
        attention: impl FnOnce(&Tensor) -> Result<Tensor>,
    ) -> Result<Tensor> {
        let mut joint = self.input.forward(&self.norm1.forward(x, false)?)?;
        if let Some(norms) = &self.norms {
            joint = norms.forward(&joint, self.heads)?;
        }
        let [queries, keys, _] = self.heads;
        let mixed = attention(&kernels::rotate(joint, queries + keys, angles)?)?;
        let x = kernels::linear(&self.output, &mixed, None, Some(x))?;
        let hidden = kernels::gate(&self.gate.forward(&self.norm2.forward(&x, false)?)?)?;
        kernels::linear(&self.down, &hidden, None, Some(&x))
    }

    /// `[batch, tokens, width]` to the same shape, differentiable.
    pub fn train(&self, x: &Tensor, angles: &Angles, mask: &Tensor) -> Result<Tensor> {
        let (batch, tokens, _) = x.dims3()?;
        let [queries, keys, head] = self.heads;
        let parts = self.input.apart(&self.norm1.forward(x, true)?, [queries * head, keys * head, keys * head])?;
        let turned = |x: &Tensor, heads: usize, norm: Option<&RmsNorm>| -> Result<Tensor> {
            let rows = x.reshape((batch * tokens, heads, head))?;
            let rows = norm.map_or_else(|| Ok(rows.clone()), |norm| norm.forward(&rows, true))?;
            // Angles are those of one sequence, which all have in common.
            let cos = angles.cos.repeat((batch, 1))?;
            let angles = Angles { cos, sin: angles.sin.repeat((batch, 1))? };
            Ok(angles.turn(&rows)?.reshape((batch, tokens, heads, head))?)
        };
        let shared = |x: Tensor| -> Result<Tensor> {
            let each = queries / keys;
            let x = x.reshape((batch, tokens, keys, 1, head))?.broadcast_as((batch, tokens, keys, each, head))?;
            Ok(x.reshape((batch, tokens, queries, head))?.transpose(1, 2)?.contiguous()?)
        };
        let (query, key) = self.norms.as_ref().map(|norms| (&norms.query, &norms.key)).unzip();
        let query = turned(&parts[0], queries, query)?.transpose(1, 2)?.contiguous()?;
        let (key, value) = (shared(turned(&parts[1], keys, key)?)?, shared(parts[2].clone())?);
        let scores = (query * (head as f64).powf(-0.5))?.matmul(&key.transpose(2, 3)?)?.broadcast_add(mask)?;
        let mixed = ops::softmax(&scores, D::Minus1)?.matmul(&value)?.transpose(1, 2)?;
        let x = (x + self.output.forward(&mixed.reshape((batch, tokens, queries * head))?)?)?;
        let width = self.down.weight().dim(1)?;
        let [gate, up] = self.gate.apart(&self.norm2.forward(&x, true)?, [width; 2])?;
        Ok((&x + self.down.forward(&(gate.silu()? * up)?)?)?)
    }
}
