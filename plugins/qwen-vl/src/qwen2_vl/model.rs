//! From images and questions to answers.

use blocks::{
    decoder::{Decoder, Llama},
    generate::Prompt,
    tokens::LanguageTokenizer,
    vision::{Grid, QwenVit},
    weights::Weights,
};
use bridge::{
    Options, Place,
    convert::{config, input},
    reader::{Generator, Manner, Picture, Reader, Seen, splice},
};
use candle_core::Tensor;
use plugin_api::{Image, Open, Result};

use super::{added::added, config::Config, family::Family, pictures::Pictures, positions::positions, wording::Wording};

/// Options beside those of [`Manner`] that every architecture of the family has.
const OPTIONS: [&str; 2] = ["side", "max_pixels"];
/// Tokens of an answer in MedVLMBench; the authors name no limit.
const MAX_NEW_TOKENS: usize = 512;
/// The most patches that are computed at a time, unless a single image has more.
const PATCHES: usize = 16384;

/// A model of the family.
pub struct QwenVl {
    vision: QwenVit,
    text: Llama,
    tokenizer: LanguageTokenizer,
    wording: Wording,
    pictures: Pictures,
    manner: Manner,
    parameters: u64,
}

impl QwenVl {
    /// Opens a checkpoint of a `family`.
    ///
    /// # Errors
    /// A file is missing or corrupt, a tensor is missing, unused or misshapen, or an option is unknown.
    pub fn open(open: &Open, family: &Family) -> Result<Generator<Self>> {
        let place = Place::of(open, family.name)?;
        let known = [&OPTIONS[..], family.options, &Manner::OPTIONS].concat();
        let options = Options::new(family.name, &open.options, &known)?;
        let settings = Config::from_dir(&place.dir, family).map_err(config)?;
        let tokenizer = LanguageTokenizer::from_dir(&place.dir, settings.text.vocab_size).map_err(config)?;
        let processor = (family.processor)(&place.dir).map_err(config)?;
        let pictures = Pictures::new(processor, &place.dir, &settings.vision, &options)?;
        let stop_ids = settings.stop_ids.clone().unwrap_or_else(|| Wording::ends(&tokenizer));

        let open = |names| Weights::open(&place.dir, names, place.dtype, &place.device).map_err(config);
        let mut weights = open(&family.names[0])?;
        for names in &family.names[1..] {
            if weights.shape("text.tokens.weight").is_none() {
                weights = open(names)?;
            }
        }
        let vision = QwenVit::new(&settings.vision, &weights.at("vision"));
        let built = vision.and_then(|vision| Ok((vision, Llama::new(&settings.text, &weights.at("text"))?)));
        let (vision, text) = built.map_err(|e| place.blame("config.json", e))?;
        weights.finish().map_err(config)?;
        Ok(Generator(Self {
            vision,
            text,
            wording: Wording::new(&place.dir, family.system, &settings, &tokenizer)?,
            tokenizer,
            pictures,
            manner: Manner::new(&options, MAX_NEW_TOKENS, stop_ids)?,
            parameters: weights.parameters() as u64,
        }))
    }

    fn encode_together(&self, pictures: &[&Picture]) -> blocks::Result<Vec<Tensor>> {
        let pixels: Vec<_> = pictures.iter().map(|picture| &picture.pixels).collect();
        let grids: Vec<Grid> = pictures.iter().map(|picture| [picture.grid[0], picture.grid[1]]).collect();
        let vectors = self.vision.forward(&Tensor::cat(&pixels, 0)?, &grids)?;
        let mut start = 0;
        let of = |picture: &&Picture| {
            let tokens = self.grid(picture).iter().product();
            start += tokens;
            Ok(vectors.narrow(0, start - tokens, tokens)?)
        };
        pictures.iter().map(of).collect()
    }

    /// Rows and columns of the vectors of a picture.
    fn grid(&self, picture: &Picture) -> Grid {
        [0, 1].map(|axis| picture.grid[axis] / self.vision.config().merge)
    }
}

impl Reader for QwenVl {
    /// `[patches, values]`, with the numbers of rows and columns.
    fn prepare(&self, image: &Image<'_>) -> Result<Picture> {
        self.pictures.prepare(image)
    }

    fn encode(&self, pictures: &[&Picture]) -> blocks::Result<Vec<Tensor>> {
        let (mut vectors, mut rest) = (Vec::with_capacity(pictures.len()), pictures);
        while !rest.is_empty() {
            let mut patches = 0;
            let some = rest.iter().take_while(|picture| {
                patches += picture.grid.iter().product::<usize>();
                patches <= PATCHES
            });
            let (some, others) = rest.split_at(some.count().max(1));
            vectors.extend(self.encode_together(some)?);
            rest = others;
        }
        Ok(vectors)
    }

    /// The vectors of the last layer of the tower stand for the pictures, those of the tapped ones are added on the way.
    fn prompt(&self, text: &str, raw: bool, pictures: &[Seen<'_>]) -> Result<Prompt> {
        let vectors = pictures.iter().map(|seen| self.shown(seen.vectors)).collect::<blocks::Result<_>>();
        let segments = self.wording.segments(&self.tokenizer, text, raw, vectors.map_err(input)?)?;
        let prompt = splice(&self.text, segments).map_err(input)?;
        let grids: Vec<Grid> = pictures.iter().map(|seen| self.grid(seen.picture)).collect();
        let Wording { image_id, start_id, .. } = self.wording;
        let places = positions(&prompt.ids, image_id, start_id, &grids);
        let added = added(&prompt.ids, image_id, pictures, self.vision.config()).map_err(input)?;
        Ok(Prompt { positions: Some(places), added, ..prompt })
    }

    fn shown(&self, vectors: &Tensor) -> blocks::Result<Tensor> {
        Ok(vectors.narrow(1, 0, self.vision.config().output)?.contiguous()?)
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
        self.parameters
    }

    fn image_size(&self) -> u32 {
        0
    }
}
