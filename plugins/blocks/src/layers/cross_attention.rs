//! Multi-head attention of one sequence to another.

use candle_core::{D, Tensor};
use candle_nn::{Linear, Module, ops};

use super::linear;
use crate::{Result, weights::Weights};

/// Multi-head attention whose keys and values come from a context (Vaswani et al. 2017), with biased projections.
pub struct CrossAttention {
    query: Linear,
    key: Linear,
    value: Linear,
    output: Linear,
    heads: usize,
    scale: f64,
}

impl CrossAttention {
    /// Takes `query`, `key`, `value` and `output`, for tokens of `width` and a context of `context` values a token;
    /// fresh weights have the standard deviation `std`.
    ///
    /// # Errors
    /// As [`Weights::get`].
    pub fn new(weights: &Weights, (width, context): (usize, usize), heads: usize, std: f64) -> Result<Self> {
        Ok(Self {
            query: linear(&weights.at("query"), width, width, std)?,
            key: linear(&weights.at("key"), context, width, std)?,
            value: linear(&weights.at("value"), context, width, std)?,
            output: linear(&weights.at("output"), width, width, std)?,
            heads,
            scale: ((width / heads) as f64).powf(-0.5),
        })
    }

    /// Tokens `[n * m, tokens, width]` and a context `[n, length, context]`, each part of which `m` sequences in a row
    /// attend to, to the shape of the tokens.
    ///
    /// # Errors
    /// Shapes do not agree.
    pub fn forward(&self, x: &Tensor, context: &Tensor, train: bool) -> Result<Tensor> {
        let (key, value) = self.keys_and_values(context)?;
        self.attend(x, &key, &value, train)
    }

    /// Keys and values of a context `[n, length, context]`, each `[n, heads, length, width / heads]`.
    ///
    /// # Errors
    /// Shapes do not agree.
    pub fn keys_and_values(&self, context: &Tensor) -> Result<(Tensor, Tensor)> {
        Ok((self.split(&self.key.forward(context)?)?, self.split(&self.value.forward(context)?)?))
    }

    /// As [`CrossAttention::forward`], with the keys and values of the context.
    ///
    /// # Errors
    /// Shapes do not agree.
    pub fn attend(&self, x: &Tensor, key: &Tensor, value: &Tensor, train: bool) -> Result<Tensor> {
        let (groups, shape) = (key.dim(0)?, x.dims3()?);
        // Tokens do not see each other here, so the sequences of a group are as good as one.
        let x = x.reshape((groups, (), shape.2))?;
        let query = self.split(&(self.query.forward(&x)? * self.scale)?)?;
        let scores = query.matmul(&key.transpose(2, 3)?)?;
        let weights = if train { ops::softmax(&scores, D::Minus1)? } else { ops::softmax_last_dim(&scores)? };
        let mixed = weights.matmul(value)?.transpose(1, 2)?.reshape(shape)?;
        Ok(self.output.forward(&mixed)?)
    }

    /// `[n, length, width]` to `[n, heads, length, width / heads]`.
    fn split(&self, x: &Tensor) -> Result<Tensor> {
        let (batch, length, width) = x.dims3()?;
        Ok(x.reshape((batch, length, self.heads, width / self.heads))?.transpose(1, 2)?.contiguous()?)
    }
}
