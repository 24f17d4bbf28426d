//! Plugin of models that hand the states of a vision tower, projected, to a language model.

pub mod llava;
pub mod nvila;
pub mod vila;

plugin_api::export_plugin!();
