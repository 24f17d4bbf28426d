//! From the contract to `blocks` and back: what every plugin on candle needs, whichever model it runs.
//!
//! `blocks` knows nothing of plugins, and `plugin-api` nothing of tensors; this crate knows both. A plugin reads where a
//! model is opened from with [`Place`] and [`Options`], turns images into tensors with [`pixels`] and [`stack`], and
//! gives tensors and errors back with [`convert`].

pub mod classes;
pub mod convert;
pub mod files;
mod options;
mod pictures;
mod place;
pub mod reader;

pub use options::Options;
pub use pictures::{Preprocess, input_digests, pixels, stack};
pub use place::Place;
