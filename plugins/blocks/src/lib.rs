//! Building blocks of vision-language models on candle: towers, weights, tokens and pixels.
//!
//! A model is assembled in three steps. [`weights::Weights`] names a source of tensors, either a checkpoint laid out as
//! on the Hugging Face hub or fresh trainable variables; a tower such as [`vision::Vit`] or [`text::ClipText`] takes its
//! tensors from there; `forward` takes a batch and the switch `train`, which chooses differentiable kernels over
//! the fused ones.
//!
//! Nothing here knows of plugins: the crate can be used alone.

pub mod chat;
pub mod decoder;
pub mod device;
mod error;
pub mod generate;
pub mod image;
mod kernels;
pub mod layers;
pub mod text;
pub mod tokens;
pub mod vision;
pub mod weights;

pub use error::{Error, Result, sentence};
