//! Plugin of InternVL in the layout of `transformers`.

pub mod internvl;

plugin_api::export_plugin!();
