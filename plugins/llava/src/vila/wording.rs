//! How a question becomes the ids of a prompt; reference `llava.utils.tokenizer.tokenize_conversation` and
//! `llava.conversation` of the VILA repository.

use std::path::Path;

use blocks::{
    Error, Result,
    chat::{ChatTemplate, Message},
    tokens::LanguageTokenizer,
};
use bridge::reader::strip;

/// What stands for an image in a text.
pub const IMAGE: &str = "<image>";
/// Tokens that the authors' code adds to the tokenizers of language models, within their vocabularies or behind them.
pub const ADDED: [&str; 3] = ["<vila/sentinel>", IMAGE, "<vila/video>"];

/// What surrounds a question.
pub enum Wording {
    /// The text before and the text behind it.
    Fixed(&'static str, &'static str),
    /// As a template says, without a system message.
    Chat(Box<ChatTemplate>),
}

/// How often a text begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Beginning {
    /// Once, if the tokenizer or the template begins texts at all.
    Once,
    /// Whenever the authors' code calls a tokenizer that begins texts: before the prompt, even where the template
    /// begins it too, and before the newline behind each image.
    Tokenizer,
}

/// A prompt: ids before, between and behind its images.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ids {
    /// One more than there are images.
    pub parts: Vec<Vec<u32>>,
    /// What follows each image.
    pub newline: Vec<u32>,
}

impl Wording {
    /// The template in `dir` or, where there is none, the one that was published.
    ///
    /// # Errors
    /// The template is not one.
    pub fn chat(dir: &Path, published: &str, tokenizer_bos: &str) -> Result<Self> {
        let found = ChatTemplate::from_dir(dir)?;
        Ok(Self::Chat(Box::new(match found {
            Some(template) => template,
            None => ChatTemplate::parse(published, tokenizer_bos, "")?,
        })))
    }

    /// The text of a prompt, with [`IMAGE`] for each image. A question has them in front, and its own are dropped;
    /// a `raw` text keeps its own, and has them in front where it has none.
    ///
    /// # Errors
    /// The template refuses the question, or a raw text has another number of images.
    pub fn write(&self, text: &str, raw: bool, images: usize) -> Result<String> {
        let marks = IMAGE.repeat(images);
        if raw {
            return match text.matches(IMAGE).count() {
                found if found == images => Ok(text.to_string()),
                0 => Ok(format!("{marks}{text}")),
                found => Err(Error::Setting(format!(
                    "the prompt has {found} times `{IMAGE}`, but there are {images} images"
                ))),
            };
        }
        // Only where there is something to drop does the reference trim here.
        let dropped = ADDED[1..].iter().fold(text.to_string(), |text, mark| match text.contains(mark) {
            true => strip(&text.replace(mark, "")).to_string(),
            false => text,
        });
        let content = strip(&format!("{marks}{dropped}")).to_string();
        match self {
            Self::Fixed(before, after) => Ok(format!("{before}{content}{after}")),
            Self::Chat(template) => template.render(&[Message::text("user", content)], true),
        }
    }
}

impl Beginning {
    /// Ids of a text with [`IMAGE`] in it.
    ///
    /// # Errors
    /// The tokenizer refuses the text.
    pub fn ids(self, tokenizer: &LanguageTokenizer, text: &str) -> Result<Ids> {
        let mut parts = text.split(IMAGE).map(|part| tokenizer.encode(part, false)).collect::<Result<Vec<_>>>()?;
        let before = tokenizer.bos().filter(|bos| tokenizer.encode("", true).is_ok_and(|ids| ids.first() == Some(bos)));
        let mut newline = tokenizer.encode("\n", false)?;
        if let Some(bos) = before {
            if self == Self::Tokenizer || parts[0].first() != Some(&bos) {
                parts[0].insert(0, bos);
            }
            if self == Self::Tokenizer {
                newline.insert(0, bos);
            }
        }
        Ok(Ids { parts, newline })
    }
}
