//! What every model that reads images and writes text has in common: from requests to answers.
//!
//! A model says how it turns images into vectors of its decoder ([`Reader::prepare`], [`Reader::encode`]) and how it words a
//! prompt ([`Reader::prompt`]); [`Generator`] does the rest and is the model of the contract.

mod session;
mod splice;
mod words;

use blocks::{
    decoder::Decoder,
    generate::{self, Sampling, log_likelihoods},
    tokens::LanguageTokenizer,
};
use candle_core::{DType, Device, Tensor};
use plugin_api::{
    Array, Capability, Decoding, Description, Error, Generation, Image, Inspect, Inspection, Model, Request, Result,
    Rows, Sink,
};

use crate::{
    Options,
    convert::{array, failed, input, matrix},
};
use session::Session;
pub use splice::{Segment, splice};
pub use words::{ask, beginning};

/// A model that reads images and writes text.
pub trait Reader: Send + Sync + 'static {
    /// Pixel values of an image, as the reference's processor gives them.
    ///
    /// # Errors
    /// The image is empty or its bytes do not fit its size.
    fn prepare(&self, image: &Image<'_>) -> Result<Picture>;

    /// As [`Reader::prepare`], of one of `images` in a prompt: some models look less closely at several.
    ///
    /// # Errors
    /// As [`Reader::prepare`].
    fn prepare_among(&self, image: &Image<'_>, images: usize) -> Result<Picture> {
        let _ = images;
        self.prepare(image)
    }

    /// Vectors `[tokens, width]` that stand for each picture in a prompt.
    ///
    /// # Errors
    /// None but those of the device.
    fn encode(&self, pictures: &[&Picture]) -> blocks::Result<Vec<Tensor>>;

    /// What of the vectors of pictures is shown as `image_features`: all, unless a model has those of further layers beside
    /// them.
    ///
    /// # Errors
    /// None but those of the device.
    fn shown(&self, vectors: &Tensor) -> blocks::Result<Tensor> {
        Ok(vectors.clone())
    }

    /// A question with what was read, as the decoder takes it; `raw` leaves the model's template out.
    ///
    /// # Errors
    /// The text cannot be tokenized, or there are more or fewer pictures than the model takes.
    fn prompt(&self, text: &str, raw: bool, pictures: &[Seen<'_>]) -> Result<generate::Prompt>;

    /// The language model.
    fn decoder(&self) -> &dyn Decoder;

    /// Its tokenizer.
    fn tokenizer(&self) -> &LanguageTokenizer;

    /// How it answers unless it is asked to do otherwise.
    fn manner(&self) -> &Manner;

    /// The text of an answer.
    ///
    /// # Errors
    /// An id is outside the vocabulary.
    fn text(&self, ids: &[u32]) -> blocks::Result<String> {
        Ok(strip(&self.tokenizer().decode(ids)?).to_string())
    }

    /// What is told as the answer `ids` to a prompt of the ids `asked`.
    ///
    /// # Errors
    /// As [`Reader::text`].
    fn told(&self, asked: &[u32], ids: &[u32]) -> blocks::Result<String> {
        let _ = asked;
        self.text(ids)
    }

    /// Number of parameters.
    fn parameters(&self) -> u64;

    /// Side of the square input, in pixels; 0 where it follows the image.
    fn image_size(&self) -> u32;

    /// Width of a feature vector for linear probes; 0 where there is none.
    fn feature_dim(&self) -> u32 {
        0
    }

    /// Features `[images, dim]` for linear probes.
    ///
    /// # Errors
    /// There are none.
    fn features(&self, pictures: &[&Picture]) -> Result<Tensor> {
        let _ = pictures;
        Err(Error::unsupported("features"))
    }
}

/// An image as the vision tower takes it.
#[derive(Debug, Clone)]
pub struct Picture {
    /// Pixel values on the CPU in f32, in the shape of the reference's processor with a leading axis that pictures can be
    /// joined along.
    pub pixels: Tensor,
    /// Whatever else the model has to know, such as the extents of a grid.
    pub grid: Vec<usize>,
}

/// A picture and the vectors that stand for it.
#[derive(Debug, Clone, Copy)]
pub struct Seen<'a> {
    /// As it was prepared.
    pub picture: &'a Picture,
    /// `[tokens, width]`, as [`Reader::encode`] gave them.
    pub vectors: &'a Tensor,
}

/// How a model answers unless it is asked to do otherwise.
#[derive(Debug, Clone)]
pub struct Manner {
    /// The most tokens of an answer.
    pub max_new_tokens: usize,
    /// Ids that end an answer.
    pub stop_ids: Vec<u32>,
    /// Strings that end an answer, and are cut off.
    pub stop: Vec<String>,
    /// Penalty of tokens that occurred; 1 is off.
    pub repetition_penalty: f32,
    /// The most answers at a time, whatever is asked for.
    pub slots: Option<usize>,
}

/// Answers at a time where nothing else is asked for.
const SLOTS: usize = 16;

/// A [`Reader`] as a model of the contract.
pub struct Generator<R>(pub R);

impl Manner {
    /// Options that every reader has.
    pub const OPTIONS: [&str; 2] = ["repetition_penalty", "slots"];

    /// Greedy, with the options `repetition_penalty` and `slots` of a row; `max_new_tokens` is what the model's authors
    /// allow.
    ///
    /// # Errors
    /// An option is of no use.
    pub fn new(options: &Options<'_>, max_new_tokens: usize, stop_ids: Vec<u32>) -> Result<Self> {
        let penalty = options.number("repetition_penalty")?.unwrap_or(1.0) as f32;
        if penalty <= 0.0 {
            return Err(Error::config(format!("option `repetition_penalty` is {penalty}; expected a number above 0")));
        }
        let slots = options.count("slots")?;
        Ok(Self { max_new_tokens, stop_ids, stop: Vec::new(), repetition_penalty: penalty, slots })
    }

    fn decoding(&self, asked: &Decoding) -> generate::Decoding {
        generate::Decoding {
            max_new_tokens: match asked.max_new_tokens {
                0 => self.max_new_tokens,
                most => most as usize,
            },
            stop_ids: self.stop_ids.clone(),
            stop: [&self.stop[..], &asked.stop].concat(),
            sampling: Sampling {
                temperature: asked.temperature,
                top_p: asked.top_p,
                repetition_penalty: self.repetition_penalty,
                seed: asked.seed,
                ..Sampling::default()
            },
            slots: match asked.slots {
                0 => self.slots.unwrap_or(SLOTS),
                most => (most as usize).min(self.slots.unwrap_or(usize::MAX)),
            },
        }
    }
}

impl<R: Reader> Model for Generator<R> {
    fn describe(&self) -> Description {
        let mut capabilities = vec![Capability::Generate, Capability::Choose];
        if self.0.feature_dim() > 0 {
            capabilities.push(Capability::Features);
        }
        Description {
            capabilities,
            parameters: self.0.parameters(),
            feature_dim: self.0.feature_dim(),
            image_size: self.0.image_size(),
            logit_scale: 0.0,
        }
    }

    fn features(&self, images: &[Image<'_>]) -> Result<Rows> {
        let pictures = images.iter().map(|image| self.0.prepare(image)).collect::<Result<Vec<_>>>()?;
        let features = self.0.features(&pictures.iter().collect::<Vec<_>>())?;
        let input = |picture| digest(&[Seen { picture, vectors: &features }], &[]);
        let inputs = pictures.iter().map(input).collect::<Result<_>>()?;
        Ok(Rows { matrix: matrix(&features)?, inputs })
    }

    fn generate(&self, requests: &[Request], images: &[Image<'_>], decoding: &Decoding, sink: &Sink<'_>) -> Result<()> {
        let mut decoding = self.0.manner().decoding(decoding);
        decoding.slots = decoding.slots.min(requests.len()).max(1);
        let mut session = Session::new(&self.0, requests, images, &decoding, sink);
        let done = generate::generate(self.0.decoder(), &decoding, &mut session);
        session.ended(done)
    }

    fn choose(&self, requests: &[Request], images: &[Image<'_>]) -> Result<Vec<Vec<f32>>> {
        let rate = |request: &Request| {
            let images = session::images_of(request, images)?;
            let (prompt, _) = self.read(&request.prompt, request.raw, &images)?;
            let options = request.options.iter().map(|option| self.0.tokenizer().encode(option, false));
            let options = options.collect::<blocks::Result<Vec<_>>>().map_err(input)?;
            log_likelihoods(self.0.decoder(), &prompt, &options).map_err(input)
        };
        requests.iter().map(rate).collect()
    }

    /// `first_logits` [1, vocabulary] and, where there are images, `pixel_values` and `image_features`: those for linear
    /// probes or, without any, the vectors that stand for the images. Without a prompt, several images give the latter two
    /// only.
    fn inspect(&self, request: &Inspect, images: &[Image<'_>]) -> Result<Inspection> {
        if !request.texts.is_empty() {
            return Err(Error::unsupported("zero-shot"));
        }
        let probed = self.0.feature_dim() > 0;
        if probed && request.prompt.is_none() && images.len() > 1 {
            let pictures = images.iter().map(|image| self.0.prepare(image)).collect::<Result<Vec<_>>>()?;
            let pictures: Vec<&Picture> = pictures.iter().collect();
            return Ok(Inspection { arrays: shown(&pictures, &self.0.features(&pictures)?)?, generation: None });
        }
        let images: Vec<&Image<'_>> = images.iter().collect();
        let text = request.prompt.clone().unwrap_or_default();
        let (prompt, pictures) = self.read(&text, request.raw, &images)?;
        let (pictures, vectors): (Vec<&Picture>, Vec<&Tensor>) = pictures.iter().map(|(p, v)| (p, v)).unzip();
        let mut arrays = match (pictures.is_empty(), probed) {
            (true, _) => Vec::new(),
            (false, true) => shown(&pictures, &self.0.features(&pictures)?)?,
            (false, false) => {
                let vectors = Tensor::cat(&vectors, 0).map_err(failed)?;
                shown(&pictures, &self.0.shown(&vectors).map_err(input)?)?
            }
        };
        let decoding = self.0.manner().decoding(&request.decoding);
        let (answer, generation) = session::answer_one(&self.0, prompt, &decoding)?;
        arrays.push(("first_logits".to_string(), array(&answer.first_logits.unsqueeze(0).map_err(failed)?)?));
        Ok(Inspection { arrays, generation: Some(generation) })
    }
}

impl<R: Reader> Generator<R> {
    /// A prompt, and the pictures in it with their vectors.
    fn read(&self, text: &str, raw: bool, images: &[&Image<'_>]) -> Result<(generate::Prompt, Vec<(Picture, Tensor)>)> {
        let pictures =
            images.iter().map(|image| self.0.prepare_among(image, images.len())).collect::<Result<Vec<_>>>()?;
        let vectors = match pictures.is_empty() {
            true => Vec::new(),
            false => self.0.encode(&pictures.iter().collect::<Vec<_>>()).map_err(input)?,
        };
        let pictures: Vec<_> = pictures.into_iter().zip(vectors).collect();
        let seen: Vec<_> = pictures.iter().map(|(picture, vectors)| Seen { picture, vectors }).collect();
        let mut prompt = self.0.prompt(text, raw, &seen)?;
        prompt.seed = seed(&digest(&seen, prompt.asked())?);
        Ok((prompt, pictures))
    }
}

/// A text without the white space around it, as `str.strip` of Python has it: four separators of ASCII are white space there.
pub fn strip(text: &str) -> &str {
    text.trim_matches(|c: char| c.is_whitespace() || ('\x1c'..='\x1f').contains(&c))
}

/// What is shown of pictures.
fn shown(pictures: &[&Picture], features: &Tensor) -> Result<Vec<(String, Array)>> {
    let pixels: Vec<_> = pictures.iter().map(|picture| &picture.pixels).collect();
    let pixels = array(&Tensor::cat(&pixels, 0).map_err(failed)?)?;
    Ok(vec![("pixel_values".into(), pixels), ("image_features".into(), array(features)?)])
}

/// Digest of what a model is given: pixel values, then the ids of the prompt.
fn digest(pictures: &[Seen<'_>], ids: &[u32]) -> Result<String> {
    let mut bytes = Vec::new();
    for seen in pictures {
        let pixels = seen.picture.pixels.to_device(&Device::Cpu).and_then(|p| p.to_dtype(DType::F32)?.flatten_all());
        let values = pixels.and_then(|p| p.to_vec1::<f32>()).map_err(failed)?;
        bytes.extend(values.iter().flat_map(|value| value.to_le_bytes()));
    }
    bytes.extend(ids.iter().flat_map(|id| id.to_le_bytes()));
    Ok(plugin_api::digest(&bytes))
}

/// The seed that a digest gives: what is drawn for a sample depends on the sample, not on its neighbours.
fn seed(digest: &str) -> u64 {
    u64::from_str_radix(&digest[..16], 16).unwrap_or_default()
}

/// What the host is told of an answer.
fn generation(index: u32, text: String, prompt: &[u32], answer: &generate::Answer) -> Generation {
    let finish = match answer.finish {
        generate::Finish::Stop => "stop",
        generate::Finish::Length => "length",
    };
    Generation {
        index,
        text,
        finish: finish.into(),
        prompt_tokens: prompt.len() as u32,
        new_tokens: answer.ids.len() as u32,
        ..Generation::default()
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn white_space_is_what_python_strips() {
        assert_eq!(super::strip(" \x1f\u{85}\u{3000}a \x1e b\x1c\n"), "a \x1e b");
        assert_eq!(super::strip("\u{200b} "), "\u{200b}");
    }
}
