//! Architecture `blip2`: BLIP-2 (Li et al. 2023) with OPT, a vision transformer, a Q-Former and a language model.
//!
//! Reference: `transformers.Blip2ForConditionalGeneration` and `Blip2Processor`, 4.53.1.

mod settings;

use blocks::{
    decoder::{Decoder, Opt},
    generate::Prompt,
    tokens::LanguageTokenizer,
    weights::Weights,
};
use bridge::{
    Options, Place,
    convert::{config, input},
    reader::{Generator, Manner, Picture, Reader, Seen, Segment, splice},
};
use candle_core::Tensor;
use plugin_api::{Error, Image, Open, Result, register};

use crate::{NAMES, qformer::QFormer, sight::Sight};
pub use settings::Settings;
pub(crate) use settings::ids;

register!("blip2", "BLIP-2: a ViT, a Q-Former and OPT", [Generate, Choose, Features], open);

/// The most tokens of an answer, unless the row says another number: the benchmark's.
const BUDGET: usize = 768;
/// What processors call an image's token.
const IMAGE: &str = "<image>";

/// BLIP-2 with OPT.
pub struct Blip2 {
    sight: Sight,
    qformer: QFormer,
    language: Opt,
    tokenizer: LanguageTokenizer,
    /// Counts as each query in a prompt.
    image_token: Option<u32>,
    /// What the processor puts before a text although the model puts the queries there.
    inserted: Vec<u32>,
    manner: Manner,
    /// Answers begin with their prompt, as the benchmark's do.
    with_prompt: bool,
    parameters: usize,
}

/// Opens a checkpoint laid out as on the Hugging Face hub. Options: those of [`Manner`], and `compat`.
///
/// # Errors
/// A file is missing or corrupt, a tensor is missing, unused or misshapen, or an option is unknown.
pub fn open(open: Open) -> Result<Generator<Blip2>> {
    let place = Place::of(&open, "blip2")?;
    let options = Options::new("blip2", &open.options, &[&Manner::OPTIONS[..], &["compat"]].concat())?;
    let settings = Settings::from_dir(&place.dir).map_err(config)?;
    let manner = Manner::new(&options, BUDGET, settings.stop.clone())?;
    // The tokenizer may know more ids than the model; those are refused where they occur.
    let tokenizer = LanguageTokenizer::from_dir(&place.dir, usize::MAX).map_err(config)?;
    let inserted = match settings.image_token {
        Some(_) => Vec::new(),
        None => tokenizer.id(IMAGE).map_or(Vec::new(), |id| vec![id; settings.inserted]),
    };
    let weights = Weights::open(&place.dir, &NAMES, place.dtype, &place.device).map_err(config)?;
    let blame = |e| place.blame("config.json", e);
    let image = &settings.image;
    let qformer = QFormer::new(&image.text, image.queries, settings.language.hidden_size, &weights).map_err(blame)?;
    let language = Opt::new(&settings.language, &weights.at("language")).map_err(blame)?;
    let sight = Sight::new(place, &image.vision, &weights)?;
    weights.finish().map_err(config)?;
    Ok(Generator(Blip2 {
        sight,
        qformer,
        language,
        tokenizer,
        image_token: settings.image_token,
        inserted,
        manner,
        with_prompt: options.medvlmbench()?,
        parameters: weights.parameters(),
    }))
}

impl Blip2 {
    /// Ids of a text behind `bos`, unless it spells that out itself.
    fn ids(&self, text: &str) -> blocks::Result<Vec<u32>> {
        let plain = self.tokenizer.encode(text, false)?;
        match self.tokenizer.bos() {
            Some(bos) if plain.first() == Some(&bos) => Ok(plain),
            _ => self.tokenizer.encode(text, true),
        }
    }
}

impl Reader for Blip2 {
    fn prepare(&self, image: &Image<'_>) -> Result<Picture> {
        self.sight.prepare(image)
    }

    /// One vector a query.
    fn encode(&self, pictures: &[&Picture]) -> blocks::Result<Vec<Tensor>> {
        self.qformer.vectors(&self.sight.states(pictures)?)
    }

    /// The queries, then the text behind `bos`: a question in the authors' words, or what a caption begins with.
    fn prompt(&self, text: &str, raw: bool, pictures: &[Seen<'_>]) -> Result<Prompt> {
        let vectors = Sight::one(pictures)?.vectors.clone();
        let text = if raw || text.is_empty() { text.to_string() } else { format!("Question: {text} Answer:") };
        let ids = [self.inserted.clone(), self.ids(&text).map_err(input)?].concat();
        if self.image_token.is_some_and(|id| ids.contains(&id)) {
            return Err(Error::input(format!("the prompt spells out `{IMAGE}`, which stands for the image before it")));
        }
        // Older checkpoints have no id for a query, and none is told of.
        let segments = vec![Segment::Vectors(vectors, self.image_token.unwrap_or(0)), Segment::Text(ids.clone())];
        let prompt = splice(&self.language, segments).map_err(input)?;
        Ok(Prompt { source: self.image_token.is_none().then_some(ids), ..prompt })
    }

    fn decoder(&self) -> &dyn Decoder {
        &self.language
    }

    fn tokenizer(&self) -> &LanguageTokenizer {
        &self.tokenizer
    }

    fn manner(&self) -> &Manner {
        &self.manner
    }

    fn told(&self, asked: &[u32], ids: &[u32]) -> blocks::Result<String> {
        match self.with_prompt {
            true => self.text(&[asked, ids].concat()),
            false => self.text(ids),
        }
    }

    fn parameters(&self) -> u64 {
        self.parameters as u64
    }

    fn image_size(&self) -> u32 {
        self.sight.image_size()
    }

    fn feature_dim(&self) -> u32 {
        self.sight.width()
    }

    fn features(&self, pictures: &[&Picture]) -> Result<Tensor> {
        self.sight.features(pictures)
    }
}
