//! One layer of BERT.

use candle_core::Tensor;
use candle_nn::{Linear, Module};

use super::{BertConfig, Context, STD};
use crate::{
    Result,
    layers::{Activation, Attention, CrossAttention, EncoderConfig, Norm, linear},
    weights::Weights,
};

/// `norm1(x + attention(x))`, then, for tokens with a context, `cross_norm(x + cross(x, context))`, then
/// `norm2(x + mlp(x))`.
pub struct BertLayer {
    attention: Attention,
    norm1: Norm,
    cross: Option<(CrossAttention, Norm)>,
    mlp: Mlp,
    query_mlp: Option<Mlp>,
}

/// `norm(x + fc2(activation(fc1(x))))`.
struct Mlp {
    fc1: Linear,
    activation: Activation,
    fc2: Linear,
    norm: Norm,
}

impl BertLayer {
    /// Takes `attention`, `norm1`, `fc1`, `fc2` and `norm2`; with cross-attention `cross` and `cross_norm`; with an MLP
    /// of the queries what is below `query`.
    pub fn new(config: &BertConfig, layer: usize, weights: &Weights) -> Result<Self> {
        let (width, heads, eps) = (config.hidden_size, config.num_attention_heads, config.layer_norm_eps);
        let attention = EncoderConfig {
            width,
            depth: config.num_hidden_layers,
            heads,
            mlp: config.intermediate_size,
            activation: config.hidden_act,
            eps,
            fused_qkv: false,
        };
        let crossing = config.crossing.filter(|crossing| layer.is_multiple_of(crossing.every.max(1)));
        let cross = crossing.map(|crossing| {
            let cross = CrossAttention::new(&weights.at("cross"), (width, crossing.width), heads, STD)?;
            Ok::<_, crate::Error>((cross, Norm::new(&weights.at("cross_norm"), width, eps)?))
        });
        let queries = config.crossing.is_some_and(|crossing| crossing.query_mlp);
        Ok(Self {
            attention: Attention::new(&attention, &weights.at("attention"))?,
            norm1: Norm::new(&weights.at("norm1"), width, eps)?,
            cross: cross.transpose()?,
            mlp: Mlp::new(config, weights)?,
            query_mlp: queries.then(|| Mlp::new(config, &weights.at("query"))).transpose()?,
        })
    }

    /// `[batch, tokens, width]` to the same shape; `scores` is added to those of self-attention.
    pub fn forward(
        &self,
        x: &Tensor,
        scores: Option<&Tensor>,
        context: Option<&Context<'_>>,
        train: bool,
    ) -> Result<Tensor> {
        let x = self.norm1.forward(&(x + self.attention.forward(x, scores, train)?)?, train)?;
        let Some(context) = context else { return self.mlp.forward(&x, train) };
        let length = x.dim(1)?;
        let seeing = context.tokens.unwrap_or(length);
        let mut queries = x.narrow(1, 0, seeing)?;
        if let Some((cross, norm)) = &self.cross {
            queries = norm.forward(&(&queries + cross.forward(&queries, context.states, train)?)?, train)?;
        }
        let queries = self.query_mlp.as_ref().unwrap_or(&self.mlp).forward(&queries, train)?;
        match length - seeing {
            0 => Ok(queries),
            rest => Ok(Tensor::cat(&[&queries, &self.mlp.forward(&x.narrow(1, seeing, rest)?, train)?], 1)?),
        }
    }

    /// Keys and values of a context `[length, width]` for the cross-attention, `[2, heads, length, head]`, if there is one.
    pub fn keys_and_values(&self, context: &Tensor) -> Result<Option<Tensor>> {
        let Some((cross, _)) = &self.cross else { return Ok(None) };
        let (key, value) = cross.keys_and_values(&context.unsqueeze(0)?)?;
        Ok(Some(Tensor::cat(&[key, value], 0)?))
    }

    /// Packed tokens `[tokens, width]` to the same shape, without gradients. `attention` takes query, key and value side by
    /// side to what was attended to; `seen` has, for so many tokens each, what [`BertLayer::keys_and_values`] gave.
    pub fn packed(
        &self,
        x: &Tensor,
        attention: impl FnOnce(&Tensor) -> Result<Tensor>,
        seen: &[(usize, Tensor)],
    ) -> Result<Tensor> {
        let mut x = self.norm1.forward(&self.attention.onto_by(x, x, attention)?, false)?;
        if let Some((cross, norm)) = &self.cross {
            let mut first = 0;
            let parts = seen.iter().map(|(tokens, context)| {
                let queries = x.narrow(0, first, *tokens)?.unsqueeze(0)?;
                first += tokens;
                Ok(cross.attend(&queries, &context.narrow(0, 0, 1)?, &context.narrow(0, 1, 1)?, false)?.squeeze(0)?)
            });
            let parts = parts.collect::<Result<Vec<_>>>()?;
            x = norm.forward(&(&x + Tensor::cat(&parts, 0)?)?, false)?;
        }
        self.mlp.forward(&x, false)
    }
}

impl Mlp {
    fn new(config: &BertConfig, weights: &Weights) -> Result<Self> {
        let (width, hidden) = (config.hidden_size, config.intermediate_size);
        Ok(Self {
            fc1: linear(&weights.at("fc1"), width, hidden, STD)?,
            activation: config.hidden_act,
            fc2: linear(&weights.at("fc2"), hidden, width, STD)?,
            norm: Norm::new(&weights.at("norm2"), width, config.layer_norm_eps)?,
        })
    }

    fn forward(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        let hidden = self.activation.forward(&self.fc1.forward(x)?)?;
        self.norm.forward(&(x + self.fc2.forward(&hidden)?)?, train)
    }
}
