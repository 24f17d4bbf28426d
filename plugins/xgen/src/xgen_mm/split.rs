//! A language model with tokens of its own behind those of the one that it was made of: `DecoupledEmbedding` and
//! `DecoupledLinear` of the authors.

use blocks::{
    Result,
    decoder::{Cache, CacheShape, Decoder, Llama, Packing},
    layers::{linear, projection},
    weights::{Init, Weights},
};
use candle_core::{DType, Device, Tensor};
use candle_nn::{Linear, Module};

/// Standard deviation of fresh weights.
const STD: f64 = 0.02;

/// Rows of the inner model's tables from `base` on do not count; other tokens have these ids.
pub struct Split {
    inner: Llama,
    base: usize,
    tokens: Tensor,
    head: Linear,
}

impl Split {
    /// Takes `added_tokens` and `added_head`, of `added` tokens; the latter may have biases.
    ///
    /// # Errors
    /// As [`Weights::get`].
    pub fn new(inner: Llama, base: usize, added: usize, weights: &Weights) -> Result<Self> {
        let (width, head) = (inner.config().hidden_size, weights.at("added_head"));
        let layer = if head.shape("bias").is_some() { linear } else { projection };
        Ok(Self {
            tokens: weights.at("added_tokens").get("weight", (added, width), Init::Normal(STD))?,
            head: layer(&head, width, added, STD)?,
            inner,
            base,
        })
    }
}

impl Decoder for Split {
    fn embed(&self, ids: &[u32]) -> Result<Tensor> {
        let base = self.base as u32;
        let runs = ids.chunk_by(|a, b| (*a < base) == (*b < base)).map(|run| match run {
            [first, ..] if *first >= base => {
                let own: Vec<u32> = run.iter().map(|id| id - base).collect();
                Ok(self.tokens.index_select(&Tensor::new(own, self.tokens.device())?, 0)?)
            }
            run => self.inner.embed(run),
        });
        Ok(Tensor::cat(&runs.collect::<Result<Vec<_>>>()?, 0)?)
    }

    fn forward(&self, embeddings: &Tensor, packing: &Packing, cache: &mut Cache) -> Result<Tensor> {
        self.inner.forward(embeddings, packing, cache)
    }

    fn logits(&self, states: &Tensor) -> Result<Tensor> {
        let base = self.inner.logits(states)?.narrow(1, 0, self.base)?;
        Ok(Tensor::cat(&[&base, &self.head.forward(states)?.to_dtype(DType::F32)?], 1)?)
    }

    fn cache_shape(&self) -> CacheShape {
        self.inner.cache_shape()
    }

    fn vocabulary(&self) -> usize {
        self.base + self.tokens.dims()[0]
    }

    fn placement(&self) -> (&Device, DType) {
        self.inner.placement()
    }
}
