//! The decoder of OPT (Zhang et al. 2022); reference `transformers.OPTForCausalLM`, 4.53.1.

mod config;
mod layer;

use candle_core::{DType, Device, Tensor};
use candle_nn::Linear;

use super::{Cache, CacheShape, Decoder, Packing};
use crate::{
    Result,
    kernels::{self, Heads},
    layers::{Norm, projection},
    weights::{Init, Weights},
};
pub use config::OptConfig;
use layer::OptLayer;

/// Standard deviation of fresh weights.
const STD: f64 = 0.02;
/// Added to the variance in layer norms.
const EPS: f64 = 1e-5;
/// The first rows of the table of positions are not used.
const OFFSET: usize = 2;

/// Learned positions, layer norms before or after each branch, an MLP without a gate.
pub struct Opt {
    config: OptConfig,
    /// `[vocabulary, embedding]`.
    tokens: Tensor,
    /// `[OFFSET + context, width]`.
    position: Tensor,
    /// From the width of an embedding to that of the layers, and back, where they differ.
    inward: Option<Linear>,
    outward: Option<Linear>,
    layers: Vec<OptLayer>,
    norm: Option<Norm>,
    head: Linear,
}

impl Opt {
    /// Takes `tokens.weight`, `position`, `layers` and, as far as configured, `inward`, `outward`, `norm` and `head`.
    ///
    /// # Errors
    /// As [`Weights::get`].
    pub fn new(config: &OptConfig, weights: &Weights) -> Result<Self> {
        let (width, embedding) = (config.hidden_size, config.embedding());
        let tokens = weights.at("tokens").get("weight", (config.vocab_size, embedding), Init::Normal(STD))?;
        let between = |name, input, output| match width == embedding {
            true => Ok(None),
            false => projection(&weights.at(name), input, output, STD).map(Some),
        };
        let layers = weights.at("layers");
        let positions = (OFFSET + config.max_position_embeddings, width);
        Ok(Self {
            position: weights.get("position", positions, Init::Normal(STD))?,
            inward: between("inward", embedding, width)?,
            outward: between("outward", width, embedding)?,
            layers: (0..config.num_hidden_layers)
                .map(|n| OptLayer::new(config, &layers.at(n)))
                .collect::<Result<_>>()?,
            norm: config.last_norm().then(|| Norm::new(&weights.at("norm"), width, EPS)).transpose()?,
            head: match config.tie_word_embeddings {
                true => Linear::new(tokens.clone(), None),
                false => projection(&weights.at("head"), embedding, config.vocab_size, STD)?,
            },
            tokens,
            config: config.clone(),
        })
    }

    /// Dimensions and choices.
    pub fn config(&self) -> &OptConfig {
        &self.config
    }
}

impl Decoder for Opt {
    fn embed(&self, ids: &[u32]) -> Result<Tensor> {
        super::look_up(&self.tokens, ids)
    }

    fn forward(&self, embeddings: &Tensor, packing: &Packing, cache: &mut Cache) -> Result<Tensor> {
        super::check(self, embeddings, packing)?;
        let rows: Vec<u32> = packing.positions().iter().map(|[position, ..]| position + OFFSET as u32).collect();
        let positions = super::look_up(&self.position, &rows)?;
        let project = |layer: &Option<Linear>, x: Tensor| match layer {
            Some(layer) => kernels::linear(layer, &x, None, None),
            None => Ok(x),
        };
        let mut x = (project(&self.inward, embeddings.clone())? + positions)?;
        let heads = Heads {
            queries: self.config.num_attention_heads,
            keys: self.config.num_attention_heads,
            scale: (self.config.head() as f64).powf(-0.5),
            window: None,
        };
        for (n, layer) in self.layers.iter().enumerate() {
            x = layer.forward(&x, |joint| {
                let cached = cache.append(n, joint, packing)?;
                kernels::attend(joint, cached, packing, heads)
            })?;
        }
        let x = self.norm.as_ref().map_or(Ok(x.clone()), |norm| norm.forward(&x, false))?;
        project(&self.outward, x)
    }

    fn logits(&self, states: &Tensor) -> Result<Tensor> {
        Ok(kernels::linear(&self.head, states, None, None)?.to_dtype(DType::F32)?)
    }

    fn cache_shape(&self) -> CacheShape {
        CacheShape { layers: self.layers.len(), width: self.config.hidden_size }
    }

    fn context(&self) -> Option<usize> {
        Some(self.config.max_position_embeddings)
    }

    fn vocabulary(&self) -> usize {
        self.config.vocab_size
    }

    fn placement(&self) -> (&Device, DType) {
        (self.tokens.device(), self.tokens.dtype())
    }
}
