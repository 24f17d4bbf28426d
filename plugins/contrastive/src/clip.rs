//! Architecture `clip`: CLIP (Radford et al. 2021) and its fine-tunes, such as PLIP and PubMedCLIP.
//!
//! Reference: `transformers.CLIPModel` and `CLIPProcessor`, 4.53.1.

mod config;
mod keys;
mod model;

use blocks::{image::ImageProcessor, tokens::ClipTokenizer, weights::Weights};
pub use bridge::classes::normalize;
use bridge::{Options, Place, convert::config};
use candle_core::Tensor;
use plugin_api::{Open, Result, register};

use crate::dual::{Dual, Towers};
pub use config::{ClipConfig, TextConfig, VisionConfig};
pub use keys::NAMES;
pub use model::ClipModel;

register!("clip", "CLIP and its fine-tunes: a vision and a text transformer", [ZeroShot, Features], Clip::open);

/// Texts that are encoded in one pass.
const TEXT_BATCH: usize = 64;

/// A CLIP checkpoint with its processor and tokenizer.
pub type Clip = Dual<ClipTowers>;

/// A CLIP model with its tokenizer.
pub struct ClipTowers {
    model: ClipModel,
    tokenizer: ClipTokenizer,
}

impl Clip {
    /// Opens a checkpoint laid out as on the Hugging Face hub. There are no options.
    ///
    /// # Errors
    /// A file is missing or corrupt, a tensor is missing, unused or misshapen, or the tokenizer does not fit the model.
    pub fn open(open: Open) -> Result<Self> {
        let place = Place::of(&open, "clip")?;
        Options::new("clip", &open.options, &[])?;
        let settings = ClipConfig::from_dir(&place.dir).map_err(config)?;
        let (text, context) = (&settings.text_config, settings.text_config.max_position_embeddings);
        let processor = ImageProcessor::from_dir(&place.dir).map_err(config)?;
        let tokenizer = ClipTokenizer::from_dir(&place.dir, context, text.vocab_size).map_err(config)?;
        text.check_end(tokenizer.eos()).map_err(|reason| place.blame_dir(blocks::Error::Setting(reason)))?;
        let weights = Weights::open(&place.dir, &NAMES, place.dtype, &place.device).map_err(config)?;
        let model = ClipModel::new(&settings, &weights).map_err(|e| place.blame("config.json", e))?;
        weights.finish().map_err(config)?;
        Self::new(ClipTowers { model, tokenizer }, processor, place.dtype, weights.parameters())
    }
}

impl Towers for ClipTowers {
    type Model = ClipModel;

    fn model(&self) -> &ClipModel {
        &self.model
    }

    fn image_features(&self, pixels: &Tensor) -> blocks::Result<Tensor> {
        self.model.image_features(pixels, false)
    }

    fn text_features(&self, texts: &[&str]) -> blocks::Result<Tensor> {
        let batches =
            texts.chunks(TEXT_BATCH).map(|texts| self.model.text_features(&self.tokenizer.encode(texts)?, false));
        Ok(Tensor::cat(&batches.collect::<blocks::Result<Vec<_>>>()?, 0)?)
    }
}
