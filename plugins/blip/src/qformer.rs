//! The Q-Former of BLIP-2 (Li et al. 2023) before a language model: queries that look at an image, and nothing else.

use blocks::{
    text::{Bert, BertConfig, Context},
    weights::{Init, Weights},
};
use candle_core::Tensor;
use candle_nn::{Linear, Module};

use crate::retrieval::STD;

/// Queries and what brings what they saw to the width of a language model.
pub struct QFormer {
    bert: Bert,
    /// `[1, queries, width]`.
    queries: Tensor,
    projection: Linear,
}

impl QFormer {
    /// Takes `queries.tokens`, `queries` and `projection`, for `count` queries and a language model of `width`.
    ///
    /// # Errors
    /// As [`Bert::new`].
    pub fn new(config: &BertConfig, count: usize, width: usize, weights: &Weights) -> blocks::Result<Self> {
        let own = config.hidden_size;
        Ok(Self {
            bert: Bert::new(config, &weights.at("queries"))?,
            queries: weights.at("queries").get("tokens", (1, count, own), Init::Normal(STD))?,
            projection: blocks::layers::linear(&weights.at("projection"), own, width, STD)?,
        })
    }

    /// Normalised tokens of images `[n, tokens, width]` to vectors of the language model, `[queries, width]` each.
    ///
    /// # Errors
    /// Shapes do not agree.
    pub fn vectors(&self, states: &Tensor) -> blocks::Result<Vec<Tensor>> {
        let images = states.dim(0)?;
        let context = Context { states, tokens: None };
        let seen = self.bert.encode(&self.queries.repeat((images, 1, 1))?, None, Some(&context), false)?;
        let vectors = self.projection.forward(&seen)?;
        (0..images).map(|n| Ok(vectors.get(n)?)).collect()
    }
}
