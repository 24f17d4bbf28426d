//! SigLIP's text transformer (Zhai et al. 2023); reference `transformers.SiglipTextModel`.

use candle_core::{DType, Device, Tensor};
use candle_nn::{Linear, Module};

use crate::{
    Error, Result,
    layers::{Encoder, EncoderConfig, Norm, linear},
    weights::{Init, Weights},
};

/// Dimensions of a [`SiglipText`].
#[derive(Debug, Clone, PartialEq)]
pub struct SiglipTextConfig {
    /// The transformer.
    pub encoder: EncoderConfig,
    /// Number of token ids.
    pub vocabulary: usize,
    /// Longest text, in tokens.
    pub context: usize,
    /// Width of the output.
    pub output: usize,
}

/// SigLIP's text transformer: every token, padding included, sees every other; the last one stands for the text.
pub struct SiglipText {
    config: SiglipTextConfig,
    tokens: Tensor,
    position: Tensor,
    encoder: Encoder,
    final_norm: Norm,
    head: Linear,
}

impl SiglipText {
    /// Takes `tokens`, `position`, `layers`, `final_norm` and `head`.
    ///
    /// # Errors
    /// As [`Weights::get`].
    pub fn new(config: &SiglipTextConfig, weights: &Weights) -> Result<Self> {
        let (width, embedding) = (config.encoder.width, Init::Normal(0.02));
        Ok(Self {
            tokens: weights.at("tokens").get("weight", (config.vocabulary, width), embedding)?,
            position: weights.get("position", (config.context, width), embedding)?,
            encoder: Encoder::new(&config.encoder, &weights.at("layers"))?,
            final_norm: Norm::new(&weights.at("final_norm"), width, config.encoder.eps)?,
            head: linear(&weights.at("head"), width, config.output, (width as f64).powf(-0.5))?,
            config: config.clone(),
        })
    }

    /// Texts, as ids padded to one length, to `[texts, output]`. The length matters: it moves the last token.
    ///
    /// # Errors
    /// No texts, lengths that differ or exceed the context, or an id outside the vocabulary.
    pub fn forward(&self, ids: &[Vec<u32>], train: bool) -> Result<Tensor> {
        let states = self.hidden(ids, self.encoder.depth(), train)?;
        let last = states.narrow(1, states.dim(1)? - 1, 1)?.squeeze(1)?;
        Ok(self.head.forward(&self.final_norm.forward(&last, train)?)?)
    }

    /// Hidden state `[texts, tokens, width]` after the first `depth` layers; index `depth` of `hidden_states` in
    /// `transformers`.
    ///
    /// # Errors
    /// As [`SiglipText::forward`], or there are fewer layers.
    pub fn hidden(&self, ids: &[Vec<u32>], depth: usize, train: bool) -> Result<Tensor> {
        let (texts, length) = self.check(ids)?;
        let flat = Tensor::new(ids.concat(), self.position.device())?;
        let tokens = self.tokens.index_select(&flat, 0)?.reshape((texts, length, self.config.encoder.width))?;
        let tokens = tokens.broadcast_add(&self.position.narrow(0, 0, length)?)?;
        self.encoder.forward(&tokens, None, depth, train)
    }

    /// Dimensions.
    pub fn config(&self) -> &SiglipTextConfig {
        &self.config
    }

    /// Device and number format of the weights.
    pub fn placement(&self) -> (&Device, DType) {
        (self.position.device(), self.position.dtype())
    }

    fn check(&self, ids: &[Vec<u32>]) -> Result<(usize, usize)> {
        let length = ids.first().map_or(0, Vec::len);
        let SiglipTextConfig { context, vocabulary, .. } = self.config;
        if length == 0 || length > context || ids.iter().any(|ids| ids.len() != length) {
            return Err(Error::Setting(format!("texts need one length between 1 and {context} tokens")));
        }
        match ids.iter().flatten().find(|&&id| id as usize >= vocabulary) {
            Some(id) => Err(Error::Setting(format!("token id {id} is outside the vocabulary of {vocabulary}"))),
            None => Ok((ids.len(), length)),
        }
    }
}
