//! Text towers.

mod clip_text;

pub use clip_text::{ClipText, ClipTextConfig, Pool};
