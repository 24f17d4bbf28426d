//! The contract between the `medvlm` host and its model plugins. A complete plugin:
//!
//! ```
//! use plugin_api::{Classes, Description, Image, Matrix, Model, Open, Result, Rows, export_plugin, register};
//! use plugin_api::Capability::ZeroShot;
//!
//! export_plugin!(); // once per library
//! register!("brightness", "scores the first class by mean brightness", [ZeroShot], Brightness::open);
//!
//! struct Brightness {
//!     gain: f32,
//! }
//!
//! impl Brightness {
//!     fn open(config: Open) -> Result<Self> {
//!         let gain = config.options.get("gain").and_then(|g| g.as_f64()).unwrap_or(1.0);
//!         Ok(Self { gain: gain as f32 })
//!     }
//! }
//!
//! impl Model for Brightness {
//!     fn describe(&self) -> Description {
//!         Description { capabilities: vec![ZeroShot], ..Default::default() }
//!     }
//!
//!     fn zero_shot(&self, images: &[Image<'_>], classes: &Classes) -> Result<Rows> {
//!         let rows = images.iter().map(|image| {
//!             let sum: u64 = image.rgb.iter().map(|&v| u64::from(v)).sum();
//!             let mean = self.gain * sum as f32 / image.rgb.len() as f32;
//!             (0..classes.prompts.len()).map(|class| if class == 0 { mean } else { 0.0 }).collect()
//!         });
//!         Ok(Rows { matrix: Matrix::from_rows(&rows.collect::<Vec<_>>()), inputs: Vec::new() })
//!     }
//! }
//! ```
//!
//! `medvlm new plugin NAME` writes such a project. What the host asks of a model is in [`model`], the
//! messages in [`message`], the library boundary in [`abi`], and the frames that a worker in any other
//! language speaks in [`frames`]. A plugin in C or C++ is a library, too: it answers the same messages behind the
//! table of functions that [`c/medvlm_plugin.h`](../../../plugin-api/c/medvlm_plugin.h) declares.

#[allow(
    unsafe_code,
    missing_docs,
    non_camel_case_types,
    non_local_definitions,
    reason = "abi_stable's derives generate such code"
)]
pub mod abi;
pub mod client;
mod dispatch;
mod error;
pub mod export;
pub mod frames;
pub mod message;
pub mod model;
pub mod tensor;

pub use abi_stable;
pub use inventory;
pub use serde_json;

pub use error::{Error, ErrorKind, Result};
pub use message::{
    Architecture, Capability, Decoding, Description, Generation, Inspect, Open, PluginInfo, Request, Train, Trained,
    TrainingSample,
};
pub use model::{Classes, Events, Inspection, Model, Rows, Sink};
pub use tensor::{Array, Blob, Data, Image, Matrix};

/// Digest of a model input: the first 128 bits of BLAKE3, in hexadecimal.
pub fn digest(bytes: &[u8]) -> String {
    blake3::hash(bytes).to_hex()[..32].to_string()
}
