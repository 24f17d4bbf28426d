//! Vision towers.

mod map_head;
mod vit;

pub use map_head::MapHead;
pub use vit::{Vit, VitConfig};
