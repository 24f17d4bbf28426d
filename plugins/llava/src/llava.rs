//! Architecture `llava`: LLaVA-1.5 (Liu et al. 2024), LLaVA-Med (Li et al. 2023) and what else is built like them.
//!
//! Two layouts are read, told apart by `config.json`: that of `transformers.LlavaForConditionalGeneration` (4.53.1),
//! such as llava-hf/llava-1.5-7b-hf, and that of the authors, such as liuhaotian/llava-v1.5-7b and
//! microsoft/llava-med-v1.5-mistral-7b. A checkpoint of the latter that lacks its vision tower has a copy of the
//! tower's repository, say openai/clip-vit-large-patch14-336, in its subfolder `vision_tower`, or where the option of
//! this name says.
//!
//! Reference: that class with `LlavaProcessor`, and `tokenizer_image_token` and `process_images` of the authors.

mod config;
pub mod keys;
mod model;
mod pictures;
mod tower;
mod vision;
mod wording;

use std::path::{Path, PathBuf};

use blocks::{
    decoder::{Decoder, Llama},
    generate::Prompt,
    tokens::LanguageTokenizer,
};
use bridge::{
    Options, Place,
    convert::{config, input},
    pixels,
    reader::{Generator, Manner, Picture, Reader, Seen, splice},
    stack,
};
use candle_core::{DType, Device, Tensor};
use plugin_api::{Error, Image, Open, Result, register};

use config::{Config, Layout};
use model::Sight;
use pictures::{Fit, Processor};
use tower::Tower;
use wording::{Named, Wording};

register!("llava", "LLaVA: CLIP or SigLIP, an MLP, and LLaMA, Mistral or Qwen2", [Generate, Choose], open);

/// Tokens of an answer in the authors' evaluation.
const MAX_NEW_TOKENS: usize = 1024;
/// The options beside those of [`Manner`].
const OPTIONS: [&str; 4] = ["template", "image", "vision_tower", "compat"];

/// A LLaVA.
pub struct Llava {
    sight: Sight,
    text: Llama,
    tokenizer: LanguageTokenizer,
    wording: Wording,
    processor: Processor,
    manner: Manner,
    parameters: usize,
}

/// Opens a checkpoint of either layout. Options are `template` (`vicuna_v1`, `mistral_instruct` or `chat`), `image` (`pad`
/// or `processor`), `vision_tower` (a folder, relative to the weights) and `compat`, which in the authors' layout takes
/// the weights of the vision tower from that folder even if the checkpoint has its own.
///
/// # Errors
/// A file is missing or corrupt, a tensor is missing, unused or misshapen, or an option is unknown.
pub fn open(open: Open) -> Result<Generator<Llava>> {
    let place = Place::of(&open, "llava")?;
    let options = Options::new("llava", &open.options, &[&OPTIONS[..], &Manner::OPTIONS].concat())?;
    let settings = Config::from_dir(&place.dir).map_err(config)?;
    let named = options.choice("template", &Named::ALL)?;
    let fit = options.choice("image", &[("pad", Fit::Pad), ("processor", Fit::Processor)])?;
    let folder = open.options.get("vision_tower").map(|value| {
        let wrong = || Error::config(format!("option `vision_tower` is {value}; expected a folder"));
        value.as_str().ok_or_else(wrong)
    });

    let tokenizer = LanguageTokenizer::from_dir(&place.dir, settings.text.vocab_size).map_err(config)?;
    let wording = Wording::new(&place.dir, &settings, &tokenizer, named)?;
    let tower = Tower::find(&place, &settings, folder.transpose()?, options.medvlmbench()?).map_err(config)?;
    let dirs: Vec<&Path> = tower.folder.iter().map(PathBuf::as_path).chain([place.dir.as_path()]).collect();
    let (named, fit) = match settings.layout {
        Layout::Hub => (true, fit),
        Layout::Authors { pad, .. } => (false, fit.or(pad.then_some(Fit::Pad))),
    };
    let processor = Processor::from_dirs(&dirs, &tower.vision, named, fit).map_err(config)?;

    let (weights, apart) = (&tower.weights, &tower.apart);
    let vision = apart.as_ref().unwrap_or(weights).at("vision");
    let built = Sight::new(&settings, &tower.vision.vit, &vision, weights)
        .and_then(|sight| Ok((sight, Llama::new(&settings.text, &weights.at("text"))?)));
    let (sight, text) = built.map_err(|e| place.blame("config.json", e))?;
    let mut parameters = 0;
    for weights in [Some(weights), apart.as_ref()].into_iter().flatten() {
        weights.finish().map_err(config)?;
        parameters += weights.parameters();
    }
    let stop_ids = settings.stop_ids.unwrap_or_else(|| tokenizer.eos().into_iter().collect());
    let manner = Manner::new(&options, MAX_NEW_TOKENS, stop_ids)?;
    Ok(Generator(Llava { sight, text, tokenizer, wording, processor, manner, parameters }))
}

impl Reader for Llava {
    /// `[1, 3, side, side]`.
    fn prepare(&self, image: &Image<'_>) -> Result<Picture> {
        let pixels = pixels(&self.processor, std::slice::from_ref(image), self.sight.side())?;
        Ok(Picture { pixels: stack(&pixels, &Device::Cpu, DType::F32)?, grid: Vec::new() })
    }

    fn encode(&self, pictures: &[&Picture]) -> blocks::Result<Vec<Tensor>> {
        let pixels: Vec<_> = pictures.iter().map(|picture| &picture.pixels).collect();
        let vectors = self.sight.encode(&Tensor::cat(&pixels, 0)?)?;
        (0..pictures.len()).map(|n| Ok(vectors.get(n)?)).collect()
    }

    fn prompt(&self, text: &str, raw: bool, pictures: &[Seen<'_>]) -> Result<Prompt> {
        let text = self.wording.text(text, raw, pictures.len())?;
        let segments = self.wording.segments(&self.tokenizer, &text, pictures)?;
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
        self.sight.side() as u32
    }
}
