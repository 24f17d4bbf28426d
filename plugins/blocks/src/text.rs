//! Text towers.

mod bert;
mod bert_dimensions;
mod clip_text;
mod siglip_text;

pub use bert::{Bert, BertConfig, Context, Crossing};
pub use clip_text::{ClipText, ClipTextConfig, Pool};
pub use siglip_text::{SiglipText, SiglipTextConfig};
