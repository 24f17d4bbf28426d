//! BERT's encoder (Devlin et al. 2019); reference `transformers.BertModel` (4.53.1) without its pooler.

mod layer;
mod packed;

use candle_core::{DType, Device, Tensor};
use serde::{Deserialize, Serialize};

use crate::{
    Error, Result,
    layers::{Activation, Norm},
    weights::{Init, Weights},
};
use layer::BertLayer;

/// Standard deviation of fresh weights.
const STD: f64 = 0.02;

/// Dimensions and choices of a [`Bert`]; reads `config.json`, and what is absent there is as in BERT-base, uncased.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[allow(missing_docs, reason = "the names are those of transformers.BertConfig")]
pub struct BertConfig {
    pub vocab_size: usize,
    pub hidden_size: usize,
    pub num_hidden_layers: usize,
    pub num_attention_heads: usize,
    pub intermediate_size: usize,
    pub hidden_act: Activation,
    pub max_position_embeddings: usize,
    pub type_vocab_size: usize,
    pub layer_norm_eps: f64,
    #[serde(skip)]
    pub crossing: Option<Crossing>,
}

/// Attention to a context, such as an image, as in BLIP (Li et al. 2022) and the Q-Former of BLIP-2 (Li et al. 2023).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Crossing {
    /// Layer 0 and every so many layers after it have cross-attention.
    pub every: usize,
    /// Width of a token of the context.
    pub width: usize,
    /// Tokens that see the context have their own MLP.
    pub query_mlp: bool,
}

/// What tokens see beside each other.
pub struct Context<'a> {
    /// `[n, length, width]`; with a batch of `n * m` sequences, `m` in a row see the same part.
    pub states: &'a Tensor,
    /// How many leading tokens see it; all where absent.
    pub tokens: Option<usize>,
}

/// BERT's encoder: bidirectional, norms after each branch, learned positions, all tokens of the first type, if there
/// are types.
pub struct Bert {
    config: BertConfig,
    tokens: Tensor,
    position: Tensor,
    types: Option<Tensor>,
    norm: Norm,
    layers: Vec<BertLayer>,
}

impl Default for BertConfig {
    fn default() -> Self {
        Self {
            vocab_size: 30522,
            hidden_size: 768,
            num_hidden_layers: 12,
            num_attention_heads: 12,
            intermediate_size: 3072,
            hidden_act: Activation::Gelu,
            max_position_embeddings: 512,
            type_vocab_size: 2,
            layer_norm_eps: 1e-12,
            crossing: None,
        }
    }
}

impl Bert {
    /// Takes `tokens`, `position`, `types`, `norm` and `layers`. With a vocabulary of 0 it reads no texts, only what other
    /// sources embed, and has no tables.
    ///
    /// # Errors
    /// The width is no multiple of the number of heads, or as [`Weights::get`].
    pub fn new(config: &BertConfig, weights: &Weights) -> Result<Self> {
        let (width, heads) = (config.hidden_size, config.num_attention_heads);
        if heads == 0 || !width.is_multiple_of(heads) {
            return Err(Error::Setting(format!("a width of {width} cannot be divided among {heads} attention heads")));
        }
        let table = |name: &str, rows: usize| match config.vocab_size {
            0 => Ok(weights.at("norm").get("weight", width, Init::Constant(1.0))?.zeros_like()?.unsqueeze(0)?),
            _ => weights.get(name, (rows, width), Init::Normal(STD)),
        };
        let layers = weights.at("layers");
        Ok(Self {
            tokens: table("tokens", config.vocab_size)?,
            position: table("position", config.max_position_embeddings)?,
            types: match config.type_vocab_size {
                0 => None,
                rows => Some(table("types", rows)?),
            },
            norm: Norm::new(&weights.at("norm"), width, config.layer_norm_eps)?,
            layers: (0..config.num_hidden_layers)
                .map(|n| BertLayer::new(config, n, &layers.at(n)))
                .collect::<Result<_>>()?,
            config: config.clone(),
        })
    }

    /// Texts, as ids padded to one length, to the last hidden state `[texts, tokens, width]`. `mask` is 0 at tokens
    /// that no token may attend to, as padding, and 1 elsewhere.
    ///
    /// # Errors
    /// No texts, lengths that differ or exceed the positions, an id outside the vocabulary, or a text without a token
    /// that the mask shows.
    pub fn forward(&self, ids: &[Vec<u32>], mask: &[Vec<u32>], train: bool) -> Result<Tensor> {
        let scores = self.scores(mask)?;
        self.encode(&self.embed(ids)?, Some(&scores), None, train)
    }

    /// Embeddings `[batch, tokens, width]` before their norm, of [`Bert::embed`] or of another source, to the last hidden
    /// state of the same shape; `scores` are those of [`Bert::scores`].
    ///
    /// # Errors
    /// Shapes do not agree.
    pub fn encode(
        &self,
        embeddings: &Tensor,
        scores: Option<&Tensor>,
        context: Option<&Context<'_>>,
        train: bool,
    ) -> Result<Tensor> {
        let x = self.norm.forward(embeddings, train)?;
        self.layers.iter().try_fold(x, |x, layer| layer.forward(&x, scores, context, train))
    }

    /// The embedding and the output of each layer, each `[texts, tokens, width]`: `hidden_states` in `transformers`.
    ///
    /// # Errors
    /// As [`Bert::forward`].
    pub fn hidden_states(&self, ids: &[Vec<u32>], mask: &[Vec<u32>], train: bool) -> Result<Vec<Tensor>> {
        let scores = self.scores(mask)?;
        let mut states = vec![self.norm.forward(&self.embed(ids)?, train)?];
        for (depth, layer) in self.layers.iter().enumerate() {
            states.push(layer.forward(&states[depth], Some(&scores), None, train)?);
        }
        Ok(states)
    }

    /// Dimensions and choices.
    pub fn config(&self) -> &BertConfig {
        &self.config
    }

    /// Device and number format of the weights.
    pub fn placement(&self) -> (&Device, DType) {
        (self.position.device(), self.position.dtype())
    }

    /// Texts, as ids padded to one length, to the sum of token, type and position, `[texts, tokens, width]`.
    ///
    /// # Errors
    /// No texts, lengths that differ or exceed the positions, or an id outside the vocabulary.
    pub fn embed(&self, ids: &[Vec<u32>]) -> Result<Tensor> {
        let length = self.check(ids)?;
        let flat = Tensor::new(ids.concat(), self.position.device())?;
        let tokens = self.tokens.index_select(&flat, 0)?.reshape((ids.len(), length, self.config.hidden_size))?;
        let tokens = match &self.types {
            Some(types) => tokens.broadcast_add(&types.narrow(0, 0, 1)?)?,
            None => tokens,
        };
        Ok(tokens.broadcast_add(&self.position.narrow(0, 0, length)?)?)
    }

    /// What is added to the scores of attention, `[texts, 1, 1, tokens]`, so that no token attends to those with 0 in
    /// `mask`.
    ///
    /// # Errors
    /// No texts, or masks whose lengths differ or that are all 0.
    pub fn scores(&self, mask: &[Vec<u32>]) -> Result<Tensor> {
        let length = mask.first().map_or(0, Vec::len);
        if mask.is_empty() || mask.iter().any(|mask| mask.len() != length || mask.iter().all(|&m| m == 0)) {
            return Err(Error::Setting(format!("each text needs a mask of {length} values that are not all 0")));
        }
        let scores: Vec<f32> = mask.iter().flatten().map(|&m| if m == 0 { f32::NEG_INFINITY } else { 0.0 }).collect();
        let (device, dtype) = self.placement();
        Ok(Tensor::from_vec(scores, (mask.len(), 1, 1, length), device)?.to_dtype(dtype)?)
    }

    /// The one length of the texts.
    fn check(&self, ids: &[Vec<u32>]) -> Result<usize> {
        let length = ids.first().map_or(0, Vec::len);
        let BertConfig { max_position_embeddings: longest, vocab_size, .. } = self.config;
        if length == 0 || length > longest || ids.iter().any(|ids| ids.len() != length) {
            return Err(Error::Setting(format!("texts need one length between 1 and {longest} tokens")));
        }
        match ids.iter().flatten().find(|&&id| id as usize >= vocab_size) {
            Some(id) => Err(Error::Setting(format!("token id {id} is outside the vocabulary of {vocab_size}"))),
            None => Ok(length),
        }
    }
}
