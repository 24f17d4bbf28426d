//! CLIP's text transformer (Radford et al. 2021); reference `transformers.CLIPTextModel`.

use candle_core::{DType, Device, Tensor};

use crate::{
    Error, Result,
    layers::{Encoder, EncoderConfig, Norm, causal_mask},
    weights::{Init, Weights},
};

/// Which token stands for the whole text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pool {
    /// The first one with this id.
    First(u32),
    /// The first one of the highest id, as checkpoints expect whose configuration gives a wrong end-of-text id.
    HighestId,
}

/// Dimensions and choices of a [`ClipText`].
#[derive(Debug, Clone, PartialEq)]
pub struct ClipTextConfig {
    /// The transformer.
    pub encoder: EncoderConfig,
    /// Number of token ids.
    pub vocabulary: usize,
    /// Longest text, in tokens.
    pub context: usize,
    /// Which token stands for the text.
    pub pool: Pool,
}

/// CLIP's text transformer: causal, with learned positions.
pub struct ClipText {
    config: ClipTextConfig,
    tokens: Tensor,
    position: Tensor,
    encoder: Encoder,
    final_norm: Norm,
}

impl ClipText {
    /// Takes `tokens`, `position`, `layers` and `final_norm`.
    ///
    /// # Errors
    /// As [`Weights::get`].
    pub fn new(config: &ClipTextConfig, weights: &Weights) -> Result<Self> {
        let (width, embedding) = (config.encoder.width, Init::Normal(0.02));
        Ok(Self {
            tokens: weights.at("tokens").get("weight", (config.vocabulary, width), embedding)?,
            position: weights.get("position", (config.context, width), embedding)?,
            encoder: Encoder::new(&config.encoder, &weights.at("layers"))?,
            final_norm: Norm::new(&weights.at("final_norm"), width, config.encoder.eps)?,
            config: config.clone(),
        })
    }

    /// Texts, as ids padded to one length, to the normalised state of the pooled token `[texts, width]`.
    ///
    /// # Errors
    /// No texts, lengths that differ or exceed the context, an id outside the vocabulary, or no token to pool.
    pub fn forward(&self, ids: &[Vec<u32>], train: bool) -> Result<Tensor> {
        let length = ids.first().map_or(0, Vec::len);
        let rows = ids.iter().enumerate().map(|(text, ids)| Ok((text * length + self.pooled(ids)?) as u32));
        let rows = Tensor::new(rows.collect::<Result<Vec<_>>>()?, self.position.device())?;
        let states = self.hidden(ids, self.encoder.depth(), train)?;
        self.final_norm.forward(&states.flatten_to(1)?.index_select(&rows, 0)?, train)
    }

    /// Hidden state `[texts, tokens, width]` after the first `depth` layers; index `depth` of `hidden_states` in
    /// `transformers`.
    ///
    /// # Errors
    /// As [`ClipText::forward`], or there are fewer layers.
    pub fn hidden(&self, ids: &[Vec<u32>], depth: usize, train: bool) -> Result<Tensor> {
        let (device, dtype) = self.placement();
        let (texts, length) = self.check(ids)?;
        let flat = Tensor::new(ids.concat(), device)?;
        let tokens = self.tokens.index_select(&flat, 0)?.reshape((texts, length, self.config.encoder.width))?;
        let tokens = tokens.broadcast_add(&self.position.narrow(0, 0, length)?)?;
        self.encoder.forward(&tokens, Some(&causal_mask(length, dtype, device)?), depth, train)
    }

    /// Dimensions and choices.
    pub fn config(&self) -> &ClipTextConfig {
        &self.config
    }

    /// Device and number format of the weights.
    pub fn placement(&self) -> (&Device, DType) {
        (self.position.device(), self.position.dtype())
    }

    fn check(&self, ids: &[Vec<u32>]) -> Result<(usize, usize)> {
        let length = ids.first().map_or(0, Vec::len);
        let ClipTextConfig { context, vocabulary, .. } = self.config;
        if length == 0 || length > context || ids.iter().any(|ids| ids.len() != length) {
            return Err(Error::Setting(format!("texts need one length between 1 and {context} tokens")));
        }
        match ids.iter().flatten().find(|&&id| id as usize >= vocabulary) {
            Some(id) => Err(Error::Setting(format!("token id {id} is outside the vocabulary of {vocabulary}"))),
            None => Ok((ids.len(), length)),
        }
    }

    fn pooled(&self, ids: &[u32]) -> Result<usize> {
        let wanted = match self.config.pool {
            Pool::First(id) => id,
            Pool::HighestId => ids.iter().copied().max().unwrap_or_default(),
        };
        ids.iter()
            .position(|&id| id == wanted)
            .ok_or_else(|| Error::Setting(format!("a text lacks the end-of-text id {wanted}")))
    }
}
