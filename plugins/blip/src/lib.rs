//! Plugin of BLIP and BLIP-2, as they compare images with texts, answer questions and write captions.

pub mod blip;
pub mod blip2;
pub mod blip2_itm;
pub mod config;
mod keys;
mod qformer;
mod retrieval;
mod sight;

pub use keys::{FEATURES, NAMES};
pub use retrieval::{Matcher, Retrieval, Score, Texts};

plugin_api::export_plugin!();
