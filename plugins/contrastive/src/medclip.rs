//! Architecture `medclip`: MedCLIP (Wang et al. 2022) with its Swin vision tower.
//!
//! Reference: package `medclip` 0.0.3, and the classes of `transformers` 4.53.1 that it is made of.

mod archive;
mod config;
mod keys;
mod model;
mod processor;

use blocks::{tokens::WordPieceTokenizer, weights::Weights};
use bridge::{Options, Place, classes::normalize, convert::config};
use candle_core::Tensor;
use plugin_api::{Open, Result, register};

use crate::dual::{Dual, Joint, Towers};
pub use config::MedClipConfig;
pub use keys::NAMES;
pub use model::MedClipModel;
pub use processor::{Processor, Recipe};

register!("medclip", "MedCLIP: a Swin vision tower and ClinicalBERT", [ZeroShot, Features], MedClip::open);

/// Texts that are encoded in one pass.
const TEXT_BATCH: usize = 64;

/// A MedCLIP checkpoint with its processor and tokenizer.
pub type MedClip = Dual<MedClipTowers>;

/// A MedCLIP model with its tokenizer.
pub struct MedClipTowers {
    model: MedClipModel,
    tokenizer: WordPieceTokenizer,
}

impl MedClip {
    /// Opens a directory with the published weights, as the archive `medclip-vit-pretrained.zip` or unpacked as
    /// `pytorch_model.bin`, and the tokenizer of Bio_ClinicalBERT, `vocab.txt` or `tokenizer.json`. Options
    /// are `compat = "medvlmbench"`, for MedVLMBench's preprocessing, and `text_heads`, for a BERT whose heads are not 64
    /// wide.
    ///
    /// # Errors
    /// A file is missing or corrupt, a tensor is missing, unused or misshapen, or the tokenizer does not fit the model.
    pub fn open(open: Open) -> Result<Self> {
        let place = Place::of(&open, "medclip")?;
        let options = Options::new("medclip", &open.options, &["compat", "text_heads"])?;
        let recipe = if options.medvlmbench()? { Recipe::MedVlmBench } else { Recipe::MedClip };
        let unpacked = archive::unpack(&place.dir).map_err(config)?;
        let source = unpacked.as_ref().map_or(place.dir.as_path(), |temporary| temporary.path());
        // What is wrong in a temporary directory is wrong in the archive.
        let named = |e| match e {
            blocks::Error::Invalid { path, reason } if unpacked.is_some() && path.starts_with(source) => {
                config(blocks::Error::invalid(place.dir.join(archive::ARCHIVE), reason))
            }
            other => place.blame_dir(other),
        };
        let weights = Weights::open(source, &NAMES, place.dtype, &place.device).map_err(named)?;
        let settings = MedClipConfig::find(&place.dir, &weights, options.count("text_heads")?).map_err(config)?;
        let tokenizer = WordPieceTokenizer::from_dir(&place.dir, settings.context(), settings.text.vocab_size);
        let tokenizer = tokenizer.map_err(config)?;
        let model = MedClipModel::new(&settings, &weights).map_err(named)?;
        weights.finish().map_err(named)?;
        let processor = Processor::new(recipe, model.image_size());
        Self::new(MedClipTowers { model, tokenizer }, processor, place.dtype, weights.parameters())
    }
}

impl Towers for MedClipTowers {
    type Model = MedClipModel;

    fn model(&self) -> &MedClipModel {
        &self.model
    }

    /// Unlike other models, MedCLIP encodes an image to a vector of unit length, and probes are fitted on that.
    fn image_features(&self, pixels: &Tensor) -> blocks::Result<Tensor> {
        normalize(&self.model.image_features(pixels, false)?)
    }

    /// All texts are padded to the longest of them, which counts: the mean over the tokens includes padding.
    fn text_features(&self, texts: &[&str]) -> blocks::Result<Tensor> {
        let ids = self.tokenizer.encode(texts)?;
        let batches = ids.chunks(TEXT_BATCH).map(|ids| {
            let mask = self.tokenizer.attention_mask(ids);
            self.model.text_features(ids, &mask, false)
        });
        Ok(Tensor::cat(&batches.collect::<blocks::Result<Vec<_>>>()?, 0)?)
    }
}
