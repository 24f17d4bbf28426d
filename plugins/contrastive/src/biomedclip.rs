//! Architecture `biomedclip`: BiomedCLIP (Zhang et al. 2023), and whatever else `open_clip` makes of a timm vision
//! transformer and a BERT.
//!
//! Reference: `open_clip.CustomTextCLIP`, 3.3.0, with timm and `transformers.BertModel`, 4.53.1. What
//! `open_clip_config.json` leaves to the names of other models, the tensors and `config.json`, if it describes a BERT,
//! tell: see [`VisionConfig::vit`] and [`BertConfig::find`].

mod config;
mod keys;
mod model;

use blocks::{
    image::ImageProcessor,
    text::BertConfig,
    tokens::{WordPieceTokenizer, clean},
    weights::{Part, Weights},
};
use bridge::{Options, Place, convert::config};
use candle_core::Tensor;
use plugin_api::{Open, Result, register};

use crate::dual::{Dual, Towers};
pub use config::{
    ModelConfig, OpenClipConfig, Side, TextConfig, TextPool, TextProjection, TimmPool, TimmProjection, VisionConfig,
};
pub use keys::NAMES;
pub use model::BiomedClipModel;

register!(
    "biomedclip",
    "BiomedCLIP and other open_clip models of a timm vision transformer and a BERT",
    [ZeroShot, Features],
    BiomedClip::open
);

/// The files that may hold the tensors, in the order in which they are preferred.
const FILES: [&str; 2] = ["open_clip_model.safetensors", "open_clip_pytorch_model.bin"];
/// Texts that are encoded in one pass.
const TEXT_BATCH: usize = 64;

/// A checkpoint with its processor and tokenizer.
pub type BiomedClip = Dual<BiomedClipTowers>;

/// A model with its tokenizer.
pub struct BiomedClipTowers {
    model: BiomedClipModel,
    tokenizer: WordPieceTokenizer,
}

impl BiomedClip {
    /// Opens a checkpoint laid out as `open_clip` does on the Hugging Face hub. The options are `vision_heads` and
    /// `text_heads`, for towers whose heads are not 64 wide.
    ///
    /// # Errors
    /// A file is missing or corrupt, a tensor is missing, unused or misshapen, or the tokenizer does not fit the model.
    pub fn open(open: Open) -> Result<Self> {
        let place = Place::of(&open, "biomedclip")?;
        let options = Options::new("biomedclip", &open.options, &["vision_heads", "text_heads"])?;
        let settings = OpenClipConfig::from_dir(&place.dir).map_err(config)?;
        let model = &settings.model_cfg;
        let path = FILES.iter().map(|file| place.dir.join(file)).find(|path| path.is_file()).ok_or_else(|| {
            let expected = FILES.map(|file| format!("`{file}`")).join(" or ");
            config(blocks::Error::invalid(&place.dir, format!("no weights here; expected {expected}")))
        })?;
        let weights =
            Weights::open_parts(&place.dir, &[Part::of(path)], &NAMES, place.dtype, &place.device).map_err(config)?;
        let at_config = |e| place.blame("open_clip_config.json", e);
        let vision = model.vision_cfg.vit(&weights.at("vision"), options.count("vision_heads")?).map_err(at_config)?;
        let bert = weights.at("text").at("bert");
        let text = BertConfig::find(&place.dir, &bert, options.count("text_heads")?).map_err(config)?;
        let context = model.text_cfg.context_length.min(text.max_position_embeddings);
        let tokenizer = WordPieceTokenizer::from_dir(&place.dir, context, text.vocab_size).map_err(config)?;
        let processor = ImageProcessor::open_clip(&settings.preprocess_cfg, vision.image_size).map_err(at_config)?;
        let model = BiomedClipModel::new(model, &vision, &text, &weights).map_err(at_config)?;
        weights.finish().map_err(config)?;
        Self::new(BiomedClipTowers { model, tokenizer }, processor, place.dtype, weights.parameters())
    }
}

impl Towers for BiomedClipTowers {
    type Model = BiomedClipModel;

    fn model(&self) -> &BiomedClipModel {
        &self.model
    }

    fn image_features(&self, pixels: &Tensor) -> blocks::Result<Tensor> {
        self.model.image_features(pixels, false)
    }

    fn text_features(&self, texts: &[&str]) -> blocks::Result<Tensor> {
        let batches = texts.chunks(TEXT_BATCH).map(|texts| {
            let ids = self.tokenizer.encode(&texts.iter().map(|text| clean(text)).collect::<Vec<_>>())?;
            self.model.text_features(&ids, &self.tokenizer.mask(&ids), false)
        });
        Ok(Tensor::cat(&batches.collect::<blocks::Result<Vec<_>>>()?, 0)?)
    }
}
