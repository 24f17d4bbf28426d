//! Vision towers.

mod map_head;
mod modified_resnet;
mod swin;
mod vit;

pub use map_head::MapHead;
pub use modified_resnet::{ModifiedResNet, ModifiedResNetConfig};
pub use swin::{Swin, SwinConfig};
pub use vit::{Vit, VitConfig};
