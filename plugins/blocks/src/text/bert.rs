//! BERT's encoder (Devlin et al. 2019); reference `transformers.BertModel` (4.53.1) without its pooler.

use candle_core::{DType, Device, Tensor};
use candle_nn::{Linear, Module};
use serde::{Deserialize, Serialize};

use crate::{
    Error, Result,
    layers::{Activation, Attention, EncoderConfig, Norm, linear},
    weights::{Init, Weights},
};

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
}

/// BERT's encoder: bidirectional, norms after each branch, learned positions, all tokens of the first type.
pub struct Bert {
    config: BertConfig,
    tokens: Tensor,
    position: Tensor,
    types: Tensor,
    norm: Norm,
    layers: Vec<BertLayer>,
}

/// `norm1(x + attention(x))`, then `norm2(x + mlp(x))`.
struct BertLayer {
    attention: Attention,
    norm1: Norm,
    fc1: Linear,
    activation: Activation,
    fc2: Linear,
    norm2: Norm,
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
        }
    }
}

impl Bert {
    /// Takes `tokens`, `position`, `types`, `norm` and `layers`.
    ///
    /// # Errors
    /// The width is no multiple of the number of heads, or as [`Weights::get`].
    pub fn new(config: &BertConfig, weights: &Weights) -> Result<Self> {
        let (width, heads) = (config.hidden_size, config.num_attention_heads);
        if heads == 0 || !width.is_multiple_of(heads) {
            return Err(Error::Setting(format!("a width of {width} cannot be divided among {heads} attention heads")));
        }
        let table = |name: &str, rows: usize| weights.get(name, (rows, width), Init::Normal(STD));
        let layers = weights.at("layers");
        Ok(Self {
            tokens: table("tokens", config.vocab_size)?,
            position: table("position", config.max_position_embeddings)?,
            types: table("types", config.type_vocab_size)?,
            norm: Norm::new(&weights.at("norm"), width, config.layer_norm_eps)?,
            layers: (0..config.num_hidden_layers)
                .map(|n| BertLayer::new(config, &layers.at(n)))
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
        let scores = self.scores(ids, mask)?;
        self.layers.iter().try_fold(self.embed(ids, train)?, |x, layer| layer.forward(&x, &scores, train))
    }

    /// The embedding and the output of each layer, each `[texts, tokens, width]`: `hidden_states` in `transformers`.
    ///
    /// # Errors
    /// As [`Bert::forward`].
    pub fn hidden_states(&self, ids: &[Vec<u32>], mask: &[Vec<u32>], train: bool) -> Result<Vec<Tensor>> {
        let scores = self.scores(ids, mask)?;
        let mut states = vec![self.embed(ids, train)?];
        for (depth, layer) in self.layers.iter().enumerate() {
            states.push(layer.forward(&states[depth], &scores, train)?);
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

    fn embed(&self, ids: &[Vec<u32>], train: bool) -> Result<Tensor> {
        let (texts, length) = (ids.len(), ids[0].len());
        let flat = Tensor::new(ids.concat(), self.position.device())?;
        let tokens = self.tokens.index_select(&flat, 0)?.reshape((texts, length, self.config.hidden_size))?;
        let tokens = tokens.broadcast_add(&self.types.narrow(0, 0, 1)?)?;
        self.norm.forward(&tokens.broadcast_add(&self.position.narrow(0, 0, length)?)?, train)
    }

    /// What is added to the scores of attention, `[texts, 1, 1, tokens]`.
    fn scores(&self, ids: &[Vec<u32>], mask: &[Vec<u32>]) -> Result<Tensor> {
        let length = ids.first().map_or(0, Vec::len);
        let BertConfig { max_position_embeddings: longest, vocab_size, .. } = self.config;
        if length == 0 || length > longest || ids.iter().any(|ids| ids.len() != length) {
            return Err(Error::Setting(format!("texts need one length between 1 and {longest} tokens")));
        }
        if mask.len() != ids.len() || mask.iter().any(|mask| mask.len() != length || mask.iter().all(|&m| m == 0)) {
            return Err(Error::Setting(format!("each text needs a mask of {length} values that are not all 0")));
        }
        if let Some(id) = ids.iter().flatten().find(|&&id| id as usize >= vocab_size) {
            return Err(Error::Setting(format!("token id {id} is outside the vocabulary of {vocab_size}")));
        }
        let scores: Vec<f32> = mask.iter().flatten().map(|&m| if m == 0 { f32::NEG_INFINITY } else { 0.0 }).collect();
        let (device, dtype) = self.placement();
        Ok(Tensor::from_vec(scores, (ids.len(), 1, 1, length), device)?.to_dtype(dtype)?)
    }
}

impl BertLayer {
    fn new(config: &BertConfig, weights: &Weights) -> Result<Self> {
        let (width, mlp, eps) = (config.hidden_size, config.intermediate_size, config.layer_norm_eps);
        let attention = EncoderConfig {
            width,
            depth: config.num_hidden_layers,
            heads: config.num_attention_heads,
            mlp,
            activation: config.hidden_act,
            eps,
            fused_qkv: false,
        };
        Ok(Self {
            attention: Attention::new(&attention, &weights.at("attention"))?,
            norm1: Norm::new(&weights.at("norm1"), width, eps)?,
            fc1: linear(&weights.at("fc1"), width, mlp, STD)?,
            activation: config.hidden_act,
            fc2: linear(&weights.at("fc2"), mlp, width, STD)?,
            norm2: Norm::new(&weights.at("norm2"), width, eps)?,
        })
    }

    fn forward(&self, x: &Tensor, scores: &Tensor, train: bool) -> Result<Tensor> {
        let x = self.norm1.forward(&(x + self.attention.forward(x, Some(scores), train)?)?, train)?;
        let hidden = self.activation.forward(&self.fc1.forward(&x)?)?;
        self.norm2.forward(&(&x + self.fc2.forward(&hidden)?)?, train)
    }
}
