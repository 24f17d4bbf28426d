//! Plugin of BLIP, BLIP-2 and XrayGPT, as they compare images with texts, answer questions and write captions.

pub mod blip;
pub mod blip2;
pub mod blip2_itm;
pub mod config;
mod keys;
mod qformer;
mod retrieval;
mod sight;
pub mod xraygpt;

pub use keys::{FEATURES, NAMES};
pub use retrieval::{Matcher, Retrieval, Score, Texts};

plugin_api::export_plugin!();
