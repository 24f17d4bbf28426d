//! Architecture `gemma3`: Gemma 3 (Gemma Team 2025), MedGemma (Sellergren et al. 2025) and what else is built like them.
//!
//! SigLIP's tokens are averaged over squares, normalised and multiplied by a matrix. What stands for an image goes into the
//! decoder unscaled, and its tokens see each other whatever their order.
//!
//! Reference: `transformers.Gemma3ForConditionalGeneration` with `Gemma3Processor`, 4.53.1. As there, tokens of two images
//! see each other as well if they are no further apart than an image is long.

mod config;
mod keys;
mod sight;
mod wording;

use blocks::{
    decoder::{Decoder, Gemma, Together},
    generate::Prompt,
    image::ImageProcessor,
    tokens::LanguageTokenizer,
    weights::Weights,
};
use bridge::{
    Options, Place,
    convert::{config, input},
    pixels,
    reader::{Generator, Manner, Picture, Reader, Seen, splice},
    stack,
};
use candle_core::{DType, Device, Tensor};
use plugin_api::{Image, Open, Result, register};

use config::Config;
use keys::{CLASS, HUB};
use sight::Sight;
use wording::{Order, Wording};

register!("gemma3", "Gemma 3 and MedGemma: SigLIP, averaged tokens and Gemma 3", [Generate, Choose], open);

/// Tokens of an answer in the benchmark.
const MAX_NEW_TOKENS: usize = 512;
/// The options beside those of [`Manner`].
const OPTIONS: [&str; 3] = ["system", "text_first", "compat"];

/// A Gemma 3 that sees.
pub struct Gemma3 {
    sight: Sight,
    text: Gemma,
    tokenizer: LanguageTokenizer,
    wording: Wording,
    processor: ImageProcessor,
    /// How far tokens of images see each other.
    reach: usize,
    manner: Manner,
    parameters: usize,
}

/// Opens a checkpoint. Options are `system`, the text of the system's turn; `text_first`, whether the question precedes its
/// images; and `compat`, with which it does unless `text_first` says otherwise.
///
/// # Errors
/// A file is missing or corrupt, a tensor is missing, unused or misshapen, or an option is unknown.
pub fn open(open: Open) -> Result<Generator<Gemma3>> {
    let place = Place::of(&open, "gemma3")?;
    let options = Options::new("gemma3", &open.options, &[&OPTIONS[..], &Manner::OPTIONS].concat())?;
    let settings = Config::from_dir(&place.dir).map_err(config)?;
    let text_first = options.flag("text_first")?.unwrap_or(options.medvlmbench()?);
    let order = if text_first { Order::TextFirst } else { Order::ImagesFirst };

    // The vocabulary need not have the token of images.
    let known = settings.text.vocab_size.max(settings.image_id as usize + 1);
    let tokenizer = LanguageTokenizer::from_dir(&place.dir, known).map_err(config)?;
    let wording = Wording::new(&place.dir, &settings, &tokenizer, options.text("system")?, order).map_err(config)?;
    let processor = ImageProcessor::gemma3_from_dir(&place.dir).map_err(config)?;

    let weights = |names| Weights::open(&place.dir, names, place.dtype, &place.device).map_err(config);
    let class = weights(&CLASS)?;
    let weights = if class.shape("text.tokens.weight").is_some() { class } else { weights(&HUB)? };
    let built =
        Sight::new(&settings, &weights).and_then(|sight| Ok((sight, Gemma::new(&settings.text, &weights.at("text"))?)));
    let (sight, text) = built.map_err(|e| place.blame("config.json", e))?;
    weights.finish().map_err(config)?;

    let stop_ids = settings.stop_ids.unwrap_or_else(|| {
        let published = ["<eos>", "<end_of_turn>"].iter().filter_map(|token| tokenizer.id(token));
        published.collect()
    });
    let (reach, parameters) = (settings.tokens_per_image, weights.parameters());
    let manner = Manner::new(&options, MAX_NEW_TOKENS, stop_ids)?;
    Ok(Generator(Gemma3 { sight, text, tokenizer, wording, processor, reach, manner, parameters }))
}

impl Reader for Gemma3 {
    /// `[1, 3, side, side]`.
    fn prepare(&self, image: &Image<'_>) -> Result<Picture> {
        let pixels = pixels(&self.processor, std::slice::from_ref(image), self.sight.side())?;
        Ok(Picture { pixels: stack(&pixels, &Device::Cpu, DType::F32)?, grid: Vec::new() })
    }

    /// One after the other: an image of 896 pixels has 4096 tokens in the tower.
    fn encode(&self, pictures: &[&Picture]) -> blocks::Result<Vec<Tensor>> {
        pictures.iter().map(|picture| Ok(self.sight.encode(&picture.pixels)?.squeeze(0)?)).collect()
    }

    fn prompt(&self, text: &str, raw: bool, pictures: &[Seen<'_>]) -> Result<Prompt> {
        let text = self.wording.text(text, raw, pictures.len()).map_err(input)?;
        let (segments, blocks) = self.wording.segments(&self.tokenizer, &text, pictures)?;
        let prompt = splice(&self.text, segments).map_err(input)?;
        Ok(Prompt { together: Together { blocks, reach: self.reach }, ..prompt })
    }

    fn decoder(&self) -> &dyn Decoder {
        &self.text
    }

    fn tokenizer(&self) -> &LanguageTokenizer {
        &self.tokenizer
    }

    fn manner(&self) -> &Manner {
        &self.manner
    }

    fn parameters(&self) -> u64 {
        self.parameters as u64
    }

    fn image_size(&self) -> u32 {
        self.sight.side() as u32
    }
}
