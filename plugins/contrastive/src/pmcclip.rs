//! Architecture `pmcclip`: PMC-CLIP (Lin et al. 2023).
//!
//! Reference: `open_clip.modified_resnet.ModifiedResNet`, 3.3.0, and `transformers.BertModel`, 4.53.1. All dimensions
//! are those of the tensors, except for the number of heads. Images and texts are compared by their cosine; the option
//! `compat = "medvlmbench"` leaves the image's embedding unnormalised.

mod keys;
mod model;

use std::path::Path;

use blocks::{
    image::{ImageProcessor, OpenClipPreprocessing},
    text::BertConfig,
    tokens::WordPieceTokenizer,
    vision::ModifiedResNetConfig,
    weights::{Part, Weights},
};
use bridge::{Options, Place, classes::normalize, convert::config};
use candle_core::{DType, Tensor};
use plugin_api::{Open, Result, register};

use crate::dual::{Dual, Towers};
pub use keys::NAMES;
pub use model::PmcClipModel;

register!("pmcclip", "PMC-CLIP: a residual network and a BERT", [ZeroShot, Features], PmcClip::open);

/// What the authors published for inference.
const IMAGE: &str = "image_encoder(resnet50).pth";
const TEXT: &str = "text_encoder.pth";
const PROJECTION: &str = "text_projection_layer.pth";
/// The state of their training, which also holds a fusion module and a masked-language head.
const CHECKPOINT: &str = "checkpoint.pt";

const OPTIONS: [&str; 4] = ["heads", "text_heads", "logit_scale", "compat"];
/// Heads of the attention that pools, in the authors' example.
const HEADS: usize = 8;
/// The logarithm of the factor of the cosine, which the files for inference lack.
const LOGIT_SCALE: f64 = 4.4292;
/// Longest text, in tokens.
const CONTEXT: usize = 77;
/// Texts that are encoded in one pass.
const TEXT_BATCH: usize = 64;

/// A checkpoint with its tokenizer.
pub type PmcClip = Dual<PmcClipTowers>;

/// A model with its tokenizer.
pub struct PmcClipTowers {
    model: PmcClipModel,
    tokenizer: WordPieceTokenizer,
    medvlmbench: bool,
}

impl PmcClip {
    /// Opens the three files for inference or, without them, `checkpoint.pt`; BiomedBERT's tokenizer lies beside them.
    /// The options are `heads` of the image's pool, 8 by default (32 in the training program), `text_heads` where those
    /// are not 64 wide, `logit_scale`, by default that of `checkpoint.pt` or 4.4292, and `compat`.
    ///
    /// # Errors
    /// A file is missing or corrupt, a tensor is missing, unused or misshapen, or the tokenizer does not fit the model.
    pub fn open(open: Open) -> Result<Self> {
        let place = Place::of(&open, "pmcclip")?;
        let options = Options::new("pmcclip", &open.options, &OPTIONS)?;
        let weights =
            Weights::open_parts(&place.dir, &parts(&place.dir)?, &NAMES, place.dtype, &place.device).map_err(config)?;
        let at_dir = |e| place.blame_dir(e);
        let heads = options.count("heads")?.unwrap_or(HEADS);
        let vision = ModifiedResNetConfig::of(&weights.at("vision"), heads).map_err(at_dir)?;
        let bert = weights.at("text").at("bert");
        let text = BertConfig::find(&place.dir, &bert, options.count("text_heads")?).map_err(config)?;
        let context = CONTEXT.min(text.max_position_embeddings);
        let tokenizer = WordPieceTokenizer::from_dir(&place.dir, context, text.vocab_size).map_err(config)?;
        let processor =
            ImageProcessor::open_clip(&OpenClipPreprocessing::default(), vision.image_size).map_err(at_dir)?;
        let model = PmcClipModel::new(&vision, &text, (LOGIT_SCALE, options.number("logit_scale")?), &weights);
        let model = model.map_err(at_dir)?;
        weights.finish().map_err(config)?;
        let towers = PmcClipTowers { model, tokenizer, medvlmbench: options.medvlmbench()? };
        Self::new(towers, processor, place.dtype, weights.parameters())
    }
}

impl Towers for PmcClipTowers {
    type Model = PmcClipModel;

    fn model(&self) -> &PmcClipModel {
        &self.model
    }

    fn image_features(&self, pixels: &Tensor) -> blocks::Result<Tensor> {
        self.model.image_features(pixels)
    }

    fn text_features(&self, texts: &[&str]) -> blocks::Result<Tensor> {
        let batches = texts.chunks(TEXT_BATCH).map(|texts| {
            let ids = self.tokenizer.encode(texts)?;
            self.model.text_features(&ids, &self.tokenizer.mask(&ids))
        });
        Ok(Tensor::cat(&batches.collect::<blocks::Result<Vec<_>>>()?, 0)?)
    }

    fn compared(&self, features: &Tensor) -> blocks::Result<Tensor> {
        if self.medvlmbench { Ok(features.to_dtype(DType::F32)?) } else { normalize(features) }
    }
}

fn parts(dir: &Path) -> Result<Vec<Part>> {
    let whole = dir.join(CHECKPOINT);
    if dir.join(IMAGE).is_file() {
        let part = |file: &str, prefix: &'static str| Part { prefix, ..Part::of(dir.join(file)) };
        return Ok(vec![part(IMAGE, "visual."), part(TEXT, "text_encoder."), part(PROJECTION, "text_projection")]);
    }
    if whole.is_file() {
        let keep = &["visual.", "text_encoder.", "text_projection", "logit_scale"];
        return Ok(vec![Part { key: Some("state_dict"), strip: "module.", keep, ..Part::of(whole) }]);
    }
    let reason = format!("no weights here; expected `{IMAGE}`, `{TEXT}` and `{PROJECTION}`, or `{CHECKPOINT}`");
    Err(config(blocks::Error::invalid(dir, reason)))
}
