//! The decoder of LLaMA (Touvron et al. 2023), Vicuna, Mistral, Qwen2, Qwen3 and Phi-3; reference
//! `transformers.LlamaForCausalLM`, `MistralForCausalLM`, `Qwen2ForCausalLM`, `Qwen3ForCausalLM` and `Phi3ForCausalLM`,
//! 4.53.1.

mod layer;

use candle_core::{DType, Device, Tensor};
use candle_nn::Linear;

use super::{Cache, CacheShape, Decoder, LlamaConfig, Packing, Rotary};
use crate::{
    Result,
    kernels::{self, Heads},
    layers::{RmsNorm, causal_mask, projection},
    weights::{Init, Names, Weights},
};
use layer::LlamaLayer;

/// Standard deviation of fresh weights.
const STD: f64 = 0.02;

/// Norms by root mean square before each branch, rotary positions, heads of keys that queries share, SwiGLU. Vectors that
/// a packing has for them are added behind the layers.
pub struct Llama {
    config: LlamaConfig,
    /// `[vocabulary, width]`.
    tokens: Tensor,
    layers: Vec<LlamaLayer>,
    norm: RmsNorm,
    head: Linear,
    rotary: Rotary,
}

impl Llama {
    /// Names of the tensors as `transformers.LlamaForCausalLM` and its relatives write them.
    pub const NAMES: Names = Names {
        rename: &[
            ("tokens", "model.embed_tokens"),
            ("layers.*.norm1", "model.layers.*.input_layernorm"),
            ("layers.*.norm2", "model.layers.*.post_attention_layernorm"),
            ("layers.*.query", "model.layers.*.self_attn.q_proj"),
            ("layers.*.key", "model.layers.*.self_attn.k_proj"),
            ("layers.*.value", "model.layers.*.self_attn.v_proj"),
            ("layers.*.query_norm", "model.layers.*.self_attn.q_norm"),
            ("layers.*.key_norm", "model.layers.*.self_attn.k_norm"),
            ("layers.*.qkv", "model.layers.*.self_attn.qkv_proj"),
            ("layers.*.output", "model.layers.*.self_attn.o_proj"),
            ("layers.*.gate", "model.layers.*.mlp.gate_proj"),
            ("layers.*.up", "model.layers.*.mlp.up_proj"),
            ("layers.*.gate_up", "model.layers.*.mlp.gate_up_proj"),
            ("layers.*.down", "model.layers.*.mlp.down_proj"),
            ("norm", "model.norm"),
            ("head", "lm_head"),
        ],
        ignore: &["*.rotary_emb.inv_freq"],
    };

    /// Takes `tokens.weight`, `layers`, `norm` and, unless it is tied to the tokens, `head`.
    ///
    /// # Errors
    /// As [`Weights::get`].
    pub fn new(config: &LlamaConfig, weights: &Weights) -> Result<Self> {
        let (vocabulary, width) = (config.vocab_size, config.hidden_size);
        let tokens = weights.at("tokens").get("weight", (vocabulary, width), Init::Normal(STD))?;
        let layers = weights.at("layers");
        Ok(Self {
            layers: (0..config.num_hidden_layers)
                .map(|n| LlamaLayer::new(config, n, &layers.at(n)))
                .collect::<Result<_>>()?,
            norm: RmsNorm::new(&weights.at("norm"), width, config.rms_norm_eps)?,
            head: match config.tie_word_embeddings {
                true => Linear::new(tokens.clone(), None),
                false => projection(&weights.at("head"), width, vocabulary, STD)?,
            },
            rotary: Rotary::new(config.head_dim, config.rope_theta, config.rope_scaling.as_ref()),
            tokens,
            config: config.clone(),
        })
    }

    /// Embeddings `[batch, tokens, width]` of whole sequences to logits of the same length, `[batch, tokens,
    /// vocabulary]`, differentiable. Sequences begin together; what fills up the shorter ones at their ends is seen by
    /// nothing before it.
    ///
    /// # Errors
    /// Shapes do not agree.
    pub fn train(&self, embeddings: &Tensor) -> Result<Tensor> {
        let (_, tokens, _) = embeddings.dims3()?;
        let packing = Packing::new(vec![super::Span { slot: 0, cached: 0, count: tokens }]);
        let mask = causal_mask(tokens, embeddings.dtype(), embeddings.device())?;
        self.train_with(embeddings, &packing, &mask)
    }

    /// As [`Llama::train`], with the positions of `packing` and a `mask` `[tokens, tokens]` that is added to the scores,
    /// which all sequences have in common: so can several questions follow one image without seeing each other.
    ///
    /// # Errors
    /// Shapes do not agree.
    pub fn train_with(&self, embeddings: &Tensor, packing: &Packing, mask: &Tensor) -> Result<Tensor> {
        let angles = self.rotary.angles(packing, embeddings.device())?;
        let x = self.layers.iter().try_fold(embeddings.clone(), |x, layer| layer.train(&x, &angles, mask))?;
        Ok(self.norm.forward(&x, true)?.broadcast_matmul(&self.head.weight().t()?)?)
    }

    /// Dimensions and choices.
    pub fn config(&self) -> &LlamaConfig {
        &self.config
    }

    /// The table of embeddings, `[vocabulary, width]`.
    pub fn table(&self) -> &Tensor {
        &self.tokens
    }

    fn heads(&self, layer: usize) -> Heads {
        Heads {
            queries: self.config.num_attention_heads,
            keys: self.config.num_key_value_heads,
            scale: (self.config.head_dim as f64).powf(-0.5),
            window: self.config.window(layer),
        }
    }
}

impl Decoder for Llama {
    fn embed(&self, ids: &[u32]) -> Result<Tensor> {
        super::look_up(&self.tokens, ids)
    }

    fn forward(&self, embeddings: &Tensor, packing: &Packing, cache: &mut Cache) -> Result<Tensor> {
        super::check(self, embeddings, packing)?;
        let angles = self.rotary.angles(packing, embeddings.device())?;
        let mut x = embeddings.clone();
        for (n, layer) in self.layers.iter().enumerate() {
            x = layer.attend(&x, &angles, |joint| {
                let cached = cache.append(n, joint, packing)?;
                kernels::attend(joint, cached, packing, self.heads(n))
            })?;
            x = packing.added().behind(n, x)?;
        }
        self.norm.forward(&x, false)
    }

    fn logits(&self, states: &Tensor) -> Result<Tensor> {
        Ok(kernels::linear(&self.head, states, None, None)?.to_dtype(DType::F32)?)
    }

    fn cache_shape(&self) -> CacheShape {
        CacheShape { layers: self.layers.len(), width: self.config.key_width() }
    }

    fn vocabulary(&self) -> usize {
        self.config.vocab_size
    }

    fn placement(&self) -> (&Device, DType) {
        (self.tokens.device(), self.tokens.dtype())
    }
}
