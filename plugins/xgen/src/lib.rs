//! Plugin of XGen-MM (BLIP-3).

pub mod xgen_mm;

plugin_api::export_plugin!();
