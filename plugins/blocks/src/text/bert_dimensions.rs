//! Dimensions of a BERT encoder that comes without a configuration.

use std::path::Path;

use serde_json::Value;

use super::BertConfig;
use crate::{Error, Result, error::read_json, weights::Weights};

/// Width of an attention head in every published BERT.
const HEAD: usize = 64;

impl BertConfig {
    /// `config.json` in `dir` where it describes a BERT. Otherwise the tensors tell the vocabulary, width, depth, MLP
    /// width, positions and types, heads are 64 wide, and the rest is as in BERT-base. `heads`, where given, is the
    /// number of heads in either case.
    ///
    /// # Errors
    /// `config.json` is corrupt, or there is none and `weights` holds no BERT.
    pub fn find(dir: &Path, weights: &Weights, heads: Option<usize>) -> Result<Self> {
        let path = dir.join("config.json");
        let described = match path.is_file() {
            true => Some(read_json::<Value>(&path)?).filter(|config| config["model_type"] == "bert"),
            false => None,
        };
        let config = match described {
            Some(config) => serde_json::from_value(config)
                .map_err(|e| Error::invalid(&path, format!("not a BERT configuration: {e}")))?,
            None => Self::from_tensors(weights)
                .ok_or_else(|| Error::invalid(dir, "the weights hold no BERT, and config.json describes none"))?,
        };
        Ok(Self { num_attention_heads: heads.unwrap_or(config.num_attention_heads), ..config })
    }

    fn from_tensors(weights: &Weights) -> Option<Self> {
        let (tokens, position) = (weights.shape("tokens")?, weights.shape("position")?);
        let mlp = weights.shape("layers.0.fc1.weight")?;
        let width = *tokens.get(1)?;
        Some(Self {
            vocab_size: tokens[0],
            hidden_size: width,
            num_hidden_layers: weights.at("layers").count("norm2.weight"),
            num_attention_heads: (width / HEAD).max(1),
            intermediate_size: *mlp.first()?,
            max_position_embeddings: *position.first()?,
            type_vocab_size: *weights.shape("types")?.first()?,
            ..Self::default()
        })
    }
}
