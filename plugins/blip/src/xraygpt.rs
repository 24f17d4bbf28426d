//! Architecture `xraygpt`: XrayGPT (Thawkar et al. 2023), EVA's vision transformer, BLIP-2's Q-Former and Vicuna.
//!
//! Reference: the authors' `MiniGPT4` and `conversation.Chat`, which build on `salesforce-lavis`.

mod files;

use blocks::{
    decoder::{Decoder, Llama},
    generate::Prompt,
    image::{ImageProcessor, OpenClipPreprocessing},
    tokens::LanguageTokenizer,
    vision::Vit,
};
use bridge::{
    Options, Place,
    convert::{config, input},
    reader::{Generator, Manner, Picture, Reader, Seen, Segment, splice},
};
use candle_core::Tensor;
use plugin_api::{Image, Open, Result, register};
use serde_json::json;

use crate::{qformer::QFormer, sight::Sight};
use files::Files;

register!("xraygpt", "XrayGPT: EVA's ViT, a Q-Former and Vicuna", [Generate, Choose, Features], open);

/// The most tokens of an answer, unless the row says another number: the authors'.
const BUDGET: usize = 300;
/// What comes before and behind the image, in the authors' words; the latter is followed by the question.
const BEFORE: &str = "###Patient: <Img>";
const BEHIND: &str = "</Img> ";
/// What the answer follows.
const ANSWER: &str = "###Doctor:";
/// What begins the next turn.
const TURN: &str = "###";

/// XrayGPT.
pub struct XrayGpt {
    sight: Sight,
    qformer: QFormer,
    language: Llama,
    tokenizer: LanguageTokenizer,
    manner: Manner,
    parameters: usize,
}

/// Opens a directory with the files that the authors publish. Options: those of [`Manner`], and `vision_heads` and
/// `qformer_heads`, the numbers of attention heads, which no file states; they are 88 and 64 values wide.
///
/// # Errors
/// A file is missing or corrupt, a tensor is missing, unused or misshapen, or an option is unknown.
pub fn open(open: Open) -> Result<Generator<XrayGpt>> {
    let place = Place::of(&open, "xraygpt")?;
    let known = [&Manner::OPTIONS[..], &["vision_heads", "qformer_heads"]].concat();
    let options = Options::new("xraygpt", &open.options, &known)?;
    let files = Files::open(&place, [options.count("vision_heads")?, options.count("qformer_heads")?])?;
    let manner = Manner::new(&options, BUDGET, files.stop.clone())?;
    let manner = Manner { stop: vec![TURN.into()], ..manner };
    // The tokenizer may know more ids than the model; those are refused where they occur.
    let tokenizer = LanguageTokenizer::from_dir(&files.language_dir, usize::MAX).map_err(config)?;
    let language = Llama::new(&files.language, &files.language_weights)
        .map_err(|e| place.blame(files.language_dir.join("config.json"), e))?;
    files.language_weights.finish().map_err(config)?;
    let blame = |e| place.blame_dir(e);
    let width = files.language.hidden_size;
    let qformer = QFormer::new(&files.qformer, files.queries, width, &files.weights).map_err(blame)?;
    let vision = Vit::new(&files.vision, &files.weights.at("vision")).map_err(blame)?;
    let norm = files.last_norm().map_err(blame)?;
    files.weights.finish().map_err(config)?;
    let squash: OpenClipPreprocessing = serde_json::from_value(json!({"resize_mode": "squash"}))?;
    let processor = ImageProcessor::open_clip(&squash, files.vision.image_size).map_err(blame)?;
    let parameters = files.weights.parameters() + files.language_weights.parameters();
    let sight = Sight::of(place, processor, vision, Some(norm));
    Ok(Generator(XrayGpt { sight, qformer, language, tokenizer, manner, parameters }))
}

impl Reader for XrayGpt {
    fn prepare(&self, image: &Image<'_>) -> Result<Picture> {
        self.sight.prepare(image)
    }

    /// One vector a query.
    fn encode(&self, pictures: &[&Picture]) -> blocks::Result<Vec<Tensor>> {
        self.qformer.vectors(&self.sight.states(pictures)?)
    }

    /// What comes before the image and behind it is tokenized apart, as the authors do; only the former has a `bos`. With
    /// `raw` the text stands alone behind the image.
    fn prompt(&self, text: &str, raw: bool, pictures: &[Seen<'_>]) -> Result<Prompt> {
        let vectors = Sight::one(pictures)?.vectors.clone();
        let (before, behind) = match raw {
            true => ("", text.to_string()),
            false => (BEFORE, format!("{BEHIND}{text}{ANSWER}")),
        };
        let segments = || {
            let before = self.tokenizer.encode(before, true)?;
            let behind = self.tokenizer.encode(&behind, false)?;
            // The authors have no id for a query; unknown tokens have this one.
            splice(&self.language, vec![Segment::Text(before), Segment::Vectors(vectors, 0), Segment::Text(behind)])
        };
        segments().map_err(input)
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
