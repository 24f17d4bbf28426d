//! Decoders: language models that continue texts, one token after the other.
//!
//! Sequences of different lengths are computed together without padding. Their tokens lie one after the other in
//! `[tokens, width]`, and a [`Packing`] tells which belongs where. What a sequence has shown before lies in its slot
//! of a [`Cache`]. A whole prompt, one new token of each of many sequences, or both are the same call.

mod added;
mod bert;
mod cache;
mod config;
mod gemma;
mod head_norms;
mod joint;
mod llama;
mod opt;
mod packing;
mod rotary;

use candle_core::{DType, Device, Tensor};

use crate::{Error, Result};
pub use added::Added;
pub use bert::BertDecoder;
pub use cache::{Cache, CacheLayer, CacheShape};
pub use config::{LlamaConfig, RopeScaling};
pub use gemma::{Gemma, GemmaConfig, LayerType};
pub use llama::Llama;
pub use opt::{Opt, OptConfig};
pub use packing::{Packing, Span, Together};
pub use rotary::{Angles, Rotary};

/// A language model, for inference.
pub trait Decoder: Send + Sync {
    /// Embeddings `[tokens, width]` of ids.
    ///
    /// # Errors
    /// An id is outside the vocabulary.
    fn embed(&self, ids: &[u32]) -> Result<Tensor>;

    /// Embeddings `[tokens, width]`, of [`Decoder::embed`] or of an image, to the last hidden states of the same shape,
    /// after the last norm. The tokens are added to the cache.
    ///
    /// # Errors
    /// Shapes do not agree, or a sequence is longer than the cache or the model's context.
    fn forward(&self, embeddings: &Tensor, packing: &Packing, cache: &mut Cache) -> Result<Tensor>;

    /// Hidden states `[n, width]` to logits `[n, vocabulary]` in f32.
    ///
    /// # Errors
    /// The states have another width.
    fn logits(&self, states: &Tensor) -> Result<Tensor>;

    /// What a token needs in a cache.
    fn cache_shape(&self) -> CacheShape;

    /// The most tokens of a sequence, where positions are learned; rotary ones go on.
    fn context(&self) -> Option<usize> {
        None
    }

    /// Number of ids.
    fn vocabulary(&self) -> usize;

    /// Device and number format of the weights.
    fn placement(&self) -> (&Device, DType);
}

/// Rows of a table `[ids, width]`.
fn look_up(table: &Tensor, ids: &[u32]) -> Result<Tensor> {
    let rows = table.dim(0)?;
    match ids.iter().find(|&&id| id as usize >= rows) {
        Some(id) => Err(Error::Setting(format!("token id {id} is outside the vocabulary of {rows}"))),
        None => Ok(table.index_select(&Tensor::new(ids, table.device())?, 0)?),
    }
}

/// Whether embeddings belong to a packing, and the packing into the model's context.
fn check(decoder: &dyn Decoder, embeddings: &Tensor, packing: &Packing) -> Result<()> {
    let tokens = embeddings.dim(0)?;
    if tokens != packing.tokens() || tokens == 0 {
        return Err(Error::Setting(format!("{tokens} embeddings were given for {} tokens", packing.tokens())));
    }
    let longest = packing.spans().iter().map(|span| span.cached + span.count).max().unwrap_or(0);
    match decoder.context() {
        Some(most) if longest > most => {
            Err(Error::Setting(format!("a sequence of {longest} tokens exceeds the context of {most}")))
        }
        _ => Ok(()),
    }
}
