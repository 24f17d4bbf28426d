//! Plugin of models that compare images with texts.
//!
//! As a library, it lets a training program use the same model: see [`clip::ClipModel`].

pub mod clip;

plugin_api::export_plugin!();
