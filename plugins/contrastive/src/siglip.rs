//! Architecture `siglip`: SigLIP (Zhai et al. 2023) and its fine-tunes, such as MedSigLIP.
//!
//! Reference: `transformers.SiglipModel` and `SiglipProcessor`, 4.53.1. Texts are padded to the context, as in training;
//! the option `compat = "medvlmbench"` pads to the longest text of a call instead, which moves the pooled token.

mod config;
mod keys;
mod model;

use blocks::{
    image::ImageProcessor,
    tokens::{PadTo, SiglipTokenizer},
    weights::Weights,
};
use bridge::{Options, Place, convert::config};
use candle_core::Tensor;
use plugin_api::{Open, Result, register};

use crate::dual::{Dual, Towers};
pub use config::{SiglipConfig, TextConfig, VisionConfig};
pub use keys::NAMES;
pub use model::SiglipModel;

register!(
    "siglip",
    "SigLIP and its fine-tunes: a vision and a text transformer, compared with a bias",
    [ZeroShot, Features],
    Siglip::open
);

/// Texts that are encoded in one pass.
const TEXT_BATCH: usize = 64;

/// A SigLIP checkpoint with its processor and tokenizer.
pub type Siglip = Dual<SiglipTowers>;

/// A SigLIP model with its tokenizer.
pub struct SiglipTowers {
    model: SiglipModel,
    tokenizer: SiglipTokenizer,
    pad_to: PadTo,
}

impl Siglip {
    /// Opens a checkpoint laid out as on the Hugging Face hub. The one option is `compat = "medvlmbench"`.
    ///
    /// # Errors
    /// A file is missing or corrupt, a tensor is missing, unused or misshapen, or the tokenizer does not fit the model.
    pub fn open(open: Open) -> Result<Self> {
        let place = Place::of(&open, "siglip")?;
        let compat = Options::new("siglip", &open.options, &["compat"])?.medvlmbench()?;
        let pad_to = if compat { PadTo::Longest } else { PadTo::Context };
        let settings = SiglipConfig::from_dir(&place.dir).map_err(config)?;
        let text = settings.text();
        let processor = ImageProcessor::siglip_from_dir(&place.dir).map_err(config)?;
        let tokenizer = SiglipTokenizer::from_dir(&place.dir, text.context, text.vocabulary).map_err(config)?;
        let weights = Weights::open(&place.dir, &NAMES, place.dtype, &place.device).map_err(config)?;
        let model = SiglipModel::new(&settings, &weights).map_err(|e| place.blame("config.json", e))?;
        weights.finish().map_err(config)?;
        Self::new(SiglipTowers { model, tokenizer, pad_to }, processor, place.dtype, weights.parameters())
    }
}

impl Towers for SiglipTowers {
    type Model = SiglipModel;

    fn model(&self) -> &SiglipModel {
        &self.model
    }

    fn image_features(&self, pixels: &Tensor) -> blocks::Result<Tensor> {
        self.model.image_features(pixels, false)
    }

    fn text_features(&self, texts: &[&str]) -> blocks::Result<Tensor> {
        let ids = self.tokenizer.encode(texts, self.pad_to)?;
        let batches = ids.chunks(TEXT_BATCH).map(|ids| self.model.text_features(ids, false));
        Ok(Tensor::cat(&batches.collect::<blocks::Result<Vec<_>>>()?, 0)?)
    }
}
