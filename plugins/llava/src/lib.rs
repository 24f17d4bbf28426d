//! Plugin of models that hand the states of a vision tower, projected, to a language model.

pub mod llava;

plugin_api::export_plugin!();
