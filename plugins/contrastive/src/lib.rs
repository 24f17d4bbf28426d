//! Plugin of models that compare images with texts.
//!
//! As a library, it lets a training program use the same model: see [`clip::ClipModel`].

pub mod biomedclip;
pub mod clip;
pub mod dual;
pub mod medclip;
pub mod pmcclip;
pub mod siglip;

plugin_api::export_plugin!();
