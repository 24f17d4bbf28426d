//! Plugin of Google's Gemma models that see.

pub mod gemma3;

plugin_api::export_plugin!();
