//! What BLIP and BLIP-2 share: how images and texts come in, and how their scores come out.

use blocks::{
    image::{ImageProcessor, Pixels},
    tokens::WordPieceTokenizer,
    vision::Vit,
    weights::Weights,
};
use bridge::{
    Options, Place,
    classes::{self, normalize},
    convert::{array, config, failed, input, matrix},
    input_digests, pixels, stack,
};
use candle_core::{DType, Device, Tensor};
use plugin_api::{
    Capability, Classes, Description, Error, ErrorKind, Image, Inspect, Inspection, Matrix, Model, Open, Result, Rows,
};

/// Standard deviation of fresh weights.
pub const STD: f64 = 0.02;
/// Texts that are encoded in one pass, and pairs of an image and a text that are matched in one.
const BATCH: usize = 64;

/// Texts as ids padded to one length, with masks that are 0 at padding.
pub struct Texts {
    /// Token ids.
    pub ids: Vec<Vec<u32>>,
    /// 1 at tokens of the text.
    pub mask: Vec<Vec<u32>>,
}

/// By what zero-shot compares an image with a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Score {
    /// The matching head: the logit of "matches" less that of "does not", whose sigmoid is the probability of a match.
    /// Prompts of a class are averaged as logits.
    Itm,
    /// The contrastive cosine, without a factor. Prompts of a class are averaged on the sphere.
    Itc,
}

/// How a model compares images, given as normalised tokens `[n, tokens, width]` of its vision tower, with texts.
pub trait Matcher: Send + Sync + 'static {
    /// Longest text, in tokens.
    fn context(&self) -> usize;

    /// Images to vectors `[n, dim]`, or several an image `[n, queries, dim]`, not normalised.
    ///
    /// # Errors
    /// Shapes do not agree.
    fn image_vectors(&self, states: &Tensor) -> blocks::Result<Tensor>;

    /// Texts to vectors `[texts, dim]`, not normalised.
    ///
    /// # Errors
    /// A text exceeds the positions or the vocabulary.
    fn text_vectors(&self, texts: &Texts) -> blocks::Result<Tensor>;

    /// Each image with each text to two logits, `[n, texts, 2]`: does not match, matches.
    ///
    /// # Errors
    /// As [`Matcher::text_vectors`].
    fn matches(&self, states: &Tensor, texts: &Texts) -> blocks::Result<Tensor>;
}

/// A checkpoint that scores images with texts, or has features only where its matcher is absent.
pub struct Retrieval<M> {
    place: Place,
    score: Score,
    vision: Vit,
    matcher: std::result::Result<(M, WordPieceTokenizer), String>,
    processor: ImageProcessor,
    parameters: usize,
}

/// Reads `score` of a row's options; without it, `default` it is.
///
/// # Errors
/// An option is unknown.
pub fn score(open: &Open, architecture: &str, default: Score) -> Result<Score> {
    let options = Options::new(architecture, &open.options, &["score"])?;
    Ok(options.choice("score", &[("itm", Score::Itm), ("itc", Score::Itc)])?.unwrap_or(default))
}

impl<M: Matcher> Retrieval<M> {
    /// Assembles a model from the `weights` of a checkpoint, all of which must be used. Instead of a matcher, `assemble`
    /// may say why there is none.
    ///
    /// # Errors
    /// A file is missing or corrupt, or a tensor is missing, unused or misshapen.
    pub fn new(
        place: Place,
        score: Score,
        weights: &Weights,
        assemble: impl FnOnce(&Weights) -> blocks::Result<(Vit, std::result::Result<M, String>)>,
    ) -> Result<Self> {
        let processor = ImageProcessor::blip_from_dir(&place.dir).map_err(config)?;
        let (vision, matcher) = assemble(weights).map_err(|e| place.blame("config.json", e))?;
        weights.finish().map_err(config)?;
        let matcher = match matcher {
            Ok(matcher) => {
                // Tokenizers may know more ids than the model, such as an image's; those are refused where they occur.
                let tokenizer = WordPieceTokenizer::from_dir(&place.dir, matcher.context(), usize::MAX);
                Ok((matcher, tokenizer.map_err(config)?))
            }
            Err(reason) => Err(reason),
        };
        Ok(Self { place, score, vision, matcher, processor, parameters: weights.parameters() })
    }

    /// The vision tower.
    pub fn vision(&self) -> &Vit {
        &self.vision
    }

    fn matcher(&self) -> Result<(&M, &WordPieceTokenizer)> {
        match &self.matcher {
            Ok((matcher, tokenizer)) => Ok((matcher, tokenizer)),
            Err(reason) => {
                let message = format!("this model does not support `zero-shot`: {reason}");
                Err(Error::new(ErrorKind::Unsupported, message))
            }
        }
    }

    /// Pixel values of images, which all have the size that the model takes.
    fn pixels(&self, images: &[Image<'_>]) -> Result<Vec<Pixels>> {
        pixels(&self.processor, images, self.vision.config().image_size)
    }

    /// Normalised tokens of images, `[n, tokens, width]`.
    fn states(&self, pixels: &[Pixels]) -> Result<Tensor> {
        let pixels = stack(pixels, &self.place.device, self.place.dtype)?;
        self.vision.token_states(&pixels, false).map_err(input)
    }

    fn tokenized(&self, texts: &[&str]) -> Result<Vec<Texts>> {
        let (_, tokenizer) = self.matcher()?;
        let batches = texts.chunks(BATCH).map(|texts| {
            let ids = tokenizer.encode(texts).map_err(input)?;
            Ok(Texts { mask: tokenizer.attention_mask(&ids), ids })
        });
        batches.collect()
    }

    /// Normalised embeddings of images, f32, `[n, dim]` or `[n, queries, dim]`.
    fn image_embeds(&self, states: &Tensor) -> Result<Tensor> {
        let (matcher, _) = self.matcher()?;
        matcher.image_vectors(states).and_then(|vectors| normalize(&vectors)).map_err(input)
    }

    /// Normalised embeddings of texts, f32, `[texts, dim]`.
    fn text_embeds(&self, texts: &[&str]) -> Result<Tensor> {
        let (matcher, _) = self.matcher()?;
        let batches = self.tokenized(texts)?;
        let embeds = batches.iter().map(|texts| matcher.text_vectors(texts).and_then(|v| normalize(&v)));
        Tensor::cat(&embeds.collect::<blocks::Result<Vec<_>>>().map_err(input)?, 0).map_err(failed)
    }

    /// Logits of the matching head, f32, `[n, texts, 2]`.
    fn matches(&self, states: &Tensor, texts: &[&str]) -> Result<Tensor> {
        let (matcher, _) = self.matcher()?;
        let columns = self.tokenized(texts)?.into_iter().map(|texts| {
            let (images, step) = (states.dim(0)?, (BATCH / texts.ids.len()).max(1));
            let rows = (0..images).step_by(step).map(|start| {
                let some = states.narrow(0, start, step.min(images - start))?;
                Ok(matcher.matches(&some, &texts)?.to_dtype(DType::F32)?)
            });
            Ok(Tensor::cat(&rows.collect::<blocks::Result<Vec<_>>>()?, 0)?)
        });
        Tensor::cat(&columns.collect::<blocks::Result<Vec<_>>>().map_err(input)?, 1).map_err(failed)
    }
}

impl<M: Matcher> Model for Retrieval<M> {
    fn describe(&self) -> Description {
        let capabilities = match self.matcher {
            Ok(_) => vec![Capability::ZeroShot, Capability::Features],
            Err(_) => vec![Capability::Features],
        };
        let vision = self.vision.config();
        Description {
            capabilities,
            parameters: self.parameters as u64,
            feature_dim: vision.encoder.width as u32,
            image_size: vision.image_size as u32,
            logit_scale: 0.0,
        }
    }

    /// The mean of the normalised embeddings of a class's prompts, normalised again. [`Score::Itm`] does not use it.
    fn encode_classes(&self, classes: &[Vec<String>]) -> Result<Matrix> {
        let embeds = self.text_embeds(&classes::prompts(classes)?)?;
        let means = classes::means(&embeds, classes).map_err(failed)?;
        matrix(&normalize(&means).map_err(input)?)
    }

    /// Logits by the chosen [`Score`].
    fn zero_shot(&self, images: &[Image<'_>], classes: &Classes) -> Result<Rows> {
        self.matcher()?;
        let pixels = self.pixels(images)?;
        let states = self.states(&pixels)?;
        let logits = match self.score {
            Score::Itm => {
                let texts: Vec<_> = classes.prompts.iter().flatten().map(String::as_str).collect();
                let by_text = log_odds(&self.matches(&states, &texts)?).and_then(|odds| odds.t());
                by_text.and_then(|rows| classes::means(&rows, &classes.prompts)?.t()).map_err(failed)?
            }
            Score::Itc => {
                let shape = (classes.encoded.rows(), classes.encoded.columns);
                let texts = Tensor::from_slice(&classes.encoded.data, shape, &self.place.device).map_err(failed)?;
                cosines(&self.image_embeds(&states)?, &texts).map_err(failed)?
            }
        };
        Ok(Rows { matrix: matrix(&logits)?, inputs: input_digests(&pixels) })
    }

    /// The class token after the vision tower's last norm, `[n, width]`: what `last_hidden_state` of
    /// `transformers.BlipVisionModel` starts with (its `pooler_output` is normalised a second time).
    fn features(&self, images: &[Image<'_>]) -> Result<Rows> {
        let pixels = self.pixels(images)?;
        let features = self.states(&pixels)?.get_on_dim(1, 0).map_err(failed)?;
        Ok(Rows { matrix: matrix(&features)?, inputs: input_digests(&pixels) })
    }

    /// Where there are images `pixel_values` [n, 3, h, w] and `image_features` [n, width], and `image_embeds` [n, dim] or
    /// [n, queries, dim] unless the model has features only; where there are texts `text_embeds` [t, dim]; where there
    /// are both `itc_scores` [n, t], `itm_scores` [n, t, 2] as the reference returns them, and `logits` [n, t].
    fn inspect(&self, request: &Inspect, images: &[Image<'_>]) -> Result<Inspection> {
        let mut arrays = Vec::new();
        let mut add = |name: &str, tensor: &Tensor| {
            arrays.push((name.to_string(), array(tensor)?));
            Ok::<_, Error>(())
        };
        let mut seen = None;
        if !images.is_empty() {
            let pixels = self.pixels(images)?;
            add("pixel_values", &stack(&pixels, &Device::Cpu, DType::F32)?)?;
            let states = self.states(&pixels)?;
            add("image_features", &states.get_on_dim(1, 0).map_err(failed)?)?;
            if self.matcher.is_ok() {
                let embeds = self.image_embeds(&states)?;
                add("image_embeds", &embeds)?;
                seen = Some((states, embeds));
            }
        }
        if !request.texts.is_empty() {
            let texts: Vec<_> = request.texts.iter().map(String::as_str).collect();
            let embeds = self.text_embeds(&texts)?;
            add("text_embeds", &embeds)?;
            if let Some((states, image_embeds)) = seen {
                let itc = cosines(&image_embeds, &embeds).map_err(failed)?;
                let itm = self.matches(&states, &texts)?;
                add("itc_scores", &itc)?;
                add("itm_scores", &itm)?;
                match self.score {
                    Score::Itm => add("logits", &log_odds(&itm).map_err(failed)?)?,
                    Score::Itc => add("logits", &itc)?,
                }
            }
        }
        Ok(Inspection { arrays, generation: None })
    }
}

/// Images `[n, dim]` or `[n, queries, dim]` and texts `[t, dim]` to the cosine, of the nearest query, `[n, t]`.
fn cosines(images: &Tensor, texts: &Tensor) -> candle_core::Result<Tensor> {
    let (images, texts) = (if images.rank() == 2 { images.unsqueeze(1)? } else { images.clone() }, texts.t()?);
    let (n, queries, dim) = images.dims3()?;
    let cosines = images.reshape((n * queries, dim))?.matmul(&texts)?;
    cosines.reshape((n, queries, ()))?.max(1)
}

/// The two logits `[n, t, 2]` of the matching head to the logarithm of the odds of a match, `[n, t]`.
fn log_odds(matches: &Tensor) -> candle_core::Result<Tensor> {
    matches.get_on_dim(2, 1)? - matches.get_on_dim(2, 0)?
}
