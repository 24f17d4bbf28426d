//! Vision towers.

mod map_head;
mod modified_resnet;
mod qwen_vit;
mod swin;
mod vit;

pub use map_head::MapHead;
pub use modified_resnet::{ModifiedResNet, ModifiedResNetConfig};
pub use qwen_vit::{Grid, QwenStyle, QwenVit, QwenVitConfig, QwenWindows};
pub use swin::{Swin, SwinConfig};
pub use vit::{Vit, VitConfig};
