//! The decoder of Gemma 3 (Gemma Team 2025); reference `transformers.Gemma3TextModel`, 4.53.1.

mod config;
mod layer;

use candle_core::{DType, Device, Tensor};
use candle_nn::Linear;

use super::{Cache, CacheShape, Decoder, Packing, Rotary};
use crate::{
    Result,
    kernels::{self, Heads},
    layers::{RmsNorm, projection},
    weights::{Init, Weights},
};
pub use config::{GemmaConfig, LayerType};
use layer::GemmaLayer;

/// Standard deviation of fresh weights.
const STD: f64 = 0.02;

/// Norms by root mean square around each branch and of the heads of queries and keys, gated GELU, and layers that see a
/// window of the text between those that see all of it, which have rotary positions of their own.
///
/// What stands for images is handed to [`Decoder::forward`] as it is; [`Decoder::embed`] scales.
pub struct Gemma {
    config: GemmaConfig,
    /// `[vocabulary, width]`.
    tokens: Tensor,
    layers: Vec<GemmaLayer>,
    norm: RmsNorm,
    head: Linear,
    /// Of layers with a window.
    local: Rotary,
    /// Of the others.
    global: Rotary,
}

impl Gemma {
    /// Takes `tokens.weight`, `layers`, `norm` and, unless it is tied to the tokens, `head`.
    ///
    /// # Errors
    /// As [`Weights::get`].
    pub fn new(config: &GemmaConfig, weights: &Weights) -> Result<Self> {
        let (vocabulary, width) = (config.vocab_size, config.hidden_size);
        let tokens = weights.at("tokens").get("weight", (vocabulary, width), Init::Normal(STD))?;
        let layers = weights.at("layers");
        Ok(Self {
            layers: (0..config.num_hidden_layers)
                .map(|n| GemmaLayer::new(config, &layers.at(n)))
                .collect::<Result<_>>()?,
            norm: RmsNorm::around_one(&weights.at("norm"), width, config.rms_norm_eps)?,
            head: match config.tie_word_embeddings {
                true => Linear::new(tokens.clone(), None),
                false => projection(&weights.at("head"), width, vocabulary, STD)?,
            },
            local: Rotary::new(config.head_dim, config.rope_local_base_freq, None),
            global: Rotary::new(config.head_dim, config.rope_theta, config.rope_scaling.as_ref()),
            tokens,
            config: config.clone(),
        })
    }

    /// Dimensions and choices.
    pub fn config(&self) -> &GemmaConfig {
        &self.config
    }
}

impl Decoder for Gemma {
    fn embed(&self, ids: &[u32]) -> Result<Tensor> {
        // The product rounds the root to the format of the weights first, as the reference does.
        Ok((super::look_up(&self.tokens, ids)? * f64::from((self.config.hidden_size as f32).sqrt()))?)
    }

    fn forward(&self, embeddings: &Tensor, packing: &Packing, cache: &mut Cache) -> Result<Tensor> {
        super::check(self, embeddings, packing)?;
        let device = embeddings.device();
        let (local, global) = (self.local.angles(packing, device)?, self.global.angles(packing, device)?);
        let mut x = embeddings.clone();
        for (n, layer) in self.layers.iter().enumerate() {
            let window = self.config.window(n);
            let angles = if window.is_some() { &local } else { &global };
            let heads = Heads {
                queries: self.config.num_attention_heads,
                keys: self.config.num_key_value_heads,
                scale: self.config.query_pre_attn_scalar.powf(-0.5),
                window,
            };
            x = layer.forward(&x, angles, |joint| {
                let cached = cache.append(n, joint, packing)?;
                kernels::attend(joint, cached, packing, heads)
            })?;
        }
        self.norm.forward(&x, false)
    }

    fn logits(&self, states: &Tensor) -> Result<Tensor> {
        Ok(kernels::linear(&self.head, states, None, None)?.to_dtype(DType::F32)?)
    }

    fn cache_shape(&self) -> CacheShape {
        CacheShape { layers: self.layers.len(), width: self.config.num_key_value_heads * self.config.head_dim }
    }

    fn vocabulary(&self) -> usize {
        self.config.vocab_size
    }

    fn placement(&self) -> (&Device, DType) {
        (self.tokens.device(), self.tokens.dtype())
    }
}
