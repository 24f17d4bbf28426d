//! Architecture `internvl`: InternVL3 (Zhu et al. 2025) and what else `transformers` has in its class, such as InternVL2.5.
//!
//! Reference: `transformers.InternVLForConditionalGeneration` with `InternVLProcessor` and the slow
//! `GotOcr2ImageProcessor`, 4.53.1. An image is cut into as many tiles as suit its shape, see [`Tiles`]; each tile becomes
//! as many vectors, see [`Sight`], and all of them follow each other between two marks.

mod config;
mod keys;
mod sight;
mod tiles;
mod wording;

use blocks::{
    decoder::{Decoder, Llama},
    generate::Prompt,
    tokens::LanguageTokenizer,
    weights::Weights,
};
use bridge::{
    Options, Place,
    convert::{config, input},
    reader::{Generator, Manner, Picture, Reader, Seen, splice},
};
use candle_core::Tensor;
use plugin_api::{Image, Open, Result, register};

use config::Config;
use sight::Sight;
use tiles::Tiles;
use wording::Wording;

register!("internvl", "InternVL: InternViT on tiles, an MLP, and Qwen2 or LLaMA", [Generate, Choose], open);

/// Tokens of an answer in the reference's evaluation.
const MAX_NEW_TOKENS: usize = 200;

/// An InternVL.
pub struct InternVl {
    tiles: Tiles,
    sight: Sight,
    text: Llama,
    tokenizer: LanguageTokenizer,
    wording: Wording,
    manner: Manner,
    parameters: usize,
}

/// Opens a checkpoint in the layout of `transformers`.
///
/// # Errors
/// A file is missing or corrupt, a tensor is missing, unused or misshapen, or an option is unknown.
pub fn open(open: Open) -> Result<Generator<InternVl>> {
    let place = Place::of(&open, "internvl")?;
    let options = Options::new("internvl", &open.options, &Manner::OPTIONS)?;
    let settings = Config::from_dir(&place.dir).map_err(config)?;
    let tokenizer = LanguageTokenizer::from_dir(&place.dir, settings.text.vocab_size).map_err(config)?;
    let wording = Wording::new(&place.dir, settings.image_id, &tokenizer).map_err(config)?;
    let tiles = Tiles::from_dir(&place.dir, settings.vit.image_size).map_err(config)?;

    let open = |names| Weights::open(&place.dir, names, place.dtype, &place.device).map_err(config);
    let class = open(&keys::CLASS)?;
    let weights = if class.shape("text.tokens.weight").is_some() { class } else { open(&keys::HUB)? };
    let built = Sight::new(&settings, &weights).and_then(|s| Ok((s, Llama::new(&settings.text, &weights.at("text"))?)));
    let (sight, text) = built.map_err(|e| place.blame("config.json", e))?;
    weights.finish().map_err(config)?;

    let stop_ids = settings.stop_ids.unwrap_or_else(|| tokenizer.eos().into_iter().collect());
    let manner = Manner::new(&options, MAX_NEW_TOKENS, stop_ids)?;
    let parameters = weights.parameters();
    Ok(Generator(InternVl { tiles, sight, text, tokenizer, wording, manner, parameters }))
}

impl Reader for InternVl {
    /// `[tiles, 3, side, side]`.
    fn prepare(&self, image: &Image<'_>) -> Result<Picture> {
        let pixels = self.tiles.process(image.width as usize, image.height as usize, image.rgb).map_err(input)?;
        Ok(Picture { pixels, grid: Vec::new() })
    }

    fn encode(&self, pictures: &[&Picture]) -> blocks::Result<Vec<Tensor>> {
        let pixels: Vec<_> = pictures.iter().map(|picture| &picture.pixels).collect();
        let vectors = self.sight.encode(&Tensor::cat(&pixels, 0)?)?;
        let mut start = 0;
        let of_picture = |picture: &&Picture| {
            let tiles = picture.pixels.dim(0)?;
            start += tiles;
            Ok(vectors.narrow(0, start - tiles, tiles)?.flatten(0, 1)?)
        };
        pictures.iter().map(of_picture).collect()
    }

    fn prompt(&self, text: &str, raw: bool, pictures: &[Seen<'_>]) -> Result<Prompt> {
        let text = self.wording.text(text, raw, pictures.len())?;
        splice(&self.text, self.wording.segments(&self.tokenizer, &text, pictures)?).map_err(input)
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
        self.tiles.side() as u32
    }
}
