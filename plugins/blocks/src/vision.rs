//! Vision towers.

mod modified_resnet;
mod vit;

pub use modified_resnet::{ModifiedResNet, ModifiedResNetConfig};
pub use vit::{Vit, VitConfig};
