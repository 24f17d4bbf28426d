//! Plugin of Qwen's models, which look at images of any size as they are.

pub mod qwen2_5_vl;
pub mod qwen2_vl;
pub mod qwen3_vl;

plugin_api::export_plugin!();
