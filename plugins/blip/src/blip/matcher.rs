//! BLIP as it compares images with texts; reference `transformers.BlipForImageTextRetrieval`, 4.53.1.

use blocks::{
    text::{Bert, Context},
    weights::Weights,
};
use candle_core::Tensor;
use candle_nn::{Linear, Module};

use crate::{Matcher, Texts, config::Config, retrieval::STD};

/// BLIP's text tower and heads.
pub struct BlipMatcher {
    text: Bert,
    vision_projection: Linear,
    text_projection: Linear,
    head: Linear,
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
