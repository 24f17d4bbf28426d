//! How a question is worded, and how texts with images in them are tokenized; reference `Qwen2VLProcessor`.

use std::path::Path;

use blocks::{
    chat::{ChatTemplate, Content, Message, Part},
    tokens::LanguageTokenizer,
};
use bridge::{
    convert::{config, input},
    reader::Segment,
};
use candle_core::Tensor;
use plugin_api::{Error, Result};

use super::config::Config;

/// What stands for an image, or later for one of its vectors.
const IMAGE: &str = "<|image_pad|>";
/// What stands for a video.
const VIDEO: &str = "<|video_pad|>";
/// What precedes an image.
const START: &str = "<|vision_start|>";
/// What is written for an image.
const PICTURE: &str = "<|vision_start|><|image_pad|><|vision_end|>";
/// What precedes images and question in the template that the models were published with, behind the system's turn.
const BEFORE: &str = "<|im_start|>user\n";
/// What follows them.
const BEHIND: &str = "<|im_end|>\n<|im_start|>assistant\n";
/// What ends a turn and a text.
const ENDS: [&str; 2] = ["<|im_end|>", "<|endoftext|>"];

/// How a question is worded and tokenized.
pub struct Wording {
    /// The folder's own, where it has one.
    template: Option<ChatTemplate>,
    /// The turn of the system in the template that the model was published with.
    system: &'static str,
    /// Id of the token that stands for a vector of an image.
    pub image_id: u32,
    /// Id of the token before an image.
    pub start_id: u32,
}

impl Wording {
    /// For the checkpoint in `dir`, published with a template that begins with the turn `system`.
    ///
    /// # Errors
    /// The chat template is corrupt, or the tokenizer does not know what stands for an image.
    pub fn new(dir: &Path, system: &'static str, settings: &Config, tokenizer: &LanguageTokenizer) -> Result<Self> {
        let wrong = |reason| Err(config(blocks::Error::invalid(dir.join("config.json"), reason)));
        let (found, image_id) = (tokenizer.id(IMAGE), settings.image_id);
        if found != Some(image_id) {
            let found = found.map_or("none".into(), |id| id.to_string());
            return wrong(format!("`image_token_id` is {image_id}, but that of `{IMAGE}` in the tokenizer is {found}"));
        }
        let Some(start_id) = settings.start_id.or_else(|| tokenizer.id(START)) else {
            return wrong(format!("there is no `vision_start_token_id`, nor does the tokenizer know `{START}`"));
        };
        Ok(Self { template: ChatTemplate::from_dir(dir).map_err(config)?, system, image_id, start_id })
    }

    /// Ids that end an answer where no file says.
    pub fn ends(tokenizer: &LanguageTokenizer) -> Vec<u32> {
        ENDS.iter().filter_map(|end| tokenizer.id(end)).collect()
    }

    /// The parts of a prompt on pictures with these vectors. They come before the question, or in the order in which a raw
    /// one has places for them.
    ///
    /// # Errors
    /// The chat template refuses the question, it has more or fewer places for pictures, or one for a video.
    pub fn segments(
        &self,
        tokenizer: &LanguageTokenizer,
        question: &str,
        raw: bool,
        pictures: Vec<Tensor>,
    ) -> Result<Vec<Segment>> {
        let ids = tokenizer.encode(&self.text(question, raw, pictures.len())?, true).map_err(input)?;
        if tokenizer.id(VIDEO).is_some_and(|video| ids.windows(2).any(|pair| pair == [self.start_id, video])) {
            return Err(Error::input(format!(
                "the prompt has a place for a video, `{VIDEO}`; only images are shown here"
            )));
        }
        let texts: Vec<&[u32]> = ids.split(|id| *id == self.image_id).collect();
        if texts.len() != pictures.len() + 1 {
            let places = texts.len() - 1;
            return Err(Error::input(format!("the prompt has `{IMAGE}` {places} times for {} images", pictures.len())));
        }
        let vectors = pictures.into_iter().map(|vectors| Some(Segment::Vectors(vectors, self.image_id)));
        let segments = texts.into_iter().zip(vectors.chain([None]));
        Ok(segments.flat_map(|(text, picture)| [Some(Segment::Text(text.to_vec())), picture]).flatten().collect())
    }

    /// The text of a question on `images` images; a raw one only gets what stands for the images, unless it has that.
    fn text(&self, question: &str, raw: bool, images: usize) -> Result<String> {
        let pictures = PICTURE.repeat(images);
        let Some(chat) = self.template.as_ref().filter(|_| !raw) else {
            return Ok(match raw {
                true if question.contains(IMAGE) => question.to_string(),
                true => format!("{pictures}{question}"),
                false => format!("{}{BEFORE}{pictures}{question}{BEHIND}", self.system),
            });
        };
        let content = match chat.takes_parts() {
            true => {
                let text = Part::Text { text: question.to_string() };
                Content::Parts([vec![Part::Image; images], vec![text]].concat())
            }
            false => Content::Text(format!("{pictures}{question}")),
        };
        chat.render(&[Message { role: "user".into(), content }], true).map_err(input)
    }
}
