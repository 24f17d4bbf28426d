//! Text towers.

mod bert;
mod clip_text;
mod siglip_text;

pub use bert::{Bert, BertConfig};
pub use clip_text::{ClipText, ClipTextConfig, Pool};
pub use siglip_text::{SiglipText, SiglipTextConfig};
