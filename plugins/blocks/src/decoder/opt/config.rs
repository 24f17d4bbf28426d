//! `config.json` of OPT, with the defaults of `transformers` (4.53.1).

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::layers::Activation;

/// Dimensions and choices of an [`super::Opt`].
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default)]
#[allow(missing_docs, reason = "the names are those of transformers.OPTConfig")]
pub struct OptConfig {
    pub vocab_size: usize,
    pub hidden_size: usize,
    pub num_hidden_layers: usize,
    pub ffn_dim: usize,
    pub max_position_embeddings: usize,
    pub do_layer_norm_before: bool,
    #[serde(rename = "_remove_final_layer_norm")]
    pub remove_final_layer_norm: bool,
    pub word_embed_proj_dim: Option<usize>,
    pub num_attention_heads: usize,
    pub activation_function: Activation,
    pub enable_bias: bool,
    pub layer_norm_elementwise_affine: bool,
    pub tie_word_embeddings: bool,
}

impl Default for OptConfig {
    fn default() -> Self {
        Self {
            vocab_size: 50272,
            hidden_size: 768,
            num_hidden_layers: 12,
            ffn_dim: 3072,
            max_position_embeddings: 2048,
            do_layer_norm_before: true,
            remove_final_layer_norm: false,
            word_embed_proj_dim: None,
            num_attention_heads: 12,
            activation_function: Activation::Relu,
            enable_bias: true,
            layer_norm_elementwise_affine: true,
            tie_word_embeddings: true,
        }
    }
}

impl OptConfig {
    /// Reads a configuration whose `model_type` is `opt`. What is absent or null is as `transformers` has it.
    ///
    /// # Errors
    /// Something is of another type or of no use, or asks for what is not built in.
    pub fn parse(raw: &Map<String, Value>) -> Result<Self, String> {
        let told: Map<String, Value> = raw.clone().into_iter().filter(|(_, value)| !value.is_null()).collect();
        let config: Self =
            serde_json::from_value(Value::Object(told)).map_err(|e| format!("not a configuration of `opt`: {e}"))?;
        let (width, heads) = (config.hidden_size, config.num_attention_heads);
        if heads == 0 || !width.is_multiple_of(heads) {
            return Err(format!("a width of {width} cannot be divided among {heads} attention heads"));
        }
        match config.layer_norm_elementwise_affine {
            true => Ok(config),
            false => {
                Err("`layer_norm_elementwise_affine` is false, but layer norms without weights are not built in".into())
            }
        }
    }

    /// Width of the embedding of a token.
    pub fn embedding(&self) -> usize {
        self.word_embed_proj_dim.unwrap_or(self.hidden_size)
    }

    /// Values of a head.
    pub(super) fn head(&self) -> usize {
        self.hidden_size / self.num_attention_heads
    }

    /// Whether a norm follows the last layer.
    pub(super) fn last_norm(&self) -> bool {
        self.do_layer_norm_before && !self.remove_final_layer_norm
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parse(raw: Value) -> Result<OptConfig, String> {
        OptConfig::parse(raw.as_object().unwrap())
    }

    #[test]
    fn what_is_absent_or_null_has_the_default() {
        assert_eq!(parse(json!({"word_embed_proj_dim": null, "hidden_size": null})).unwrap(), OptConfig::default());
        let small = json!({
            "hidden_size": 1024, "word_embed_proj_dim": 512, "do_layer_norm_before": false, "num_attention_heads": 16
        });
        let small = parse(small).unwrap();
        assert_eq!((small.embedding(), small.head(), small.last_norm()), (512, 64, false));
    }

    #[test]
    fn what_cannot_be_is_refused() {
        assert!(parse(json!({"num_attention_heads": 5})).unwrap_err().contains("among 5 attention heads"));
        assert!(parse(json!({"activation_function": "swish"})).unwrap_err().contains("swish"));
        assert!(parse(json!({"layer_norm_elementwise_affine": false})).unwrap_err().contains("not built in"));
    }
}
