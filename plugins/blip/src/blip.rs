//! Architecture `blip`: BLIP (Li et al. 2022).
//!
//! Reference: `transformers.BlipForImageTextRetrieval` and `BlipProcessor`, 4.53.1. Checkpoints of the classes that
//! write captions or answers have features only: they lack the text tower that compares.

use blocks::{
    text::{Bert, Context},
    vision::Vit,
    weights::Weights,
};
use bridge::{Place, convert::config};
use candle_core::Tensor;
use candle_nn::{Linear, Module};
use plugin_api::{Error, Open, Result, register};

use crate::{
    FEATURES, Matcher, NAMES, Retrieval, Score, Texts,
    config::Config,
    retrieval::{STD, score},
};

register!("blip", "BLIP: a vision transformer and a BERT that attends to it", [ZeroShot, Features], open);

/// The class whose checkpoints compare images with texts.
const COMPLETE: &str = "BlipForImageTextRetrieval";
/// Classes whose checkpoints hold the vision tower, but not that.
const VISION: [&str; 3] = ["BlipForConditionalGeneration", "BlipForQuestionAnswering", "BlipModel"];

/// BLIP's text tower and heads.
pub struct BlipMatcher {
    text: Bert,
    vision_projection: Linear,
    text_projection: Linear,
    head: Linear,
}

/// Opens a checkpoint laid out as on the Hugging Face hub. Option `score` is `itm`, the default, or `itc`.
///
/// # Errors
/// A file is missing or corrupt, a tensor is missing, unused or misshapen, or an option is unknown.
pub fn open(open: Open) -> Result<Retrieval<BlipMatcher>> {
    let (place, score) = (Place::of(&open, "blip")?, score(&open, "blip", Score::Itm)?);
    let settings = Config::blip(&place.dir).map_err(config)?;
    let class = settings.class.as_deref().unwrap_or(COMPLETE);
    let complete = class == COMPLETE;
    if !complete && !VISION.contains(&class) {
        let known = [&[COMPLETE], &VISION[..]].concat().join("`, `");
        let path = place.dir.join("config.json");
        return Err(Error::config(format!("{}: `architectures` is `{class}`; known are `{known}`", path.display())));
    }
    let names = if complete { &NAMES } else { &FEATURES };
    let weights = Weights::open(&place.dir, names, place.dtype, &place.device).map_err(config)?;
    Retrieval::new(place, score, &weights, |weights| {
        let vision = Vit::new(&settings.vision, &weights.at("vision"))?;
        let matcher = match complete {
            true => Ok(BlipMatcher::new(&settings, weights)?),
            false => Err(format!(
                "its checkpoint is a `{class}`, which lacks the text tower that compares images with texts; take one of \
                 `{COMPLETE}`"
            )),
        };
        Ok((vision, matcher))
    })
}

impl BlipMatcher {
    /// Takes `text`, `vision_proj`, `text_proj` and `itm_head`.
    ///
    /// # Errors
    /// As [`Weights::get`].
    pub fn new(config: &Config, weights: &Weights) -> blocks::Result<Self> {
        let (image, text) = (config.vision.encoder.width, config.text.hidden_size);
        let linear = |name, input, output| blocks::layers::linear(&weights.at(name), input, output, STD);
        Ok(Self {
            text: Bert::new(&config.text, &weights.at("text"))?,
            vision_projection: linear("vision_proj", image, config.dim)?,
            text_projection: linear("text_proj", text, config.dim)?,
            head: linear("itm_head", text, 2)?,
        })
    }
}

impl Matcher for BlipMatcher {
    fn context(&self) -> usize {
        self.text.config().max_position_embeddings
    }

    /// The class token, projected.
    fn image_vectors(&self, states: &Tensor) -> blocks::Result<Tensor> {
        Ok(self.vision_projection.forward(&states.get_on_dim(1, 0)?)?)
    }

    /// The first token of the text tower without an image, projected.
    fn text_vectors(&self, texts: &Texts) -> blocks::Result<Tensor> {
        let states = self.text.forward(&texts.ids, &texts.mask, false)?;
        Ok(self.text_projection.forward(&states.get_on_dim(1, 0)?)?)
    }

    /// The first token of the text tower that attends to the image in every layer, through the head.
    fn matches(&self, states: &Tensor, texts: &Texts) -> blocks::Result<Tensor> {
        let images = states.dim(0)?;
        let embeddings = self.text.embed(&texts.ids)?.repeat((images, 1, 1))?;
        let scores = self.text.scores(&texts.mask)?.repeat((images, 1, 1, 1))?;
        let context = Context { states, tokens: None };
        let fused = self.text.encode(&embeddings, Some(&scores), Some(&context), false)?;
        Ok(self.head.forward(&fused.get_on_dim(1, 0)?)?.reshape((images, texts.ids.len(), 2))?)
    }
}
