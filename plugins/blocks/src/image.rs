//! From decoded images to pixel values, as `transformers` computes them.

mod processor;
mod resize;

pub use processor::{ImageProcessor, Pixels};
pub use resize::{Filter, Rgb, Window, resize};
