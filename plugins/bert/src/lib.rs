//! Plugin of text encoders, for metrics that compare embeddings of tokens, such as BERTScore.

pub mod bert;

plugin_api::export_plugin!();
