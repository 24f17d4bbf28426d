//! `text_config` of Gemma 3, with the defaults of `transformers.Gemma3TextConfig` (4.53.1).

use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::{decoder::RopeScaling, layers::Activation};

/// Dimensions and choices of a [`super::Gemma`].
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[allow(missing_docs, reason = "the names are those of transformers.Gemma3TextConfig")]
pub struct GemmaConfig {
    pub vocab_size: usize,
    pub hidden_size: usize,
    pub intermediate_size: usize,
    pub num_hidden_layers: usize,
    pub num_attention_heads: usize,
    pub num_key_value_heads: usize,
    pub head_dim: usize,
    pub hidden_activation: Activation,
    pub rms_norm_eps: f64,
    /// Of layers without a window.
    pub rope_theta: f64,
    /// The same.
    pub rope_scaling: Option<RopeScaling>,
    /// Of layers with a window.
    pub rope_local_base_freq: f64,
    pub attention_bias: bool,
    /// Scores are divided by its root.
    pub query_pre_attn_scalar: f64,
    /// Tokens that a token sees in a layer with a window, itself included.
    pub sliding_window: usize,
    /// Which layers have a window.
    pub layer_types: Vec<LayerType>,
    pub tie_word_embeddings: bool,
}

/// What a token of a layer sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LayerType {
    /// A window.
    SlidingAttention,
    /// Everything before it.
    FullAttention,
}

impl GemmaConfig {
    /// Reads a configuration. What is absent is as `transformers` has it.
    ///
    /// # Errors
    /// Something is of another type or of no use, or asks for what is not built in.
    pub fn parse(raw: &Map<String, Value>) -> Result<Self, String> {
        let mut merged = defaults();
        raw.iter().filter(|(_, value)| !value.is_null()).for_each(|(key, value)| merged[key] = value.clone());
        for cap in ["final_logit_softcapping", "attn_logit_softcapping"] {
            if !merged[cap].is_null() {
                return Err(format!("`{cap}` is {}, but Gemma 3 is built in without it", merged[cap]));
            }
        }
        RopeScaling::unify(&mut merged["rope_scaling"]);
        if merged["layer_types"].is_null() {
            let layers = merged["num_hidden_layers"].as_u64().unwrap_or(0);
            let pattern = merged["sliding_window_pattern"].as_u64().filter(|&n| n > 0);
            let pattern = pattern.ok_or_else(|| {
                format!("`sliding_window_pattern` is {}, expected a number above 0", merged["sliding_window_pattern"])
            })?;
            let kind = |n: u64| if n.is_multiple_of(pattern) { "full_attention" } else { "sliding_attention" };
            merged["layer_types"] = (1..=layers).map(kind).collect();
        }
        let config: Self =
            serde_json::from_value(merged).map_err(|e| format!("not a configuration of `gemma3_text`: {e}"))?;
        config.check().map(|()| config)
    }

    /// The window of `layer`, if it has one.
    pub fn window(&self, layer: usize) -> Option<usize> {
        (self.layer_types[layer] == LayerType::SlidingAttention).then_some(self.sliding_window)
    }

    fn check(&self) -> Result<(), String> {
        let (heads, keys, layers) = (self.num_attention_heads, self.num_key_value_heads, self.num_hidden_layers);
        if keys == 0 || !heads.is_multiple_of(keys) {
            return Err(format!("{heads} heads of queries cannot share {keys} heads of keys"));
        }
        if self.head_dim == 0 || !self.head_dim.is_multiple_of(2) {
            return Err(format!("`head_dim` is {}, expected an even number above 0", self.head_dim));
        }
        if self.sliding_window == 0 {
            return Err("`sliding_window` is 0, but a token sees at least itself".into());
        }
        if self.layer_types.len() != layers {
            return Err(format!("`layer_types` names {} layers, but there are {layers}", self.layer_types.len()));
        }
        if self.query_pre_attn_scalar <= 0.0 {
            return Err(format!(
                "`query_pre_attn_scalar` is {}, expected a number above 0",
                self.query_pre_attn_scalar
            ));
        }
        match self.rope_scaling {
            Some(RopeScaling::Mrope { .. }) => Err("`rope_scaling` has `mrope_section`, which Gemma 3 has not".into()),
            _ => Ok(()),
        }
    }
}

fn defaults() -> Value {
    json!({
        "vocab_size": 262208, "hidden_size": 2304, "intermediate_size": 9216, "num_hidden_layers": 26,
        "num_attention_heads": 8, "num_key_value_heads": 4, "head_dim": 256, "hidden_activation": "gelu_pytorch_tanh",
        "rms_norm_eps": 1e-6, "rope_theta": 1e6, "rope_scaling": null, "rope_local_base_freq": 1e4,
        "attention_bias": false, "query_pre_attn_scalar": 256, "sliding_window": 4096, "sliding_window_pattern": 6,
        "layer_types": null, "tie_word_embeddings": true, "final_logit_softcapping": null,
        "attn_logit_softcapping": null
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(raw: Value) -> Result<GemmaConfig, String> {
        GemmaConfig::parse(raw.as_object().unwrap())
    }

    #[test]
    fn what_is_absent_is_as_in_the_reference() {
        let config = parse(json!({"rope_scaling": {"factor": 8.0, "rope_type": "linear"}})).unwrap();
        assert_eq!((config.num_hidden_layers, config.head_dim, config.sliding_window), (26, 256, 4096));
        let global: Vec<usize> = (0..26).filter(|&n| config.window(n).is_none()).collect();
        assert_eq!((global, config.window(0)), (vec![5, 11, 17, 23], Some(4096)));
        assert_eq!(config.rope_scaling, Some(RopeScaling::Linear { factor: 8.0 }));
        assert_eq!((config.rope_theta, config.rope_local_base_freq, config.tie_word_embeddings), (1e6, 1e4, true));
    }

    #[test]
    fn layers_by_a_pattern_or_by_name() {
        let config = parse(json!({"num_hidden_layers": 4, "sliding_window_pattern": 2, "sliding_window": 9})).unwrap();
        assert_eq!([0, 1, 2, 3].map(|n| config.window(n)), [Some(9), None, Some(9), None]);
        let types = json!(["full_attention", "sliding_attention"]);
        let config = parse(json!({"num_hidden_layers": 2, "layer_types": types})).unwrap();
        assert_eq!([0, 1].map(|n| config.window(n)), [None, Some(4096)]);
    }

    #[test]
    fn what_cannot_be_is_refused() {
        for (raw, reason) in [
            (json!({"num_key_value_heads": 3}), "8 heads of queries cannot share 3 heads of keys"),
            (json!({"head_dim": 7}), "`head_dim` is 7"),
            (json!({"final_logit_softcapping": 30.0}), "`final_logit_softcapping` is 30.0"),
            (json!({"attn_logit_softcapping": 50.0}), "`attn_logit_softcapping` is 50.0"),
            (json!({"sliding_window": 0}), "`sliding_window` is 0"),
            (json!({"sliding_window_pattern": 0}), "`sliding_window_pattern` is 0"),
            (json!({"layer_types": ["full_attention"]}), "`layer_types` names 1 layers, but there are 26"),
            (json!({"layer_types": ["chunked_attention"]}), "chunked_attention"),
            (json!({"hidden_activation": "silu"}), "silu"),
            (json!({"query_pre_attn_scalar": 0}), "`query_pre_attn_scalar` is 0"),
            (json!({"rope_scaling": {"rope_type": "yarn"}}), "yarn"),
            (json!({"rope_scaling": {"mrope_section": [1, 1, 1]}}), "which Gemma 3 has not"),
        ] {
            let error = parse(raw).unwrap_err();
            assert!(error.contains(reason), "`{error}` lacks `{reason}`");
        }
    }
}
