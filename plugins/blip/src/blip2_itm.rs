//! Architecture `blip2_itm`: BLIP-2 (Li et al. 2023) after its first stage, a vision transformer and the Q-Former.
//!
//! Reference: `transformers.Blip2ForImageTextRetrieval` and `Blip2Processor`, 4.53.1.

use blocks::{
    text::{Bert, Context},
    vision::Vit,
    weights::{Init, Weights},
};
use bridge::{Place, convert::config};
use candle_core::Tensor;
use candle_nn::{Linear, Module};
use plugin_api::{Error, Open, Result, register};

use crate::{
    Matcher, NAMES, Retrieval, Score, Texts,
    config::Config,
    retrieval::{STD, score},
};

register!("blip2_itm", "BLIP-2 before any language model: a ViT and a Q-Former", [ZeroShot, Features], open);

/// The class whose checkpoints compare images with texts.
const COMPLETE: &str = "Blip2ForImageTextRetrieval";

/// BLIP-2's Q-Former and heads.
pub struct Blip2Matcher {
    qformer: Bert,
    /// `[1, queries, width]`.
    queries: Tensor,
    vision_projection: Linear,
    text_projection: Linear,
    head: Linear,
}

/// Opens a checkpoint laid out as on the Hugging Face hub. Option `score` is `itc`, the default, or `itm`.
///
/// # Errors
/// A file is missing or corrupt, a tensor is missing, unused or misshapen, or an option is unknown.
pub fn open(open: Open) -> Result<Retrieval<Blip2Matcher>> {
    let (place, score) = (Place::of(&open, "blip2_itm")?, score(&open, "blip2_itm", Score::Itc)?);
    let settings = Config::blip2(&place.dir).map_err(config)?;
    if let Some(class) = settings.class.as_deref().filter(|class| *class != COMPLETE) {
        let path = place.dir.join("config.json");
        return Err(Error::config(format!("{}: `architectures` is `{class}`, expected `{COMPLETE}`", path.display())));
    }
    let weights = Weights::open(&place.dir, &NAMES, place.dtype, &place.device).map_err(config)?;
    Retrieval::new(place, score, &weights, |weights| {
        let vision = Vit::new(&settings.vision, &weights.at("vision"))?;
        Ok((vision, Ok(Blip2Matcher::new(&settings, weights)?)))
    })
}

impl Blip2Matcher {
    /// Takes `qformer`, `query_tokens`, `vision_projection`, `text_projection` and `itm_head`.
    ///
    /// # Errors
    /// As [`Weights::get`].
    pub fn new(config: &Config, weights: &Weights) -> blocks::Result<Self> {
        let width = config.text.hidden_size;
        let linear = |name, output| blocks::layers::linear(&weights.at(name), width, output, STD);
        Ok(Self {
            qformer: Bert::new(&config.text, &weights.at("qformer"))?,
            queries: weights.get("query_tokens", (1, config.queries, width), Init::Normal(STD))?,
            vision_projection: linear("vision_projection", config.dim)?,
            text_projection: linear("text_projection", config.dim)?,
            head: linear("itm_head", 2)?,
        })
    }
}

impl Matcher for Blip2Matcher {
    fn context(&self) -> usize {
        self.qformer.config().max_position_embeddings
    }

    /// Every query that attended to the image, projected.
    fn image_vectors(&self, states: &Tensor) -> blocks::Result<Tensor> {
        let queries = self.queries.repeat((states.dim(0)?, 1, 1))?;
        let context = Context { states, tokens: None };
        Ok(self.vision_projection.forward(&self.qformer.encode(&queries, None, Some(&context), false)?)?)
    }

    /// The first token of the Q-Former as an encoder of texts, projected.
    fn text_vectors(&self, texts: &Texts) -> blocks::Result<Tensor> {
        let states = self.qformer.forward(&texts.ids, &texts.mask, false)?;
        Ok(self.text_projection.forward(&states.get_on_dim(1, 0)?)?)
    }

    /// Queries and text attend to each other, and the queries to the image; the head's mean over the queries.
    fn matches(&self, states: &Tensor, texts: &Texts) -> blocks::Result<Tensor> {
        let (images, count, queries) = (states.dim(0)?, texts.ids.len(), self.queries.dim(1)?);
        let embeddings = Tensor::cat(&[&self.queries.repeat((count, 1, 1))?, &self.qformer.embed(&texts.ids)?], 1)?;
        let mask: Vec<_> = texts.mask.iter().map(|mask| [vec![1; queries], mask.clone()].concat()).collect();
        let scores = self.qformer.scores(&mask)?.repeat((images, 1, 1, 1))?;
        let context = Context { states, tokens: Some(queries) };
        let fused = self.qformer.encode(&embeddings.repeat((images, 1, 1))?, Some(&scores), Some(&context), false)?;
        Ok(self.head.forward(&fused.narrow(1, 0, queries)?)?.mean(1)?.reshape((images, count, 2))?)
    }
}
