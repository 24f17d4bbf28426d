//! How a question is worded, and how texts with images in them are tokenized; reference `transformers.Gemma3Processor`.

use std::{ops::Range, path::Path};

use blocks::{
    Error, Result,
    chat::{ChatTemplate, Content, Message, Part},
    tokens::LanguageTokenizer,
};
use bridge::{
    convert::input,
    reader::{Seen, Segment},
};
use serde_json::Value;

use super::config::{Config, read};

/// The template that Google publishes, where a folder has none.
const TEMPLATE: &str = "{{ bos_token }}{% if messages[0]['role'] == 'system' %}{% set prefix = \
    messages[0]['content'][0]['text'] + '\n\n' %}{% set rest = messages[1:] %}{% else %}{% set prefix = '' %}{% set rest \
    = messages %}{% endif %}{% for message in rest %}{{ '<start_of_turn>' + message['role'] + '\n' + (prefix if \
    loop.first else '') }}{% for item in message['content'] %}{% if item['type'] == 'image' %}{{ '<start_of_image>' \
    }}{% else %}{{ item['text'] | trim }}{% endif %}{% endfor %}{{ '<end_of_turn>\n' }}{% endfor %}{% if \
    add_generation_prompt %}{{ '<start_of_turn>model\n' }}{% endif %}";

/// What comes first in a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// What is asked.
    TextFirst,
    /// The images.
    ImagesFirst,
}

/// How a question is worded and tokenized.
pub struct Wording {
    template: ChatTemplate,
    /// Messages come in parts.
    parts: bool,
    system: Option<String>,
    order: Order,
    /// What stands for an image.
    begin: String,
    /// What is tokenized for an image.
    block: String,
    /// Id of each token of an image.
    id: u32,
}

impl Wording {
    /// For the checkpoint in `dir`, with its chat template or else the published one.
    ///
    /// # Errors
    /// A file is corrupt, or the tokenizer does not know what stands for images.
    pub fn new(
        dir: &Path,
        settings: &Config,
        tokenizer: &LanguageTokenizer,
        system: Option<String>,
        order: Order,
    ) -> Result<Self> {
        let template = match ChatTemplate::from_dir(dir)? {
            Some(template) => template,
            None => ChatTemplate::parse(TEMPLATE, "<bos>", "<eos>")?,
        };
        let tokens =
            [("boi_token", "<start_of_image>"), ("eoi_token", "<end_of_image>"), ("image_token", "<image_soft_token>")];
        let [begin, end, soft] = tokens.map(|(key, default)| named(dir, key, default));
        let (begin, end, soft) = (begin?, end?, soft?);
        let ids = [&begin, &end, &soft].map(|token| tokenizer.id(token).ok_or(token));
        let invalid = |reason: String| Err(Error::invalid(dir.join("config.json"), reason));
        match ids {
            [Ok(_), Ok(_), Ok(found)] if found != settings.image_id => {
                let id = settings.image_id;
                return invalid(format!("the image's id is {id}, but that of `{soft}` in the tokenizer is {found}"));
            }
            [Ok(_), Ok(_), Ok(_)] => {}
            [Err(token), ..] | [_, Err(token), _] | [.., Err(token)] => {
                return invalid(format!("the tokenizer does not know `{token}`, which stands for a part of an image"));
            }
        }
        let count = (settings.side() / settings.square()).pow(2);
        let block = format!("\n\n{begin}{}{end}\n\n", soft.repeat(count));
        let parts = template.takes_parts();
        Ok(Self { template, parts, system, order, begin, block, id: settings.image_id })
    }

    /// The text of a question on `images` images; a raw one only gets what stands for the images, unless it has that.
    ///
    /// # Errors
    /// The chat template refuses it.
    pub fn text(&self, question: &str, raw: bool, images: usize) -> Result<String> {
        let pictures = self.begin.repeat(images);
        let joint = || match self.order {
            _ if raw && question.contains(&self.begin) => question.to_string(),
            Order::TextFirst => format!("{question}{pictures}"),
            Order::ImagesFirst => format!("{pictures}{question}"),
        };
        if raw {
            return Ok(joint());
        }
        let words = |text: &str| Part::Text { text: text.to_string() };
        let content = match (self.parts, self.order) {
            (false, _) => Content::Text(joint()),
            (true, Order::TextFirst) => Content::Parts([vec![words(question)], vec![Part::Image; images]].concat()),
            (true, Order::ImagesFirst) => Content::Parts([vec![Part::Image; images], vec![words(question)]].concat()),
        };
        let system = self.system.as_ref().map(|text| Message {
            role: "system".into(),
            content: if self.parts { Content::Parts(vec![words(text)]) } else { Content::Text(text.clone()) },
        });
        let user = Message { role: "user".into(), content };
        self.template.render(&system.into_iter().chain([user]).collect::<Vec<_>>(), true)
    }

    /// The parts of a prompt, and where the tokens of its images are; the pictures come in the order in which the text has
    /// them.
    ///
    /// # Errors
    /// The text has more or fewer places for pictures, or cannot be tokenized.
    pub fn segments(
        &self,
        tokenizer: &LanguageTokenizer,
        text: &str,
        pictures: &[Seen<'_>],
    ) -> plugin_api::Result<(Vec<Segment>, Vec<Range<usize>>)> {
        let wrong = |token: &str, places: usize| {
            let images = pictures.len();
            Err(plugin_api::Error::input(format!("the prompt has `{token}` {places} times for {images} images")))
        };
        let places = text.matches(&self.begin).count();
        if !pictures.is_empty() && places != pictures.len() {
            return wrong(&self.begin, places);
        }
        let text = if pictures.is_empty() { text.to_string() } else { text.replace(&self.begin, &self.block) };
        let ids = beginning(tokenizer, &text).map_err(input)?;
        let (mut segments, mut blocks, mut start) = (Vec::new(), Vec::new(), 0);
        let mut pictures = pictures.iter();
        for run in ids.chunk_by(|a, b| (*a == self.id) == (*b == self.id)) {
            let range = start..start + run.len();
            start = range.end;
            if run[0] != self.id {
                segments.push(Segment::Text(run.to_vec()));
                continue;
            }
            // A question that spells them out has places that no image fills.
            match pictures.next() {
                Some(seen) if seen.vectors.dims()[0] == run.len() => {
                    segments.push(Segment::Vectors(seen.vectors.clone(), self.id));
                    blocks.push(range);
                }
                _ => return Err(plugin_api::Error::input("the prompt spells out tokens that stand for images")),
            }
        }
        Ok((segments, blocks))
    }
}

/// Ids of a text from its beginning on, which is not put before it where the text spells it out.
fn beginning(tokenizer: &LanguageTokenizer, text: &str) -> Result<Vec<u32>> {
    let ids = tokenizer.encode(text, false)?;
    match ids.first().is_some_and(|id| Some(*id) == tokenizer.bos()) {
        true => Ok(ids),
        false => tokenizer.encode(text, true),
    }
}

/// The token that the processor takes under this key of `tokenizer_config.json`.
fn named(dir: &Path, key: &str, default: &str) -> Result<String> {
    let path = dir.join("tokenizer_config.json");
    let raw = if path.is_file() { read(&path)? } else { Default::default() };
    let extra = raw.get("extra_special_tokens").and_then(|extra| extra.get(key));
    let token = [extra, raw.get(key)].into_iter().flatten().find_map(|token| match token {
        Value::Object(token) => token.get("content")?.as_str(),
        token => token.as_str(),
    });
    Ok(token.unwrap_or(default).to_string())
}
