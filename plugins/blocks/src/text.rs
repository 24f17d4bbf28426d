//! Text towers.

mod clip_text;
mod siglip_text;

pub use clip_text::{ClipText, ClipTextConfig, Pool};
pub use siglip_text::{SiglipText, SiglipTextConfig};
