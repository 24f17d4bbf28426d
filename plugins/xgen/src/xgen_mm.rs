//! Architecture `xgen_mm`: XGen-MM (BLIP-3; Xue et al. 2024), first version, with Phi-3-mini.
//!
//! The states of open_clip's ViT-H/14 pass a [`Perceiver`] that is told the prompt, and take the place of `<image>` in it. The
//! language model is `transformers.Phi3ForCausalLM` (4.53.1) with a few tokens of its own, see [`Split`]. There is no
//! reference package: the checkpoint brings code, which is not run here.

mod config;
mod keys;
mod perceiver;
mod split;
mod views;

use blocks::{
    decoder::{Decoder, Llama},
    generate::Prompt,
    tokens::LanguageTokenizer,
    vision::Vit,
    weights::Weights,
};
use bridge::{
    Options, Place,
    convert::{config, input},
    files::stop_ids,
    reader::{Generator, Manner, Picture, Reader, Seen, Segment, beginning, splice},
};
use candle_core::Tensor;
use plugin_api::{Error, Image, Open, Result, register};

use config::Config;
use perceiver::Perceiver;
use split::Split;
use views::Views;

register!("xgen_mm", "XGen-MM: CLIP ViT-H, a perceiver that knows the prompt, and Phi-3", [Generate, Choose], open);

/// Tokens of an answer in the authors' example.
const MAX_NEW_TOKENS: usize = 768;
/// Tokens that the checkpoint has behind those of its tokenizer; the first stands for an image.
const ADDED: [&str; 3] = ["<image>", "<image placeholder>", "<|endofchunk|>"];
/// What ends a turn.
const END: &str = "<|end|>";
/// The most tokens that the perceiver is told.
const INSTRUCTION: usize = 256;
/// Before the images and a question.
const BEFORE: &str = "<|system|>\nA chat between a curious user and an artificial intelligence assistant. The assistant \
    gives helpful, detailed, and polite answers to the user's questions.<|end|>\n<|user|>\n";
/// Behind it.
const BEHIND: &str = "<|end|>\n<|assistant|>\n";

/// An XGen-MM.
pub struct XGenMm {
    views: Views,
    tower: Vit,
    perceiver: Perceiver,
    text: Split,
    tokenizer: LanguageTokenizer,
    /// Id of [`ADDED`]'s first.
    image_id: u32,
    /// What the perceiver is told.
    told: Told,
    manner: Manner,
    parameters: usize,
}

#[derive(Clone, Copy, PartialEq)]
enum Told {
    Prompt,
    Question,
}

/// Opens a checkpoint as it was published. Options are `anyres` (true or false), `compat`, with which an image is shown as a
/// whole only, and `instruction` (`prompt` or `question`).
///
/// # Errors
/// A file is missing or corrupt, a tensor is missing, unused or misshapen, or an option is unknown.
pub fn open(open: Open) -> Result<Generator<XGenMm>> {
    let place = Place::of(&open, "xgen_mm")?;
    let known = [&["anyres", "compat", "instruction"][..], &Manner::OPTIONS].concat();
    let options = Options::new("xgen_mm", &open.options, &known)?;
    let told = [("prompt", Told::Prompt), ("question", Told::Question)];
    let told = options.choice("instruction", &told)?.unwrap_or(Told::Prompt);
    let anyres = options.flag("anyres")?.unwrap_or(false) && !options.medvlmbench()?;

    let weights = Weights::open(&place.dir, &keys::NAMES, place.dtype, &place.device).map_err(config)?;
    let settings = Config::new(&place.dir, &weights).map_err(config)?;
    let base = settings.base;
    let tokenizer = LanguageTokenizer::from_dir(&place.dir, base + ADDED.len())
        .and_then(|tokenizer| tokenizer.with_special_tokens(&ADDED))
        .map_err(config)?;
    let image_id = base as u32;
    if tokenizer.id(ADDED[0]) != Some(image_id) {
        let found = tokenizer.id(ADDED[0]).unwrap_or_default();
        let reason = format!("`initial_tokenizer_len` is {base}, but the tokenizer has {found} tokens");
        return Err(config(blocks::Error::invalid(place.dir.join("config.json"), reason)));
    }
    let views = Views::from_dir(&place.dir, settings.vit.image_size, anyres).map_err(config)?;
    let built = Vit::new(&settings.vit, &weights.at("vision")).and_then(|tower| {
        let perceiver = Perceiver::new(&settings.perceiver, &weights.at("perceiver"))?;
        let inner = Llama::new(&settings.text, &weights.at("text"))?;
        Ok((tower, perceiver, Split::new(inner, base, ADDED.len(), &weights.at("text"))?))
    });
    let (tower, perceiver, text) = built.map_err(|e| place.blame("config.json", e))?;
    weights.finish().map_err(config)?;

    let mut ends = stop_ids(&place.dir, settings.stop_ids).map_err(config)?.unwrap_or_default();
    ends.extend(tokenizer.id(END));
    let manner = Manner::new(&options, MAX_NEW_TOKENS, ends)?;
    let parameters = weights.parameters();
    Ok(Generator(XGenMm { views, tower, perceiver, text, tokenizer, image_id, told, manner, parameters }))
}

impl Reader for XGenMm {
    /// `[views, 3, side, side]`.
    fn prepare(&self, image: &Image<'_>) -> Result<Picture> {
        let pixels = self.views.process(image.width as usize, image.height as usize, image.rgb).map_err(input)?;
        Ok(Picture { pixels, grid: Vec::new() })
    }

    /// States of the tower, which become vectors with the prompt: `[views * tokens, width]` of the tower.
    fn encode(&self, pictures: &[&Picture]) -> blocks::Result<Vec<Tensor>> {
        let (device, dtype) = self.tower.placement();
        let states = pictures.iter().map(|picture| {
            let states = self.tower.token_states(&picture.pixels.to_device(device)?.to_dtype(dtype)?, false)?;
            Ok(states.narrow(1, 1, states.dim(1)? - 1)?.flatten(0, 1)?)
        });
        states.collect()
    }

    fn prompt(&self, text: &str, raw: bool, pictures: &[Seen<'_>]) -> Result<Prompt> {
        let whole = written(text, raw, pictures.len());
        let ids = beginning(&self.tokenizer, &whole).map_err(input)?;
        let texts: Vec<&[u32]> = ids.split(|id| *id == self.image_id).collect();
        if texts.len() != pictures.len() + 1 {
            let (places, images) = (texts.len() - 1, pictures.len());
            return Err(Error::input(format!("the prompt has `{}` {places} times for {images} images", ADDED[0])));
        }
        let told = match self.told {
            Told::Prompt => ids.clone(),
            Told::Question => self.tokenizer.encode(text, false).map_err(input)?,
        };
        let told = &told[..told.len().min(INSTRUCTION)];
        let vectors = pictures.iter().map(|seen| Some(self.look(seen, told))).chain([None]);
        let mut segments = Vec::new();
        for (text, vectors) in texts.into_iter().zip(vectors) {
            segments.push(Segment::Text(text.to_vec()));
            segments
                .extend(vectors.transpose().map_err(input)?.map(|vectors| Segment::Vectors(vectors, self.image_id)));
        }
        splice(&self.text, segments).map_err(input)
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
        self.tower.config().image_size as u32
    }
}

impl XGenMm {
    /// The vectors `[tokens, width]` of a picture, for who is told `ids`.
    fn look(&self, seen: &Seen<'_>, ids: &[u32]) -> blocks::Result<Tensor> {
        let views = seen.picture.pixels.dim(0)?;
        let (tokens, width) = seen.vectors.dims2()?;
        let states = seen.vectors.reshape((views, tokens / views, width))?;
        let words = if ids.is_empty() { None } else { Some(self.text.embed(ids)?) };
        self.perceiver.forward(&states, words.as_ref())
    }
}

/// The text of a prompt; a raw one only gets the marks of its images, unless it has some.
fn written(text: &str, raw: bool, images: usize) -> String {
    let marks = format!("{}\n", ADDED[0]).repeat(images);
    match raw {
        true if text.contains(ADDED[0]) => text.to_string(),
        true => format!("{marks}{text}"),
        false => format!("{BEFORE}{marks}{text}{BEHIND}"),
    }
}
