//! From decoded images to pixel values, as `transformers` and open_clip compute them.

mod open_clip;
mod patches;
mod processor;
mod resize;

pub use open_clip::OpenClipPreprocessing;
pub use patches::{PatchProcessor, Patches};
pub use processor::{ImageProcessor, Pixels};
pub use resize::{Filter, Rgb, Window, resize, resize_tensor};
