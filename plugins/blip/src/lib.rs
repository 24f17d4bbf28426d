//! Plugin of BLIP and BLIP-2, as far as they compare images with texts.

pub mod blip;
pub mod blip2_itm;
pub mod config;
mod keys;
mod retrieval;

pub use keys::{FEATURES, NAMES};
pub use retrieval::{Matcher, Retrieval, Score, Texts};

plugin_api::export_plugin!();
