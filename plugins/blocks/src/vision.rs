//! Vision towers.

mod vit;

pub use vit::{Vit, VitConfig};
