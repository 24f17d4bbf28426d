//! Architecture `vila`: VILA-1.5 (Lin et al. 2024) and VILA-M3 (Nath et al. 2025).
//!
//! Reference: the class `LlavaLlamaModel` of the VILA repository, which is `transformers.SiglipVisionModel`,
//! `LlamaForCausalLM` and a projector. The states of the last layer but one of the tower count; four of them become one
//! vector, and a newline follows the vectors of each image.

pub mod config;
mod eyes;
mod keys;
pub mod projector;
mod wording;

use blocks::{
    Error,
    decoder::{Decoder, Llama},
    generate::Prompt,
    image::ImageProcessor,
    tokens::LanguageTokenizer,
    vision::Vit,
    weights::{Names, Weights},
};
use bridge::{
    Options, Place,
    convert::{config, input},
    reader::{Generator, Manner, Picture, Reader, Seen, Segment, splice},
};
use candle_core::Tensor;
use plugin_api::{Image, Open, Result, register};

use config::{LANGUAGE, PROJECTOR, Settings, TOWER};
use eyes::Eyes;
pub use keys::{LANGUAGE as LANGUAGE_NAMES, PROJECTOR as PROJECTOR_NAMES, TOWER as TOWER_NAMES};
use projector::Projector;
pub use wording::Wording;
use wording::{ADDED, Beginning, IMAGE};

register!("vila", "VILA: SigLIP, joined tokens and a language model", [Generate, Choose], open);

/// Options beside those of every reader that checkpoints of this layout have.
pub const OPTIONS: [&str; 1] = ["bos"];
/// Before a question, in the authors' conversation `llama_3`.
const BEFORE: &str = "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nYou are a helpful language and vision \
    assistant. You are able to understand the visual content that the user provides, and assist the user with a variety \
    of tasks using natural language.<|eot_id|><|start_header_id|>user<|end_header_id|>\n\n";
/// Behind it.
const BEHIND: &str = "<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n";
/// Llama 3's own template, where the tokenizer comes without.
const TEMPLATE: &str = "{% for message in messages %}{% set content = '<|start_header_id|>' + message['role'] + \
    '<|end_header_id|>\n\n' + message['content'] | trim + '<|eot_id|>' %}{% if loop.index0 == 0 %}{% set content = \
    bos_token + content %}{% endif %}{{ content }}{% endfor %}{% if add_generation_prompt %}{{ \
    '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}";
/// What ends a turn and a text.
const ENDS: [&str; 2] = ["<|eot_id|>", "<|end_of_text|>"];

/// A checkpoint in VILA's three folders.
pub struct Vila {
    eyes: Eyes,
    language: Llama,
    tokenizer: LanguageTokenizer,
    wording: Wording,
    beginning: Beginning,
    /// Several images in a prompt are looked at as closely as one.
    several_closely: bool,
    manner: Manner,
    parameters: u64,
}

/// What an architecture settles beside its checkpoint.
pub struct Custom {
    /// Type of the language model where its configuration names none.
    pub language: &'static str,
    /// What surrounds a question.
    pub wording: Wording,
    /// Tokens that end an answer, as far as the tokenizer knows them.
    pub ends: [&'static str; 2],
    /// Several images in a prompt are looked at as closely as one.
    pub several_closely: bool,
    /// The most tokens of an answer.
    pub max_new_tokens: usize,
}

/// Opens a checkpoint as it was published. With the option `compat = "medvlmbench"`, the prompt is the tokenizer's chat
/// template without a system text; option `bos` is `once`, the default, or `tokenizer`.
///
/// # Errors
/// A file is missing or corrupt, a tensor is missing, unused or misshapen, or an option is unknown.
pub fn open(open: Open) -> Result<Generator<Vila>> {
    let place = Place::of(&open, "vila")?;
    let options = Options::new("vila", &open.options, &[&Manner::OPTIONS[..], &OPTIONS, &["compat"]].concat())?;
    let wording = match options.medvlmbench()? {
        true => Wording::chat(&place.dir.join(LANGUAGE), TEMPLATE, "<|begin_of_text|>").map_err(config)?,
        false => Wording::Fixed(BEFORE, BEHIND),
    };
    let custom = Custom { language: "llama", wording, ends: ENDS, several_closely: true, max_new_tokens: 1024 };
    Vila::new(&place, &options, custom)
}

impl Vila {
    /// Reads the three folders.
    ///
    /// # Errors
    /// A file is missing or corrupt, a tensor is missing, unused or misshapen, or an option is of no use.
    pub fn new(place: &Place, options: &Options<'_>, custom: Custom) -> Result<Generator<Self>> {
        let settings = Settings::from_dir(&place.dir, custom.language).map_err(config)?;
        let beginnings = [("once", Beginning::Once), ("tokenizer", Beginning::Tokenizer)];
        let beginning = options.choice("bos", &beginnings)?.unwrap_or(Beginning::Once);
        let llm = place.dir.join(LANGUAGE);
        let vocabulary = settings.language.vocab_size;
        let tokenizer = LanguageTokenizer::from_dir(&llm, vocabulary + ADDED.len()).map_err(config)?;
        let mut ends = settings.ends.clone();
        ends.extend(custom.ends.iter().filter_map(|end| tokenizer.id(end)).chain(tokenizer.eos()));
        let mut parameters = 0;
        let (width, scales) = (settings.tower.encoder.width, settings.scales.as_ref().map_or(1, |s| s.count()));
        let (input, output) = (width * scales, settings.language.hidden_size);
        let reader = Self {
            eyes: Eyes {
                processor: ImageProcessor::siglip_from_dir(&place.dir.join(TOWER)).map_err(config)?.without_resize(),
                tower: load(place, TOWER, &keys::TOWER, &mut parameters, |weights| Vit::new(&settings.tower, weights))?,
                depth: settings.depth,
                projector: load(place, PROJECTOR, &keys::PROJECTOR, &mut parameters, |weights| {
                    Projector::new(settings.projector, input, output, weights)
                })?,
                scales: settings.scales.clone(),
            },
            language: load(place, LANGUAGE, &keys::LANGUAGE, &mut parameters, |weights| {
                Llama::new(&settings.language, weights)
            })?,
            tokenizer,
            wording: custom.wording,
            beginning,
            several_closely: custom.several_closely,
            manner: Manner::new(options, custom.max_new_tokens, ends)?,
            parameters,
        };
        Ok(Generator(reader))
    }
}

impl Reader for Vila {
    fn prepare(&self, image: &Image<'_>) -> Result<Picture> {
        self.eyes.prepare(image.width as usize, image.height as usize, image.rgb, true).map_err(input)
    }

    fn prepare_among(&self, image: &Image<'_>, images: usize) -> Result<Picture> {
        let closely = images == 1 || self.several_closely;
        self.eyes.prepare(image.width as usize, image.height as usize, image.rgb, closely).map_err(input)
    }

    fn encode(&self, pictures: &[&Picture]) -> blocks::Result<Vec<Tensor>> {
        self.eyes.encode(pictures)
    }

    fn prompt(&self, text: &str, raw: bool, pictures: &[Seen<'_>]) -> Result<Prompt> {
        let text = self.wording.write(text, raw, pictures.len()).map_err(input)?;
        let ids = self.beginning.ids(&self.tokenizer, &text).map_err(input)?;
        // Where the tokenizer has no such token, the authors' code adds one behind the others.
        let image = self.tokenizer.id(IMAGE).unwrap_or(self.language.vocabulary() as u32);
        let mut pictures = pictures.iter();
        let segments = ids.parts.into_iter().flat_map(|part| {
            let seen = pictures.next().map(|seen| Segment::Vectors(seen.vectors.clone(), image));
            let newline = seen.is_some().then(|| Segment::Text(ids.newline.clone()));
            [Some(Segment::Text(part)), seen, newline].into_iter().flatten()
        });
        splice(&self.language, segments.collect()).map_err(input)
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

    fn parameters(&self) -> u64 {
        self.parameters
    }

    fn image_size(&self) -> u32 {
        match self.eyes.scales {
            Some(_) => 0,
            None => self.eyes.tower.config().image_size as u32,
        }
    }
}

/// A part of the model out of its folder, all of whose tensors it takes.
fn load<T>(
    place: &Place,
    folder: &str,
    names: &Names,
    parameters: &mut u64,
    build: impl FnOnce(&Weights) -> blocks::Result<T>,
) -> Result<T> {
    let weights = Weights::open(&place.dir.join(folder), names, place.dtype, &place.device).map_err(config)?;
    let part = build(&weights).map_err(|e: Error| place.blame(format!("{folder}/config.json"), e))?;
    weights.finish().map_err(config)?;
    *parameters += weights.parameters() as u64;
    Ok(part)
}
