//! BERT as a decoder that attends to a context, as BLIP has it (Li et al. 2022); reference
//! `transformers.models.blip.modeling_blip_text.BlipTextLMHeadModel`, 4.53.1.

use candle_core::{DType, Device, Tensor};
use candle_nn::Linear;

use super::{Cache, CacheShape, Decoder, Packing};
use crate::{
    Error, Result,
    kernels::{self, Heads},
    layers::{Norm, linear},
    text::{Bert, BertConfig},
    weights::Weights,
};

/// Standard deviation of fresh weights.
const STD: f64 = 0.02;

/// A causal [`Bert`] with a head that tells the next token. Each sequence attends to a context of its own.
pub struct BertDecoder {
    bert: Bert,
    transform: Linear,
    norm: Norm,
    head: Linear,
}

impl BertDecoder {
    /// Takes `bert`, `transform`, `norm` and `head`; `config` has cross-attention.
    ///
    /// # Errors
    /// As [`Bert::new`].
    pub fn new(config: &BertConfig, weights: &Weights) -> Result<Self> {
        let width = config.hidden_size;
        Ok(Self {
            bert: Bert::new(config, &weights.at("bert"))?,
            transform: linear(&weights.at("transform"), width, width, STD)?,
            norm: Norm::new(&weights.at("norm"), width, config.layer_norm_eps)?,
            head: linear(&weights.at("head"), width, config.vocab_size, STD)?,
        })
    }

    /// States `[length, width]` as a sequence attends to them, which is what [`crate::generate::Prompt::context`] takes:
    /// keys and values of all layers, so that they are computed once.
    ///
    /// # Errors
    /// The states have another width than the cross-attention takes.
    pub fn context_of(&self, states: &Tensor) -> Result<Tensor> {
        self.bert.keys_and_values(states)
    }
}

impl Decoder for BertDecoder {
    fn embed(&self, ids: &[u32]) -> Result<Tensor> {
        self.bert.look_up(ids)
    }

    fn forward(&self, embeddings: &Tensor, packing: &Packing, cache: &mut Cache) -> Result<Tensor> {
        super::check(self, embeddings, packing)?;
        let seen = packing.spans().iter().map(|span| {
            let none = || Error::Setting("a sequence has nothing to attend to".into());
            Ok((span.count, cache.context(span.slot).cloned().ok_or_else(none)?))
        });
        let seen = seen.collect::<Result<Vec<_>>>()?;
        let seen: Vec<_> = seen.iter().map(|(count, context)| (*count, context)).collect();
        let positions: Vec<u32> = packing.positions().iter().map(|[position, ..]| *position).collect();
        let config = self.bert.config();
        let heads = config.num_attention_heads;
        let scale = ((config.hidden_size / heads) as f64).powf(-0.5);
        let heads = Heads { queries: heads, keys: heads, scale, window: None };
        let attention = |layer, joint: &Tensor| {
            let cached = cache.append(layer, joint, packing)?;
            kernels::attend(joint, cached, packing, heads)
        };
        self.bert.packed(embeddings, &positions, attention, &seen)
    }

    fn logits(&self, states: &Tensor) -> Result<Tensor> {
        let hidden = kernels::linear(&self.transform, states, Some(self.bert.config().hidden_act), None)?;
        Ok(kernels::linear(&self.head, &self.norm.forward(&hidden, false)?, None, None)?.to_dtype(DType::F32)?)
    }

    fn cache_shape(&self) -> CacheShape {
        let config = self.bert.config();
        CacheShape { layers: config.num_hidden_layers, width: config.hidden_size }
    }

    fn context(&self) -> Option<usize> {
        Some(self.bert.config().max_position_embeddings)
    }

    fn vocabulary(&self) -> usize {
        self.bert.config().vocab_size
    }

    fn placement(&self) -> (&Device, DType) {
        self.bert.placement()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        decoder::Span,
        layers::causal_mask,
        text::{Context, Crossing},
    };

    fn decoder() -> BertDecoder {
        let config = BertConfig {
            vocab_size: 31,
            hidden_size: 12,
            num_hidden_layers: 3,
            num_attention_heads: 3,
            intermediate_size: 20,
            max_position_embeddings: 9,
            type_vocab_size: 0,
            crossing: Some(Crossing { every: 2, width: 10, query_mlp: false }),
            ..BertConfig::default()
        };
        let weights = Weights::fresh(5, &Device::Cpu);
        let decoder = BertDecoder::new(&config, &weights).unwrap();
        for (_, var) in weights.vars() {
            let noise = Tensor::randn(0f32, 0.3, var.shape(), &Device::Cpu).unwrap();
            var.set(&(var.as_tensor() + noise).unwrap()).unwrap();
        }
        decoder
    }

    #[test]
    fn packed_pieces_of_sequences_equal_whole_ones_of_the_encoder() {
        let decoder = decoder();
        let (device, dtype) = decoder.placement();
        let mut cache = Cache::new(decoder.cache_shape(), 3, 9, device, dtype).unwrap();
        let ids: [&[u32]; 2] = [&[1, 2, 3, 4, 5], &[7, 30, 9]];
        let contexts = [6, 4].map(|length| Tensor::randn(0f32, 1.0, (length, 10), device).unwrap());
        for (slot, context) in [2, 0].into_iter().zip(&contexts) {
            cache.set_context(slot, Some(decoder.context_of(context).unwrap()));
        }
        let mut run = |spans: Vec<Span>, ids: &[u32]| {
            let embedded = decoder.embed(ids).unwrap();
            decoder.forward(&embedded, &Packing::new(spans), &mut cache).unwrap()
        };
        let first = run(
            vec![Span { slot: 2, cached: 0, count: 4 }, Span { slot: 0, cached: 0, count: 2 }],
            &[1, 2, 3, 4, 7, 30],
        );
        let second = run(vec![Span { slot: 2, cached: 4, count: 1 }, Span { slot: 0, cached: 2, count: 1 }], &[5, 9]);
        let part = |x: &Tensor, start, count| x.narrow(0, start, count).unwrap();
        let found = [
            Tensor::cat(&[part(&first, 0, 4), part(&second, 0, 1)], 0).unwrap(),
            Tensor::cat(&[part(&first, 4, 2), part(&second, 1, 1)], 0).unwrap(),
        ];
        for ((found, ids), context) in found.iter().zip(ids).zip(&contexts) {
            let mask = causal_mask(ids.len(), dtype, device).unwrap();
            let states = context.unsqueeze(0).unwrap();
            let context = Context { states: &states, tokens: None };
            let embedded = decoder.bert.embed(&[ids.to_vec()]).unwrap();
            let whole = decoder.bert.encode(&embedded, Some(&mask), Some(&context), true).unwrap();
            let difference = (found - whole.squeeze(0).unwrap()).unwrap().abs().unwrap().max_all().unwrap();
            assert!(difference.to_scalar::<f32>().unwrap() < 1e-5, "{difference}");
        }
    }

    #[test]
    fn nothing_to_attend_to_is_an_error() {
        let decoder = decoder();
        let (device, dtype) = decoder.placement();
        let mut cache = Cache::new(decoder.cache_shape(), 1, 9, device, dtype).unwrap();
        let packing = Packing::new(vec![Span { slot: 0, cached: 0, count: 1 }]);
        let error = decoder.forward(&decoder.embed(&[1]).unwrap(), &packing, &mut cache).unwrap_err();
        assert_eq!(error.to_string(), "a sequence has nothing to attend to");
    }
}
