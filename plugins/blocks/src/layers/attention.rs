//! Multi-head self-attention.

use candle_core::{D, DType, Device, Tensor};
use candle_nn::{Linear, Module, ops};

use super::{EncoderConfig, Particulars, RmsNorm, linear, projection};
use crate::{
    Result, kernels,
    weights::{Init, Weights},
};

/// Added to the mean square of queries and keys, whatever a tower adds elsewhere.
const QK_EPS: f64 = 1e-6;

/// Multi-head self-attention (Vaswani et al. 2017), most often with biased projections.
pub struct Attention {
    input: Input,
    /// Of queries and of keys, where they are normalised.
    norms: Option<[RmsNorm; 2]>,
    output: Linear,
    heads: usize,
    scale: f64,
}

/// Query, key and value are one product where possible; variables stay apart, so that each can be saved.
enum Input {
    Fused(Linear),
    Split([Linear; 3]),
}

impl Attention {
    /// Takes `query`, `key`, `value` (or `qkv` with [`EncoderConfig::fused_qkv`], where `q_bias` and `v_bias` may be apart,
    /// as in EVA) and `output`.
    ///
    /// # Errors
    /// As [`Weights::get`].
    pub fn new(config: &EncoderConfig, weights: &Weights) -> Result<Self> {
        Self::particular(config, Particulars::default(), weights)
    }

    /// As [`Attention::new`], with particulars, of which `query_norm` and `key_norm` are norms.
    ///
    /// # Errors
    /// As [`Weights::get`].
    pub fn particular(config: &EncoderConfig, particulars: Particulars, weights: &Weights) -> Result<Self> {
        let width = config.width;
        let std = (width as f64).powf(-0.5);
        let in_std = std * (2.0 * config.depth as f64).powf(-0.5);
        let layer = if particulars.qkv_bias { linear } else { projection };
        let input = if config.fused_qkv {
            match weights.shape("q_bias") {
                Some(_) => Input::Fused(without_key_bias(weights, width)?),
                None => Input::Fused(layer(&weights.at("qkv"), width, 3 * width, in_std)?),
            }
        } else {
            let part = |name| layer(&weights.at(name), width, width, in_std);
            let parts = [part("query")?, part("key")?, part("value")?];
            if weights.trainable() { Input::Split(parts) } else { Input::Fused(fuse(&parts)?) }
        };
        let norm = |name| RmsNorm::new(&weights.at(name), width, QK_EPS);
        let norms = match particulars.qk_norm {
            true => Some([norm("query_norm")?, norm("key_norm")?]),
            false => None,
        };
        let output = linear(&weights.at("output"), width, width, std)?;
        Ok(Self { input, norms, output, heads: config.heads, scale: ((width / config.heads) as f64).powf(-0.5) })
    }

    /// `[batch, tokens, width]` to the same shape; `mask` is added to the scores `[batch, heads, tokens, tokens]`
    /// and may have lengths of 1 there, or no leading axes; a shorter first axis is repeated along the batch.
    ///
    /// # Errors
    /// Shapes do not agree.
    pub fn forward(&self, x: &Tensor, mask: Option<&Tensor>, train: bool) -> Result<Tensor> {
        Ok(self.output.forward(&self.mixed(x, mask, train)?)?)
    }

    /// `residual` plus what [`Attention::forward`] gives, for inference.
    ///
    /// # Errors
    /// Shapes do not agree.
    pub fn onto(&self, residual: &Tensor, x: &Tensor, mask: Option<&Tensor>) -> Result<Tensor> {
        kernels::linear(&self.output, &self.mixed(x, mask, false)?, None, Some(residual))
    }

    /// `residual` plus attention as `attend` computes it, which takes query, key and value side by side, `[.., 3 * width]`,
    /// to what was attended to, `[.., width]`; for inference.
    ///
    /// # Errors
    /// Shapes do not agree.
    pub fn onto_by(
        &self,
        residual: &Tensor,
        x: &Tensor,
        attend: impl FnOnce(&Tensor) -> Result<Tensor>,
    ) -> Result<Tensor> {
        let joint = match &self.input {
            Input::Fused(qkv) => kernels::linear(qkv, x, None, None)?,
            Input::Split(parts) => {
                let parts = parts.iter().map(|part| part.forward(x)).collect::<candle_core::Result<Vec<_>>>()?;
                Tensor::cat(&parts, D::Minus1)?
            }
        };
        kernels::linear(&self.output, &attend(&self.normed(joint, false)?)?, None, Some(residual))
    }

    /// The values that each token attends to, mixed: `[batch, tokens, width]`.
    fn mixed(&self, x: &Tensor, mask: Option<&Tensor>, train: bool) -> Result<Tensor> {
        if let (Input::Fused(qkv), None, false) = (&self.input, mask, train) {
            let joint = self.normed(kernels::linear(qkv, x, None, None)?, train)?;
            return kernels::attention(&joint, self.heads, self.scale);
        }
        let (batch, tokens, width) = x.dims3()?;
        let [q, k, v] = self.heads_of(x, train)?;
        let scores = (q * self.scale)?.matmul(&k.transpose(2, 3)?)?;
        let scores = match mask {
            Some(mask) => add_mask(&scores, mask)?,
            None => scores,
        };
        let weights = if train { ops::softmax(&scores, D::Minus1)? } else { ops::softmax_last_dim(&scores)? };
        Ok(weights.matmul(&v)?.transpose(1, 2)?.reshape((batch, tokens, width))?)
    }

    /// Query, key and value, each `[batch, heads, tokens, width / heads]`.
    fn heads_of(&self, x: &Tensor, train: bool) -> Result<[Tensor; 3]> {
        let (batch, tokens, width) = x.dims3()?;
        let (heads, head) = (self.heads, width / self.heads);
        Ok(match &self.input {
            Input::Fused(qkv) => {
                let joint = self.normed(qkv.forward(x)?, train)?;
                let split = joint.reshape((batch, tokens, 3, heads, head))?;
                let split = split.permute((2, 0, 3, 1, 4))?.contiguous()?;
                [split.get(0)?, split.get(1)?, split.get(2)?]
            }
            Input::Split(parts) => {
                let part = |n: usize| -> Result<Tensor> {
                    let part = parts[n].forward(x)?;
                    let norm = self.norms.as_ref().and_then(|norms| norms.get(n));
                    let part = norm.map_or(Ok(part.clone()), |norm| norm.forward(&part, train))?;
                    Ok(part.reshape((batch, tokens, heads, head))?.transpose(1, 2)?.contiguous()?)
                };
                [part(0)?, part(1)?, part(2)?]
            }
        })
    }

    /// Query, key and value side by side, the first two normalised where they have norms.
    fn normed(&self, joint: Tensor, train: bool) -> Result<Tensor> {
        let Some([query, key]) = &self.norms else { return Ok(joint) };
        let width = joint.dim(D::Minus1)? / 3;
        let part = |n: usize| joint.narrow(D::Minus1, n * width, width);
        let parts = [query.forward(&part(0)?, train)?, key.forward(&part(1)?, train)?, part(2)?];
        Ok(Tensor::cat(&parts, D::Minus1)?)
    }
}

/// The mask `[tokens, tokens]` that hides the future: 0 up to the diagonal, minus infinity above it.
///
/// # Errors
/// None but those of the device.
pub fn causal_mask(tokens: usize, dtype: DType, device: &Device) -> Result<Tensor> {
    let hidden = |i: usize| if i % tokens > i / tokens { f32::NEG_INFINITY } else { 0.0 };
    let values: Vec<f32> = (0..tokens * tokens).map(hidden).collect();
    Ok(Tensor::from_vec(values, (tokens, tokens), device)?.to_dtype(dtype)?)
}

fn add_mask(scores: &Tensor, mask: &Tensor) -> Result<Tensor> {
    let (batch, heads, queries, keys) = scores.dims4()?;
    Ok(match mask.dims() {
        &[period, _, _, _] if 1 < period && period < batch => {
            let scores = scores.reshape(((), period, heads, queries, keys))?;
            scores.broadcast_add(mask)?.reshape((batch, heads, queries, keys))?
        }
        _ => scores.broadcast_add(mask)?,
    })
}

/// One layer for query, key and value where a checkpoint has biases of the first and the last only.
fn without_key_bias(weights: &Weights, width: usize) -> Result<Linear> {
    let zero = Init::Constant(0.0);
    let (query, value) = (weights.get("q_bias", width, zero)?, weights.get("v_bias", width, zero)?);
    let bias = Tensor::cat(&[&query, &query.zeros_like()?, &value], 0)?;
    let weight = weights.at("qkv").get("weight", (3 * width, width), zero)?;
    Ok(Linear::new(kernels::stored(&weight)?, Some(bias)))
}

fn fuse(parts: &[Linear; 3]) -> Result<Linear> {
    let weight = Tensor::cat(&parts.each_ref().map(Linear::weight), 0)?;
    let biases: Vec<_> = parts.iter().filter_map(Linear::bias).collect();
    let bias = if biases.is_empty() { None } else { Some(Tensor::cat(&biases, 0)?) };
    Ok(Linear::new(kernels::stored(&weight)?, bias))
}
