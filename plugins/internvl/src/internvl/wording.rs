//! How a question is worded, and where its images are in it.

use std::path::Path;

use blocks::{Error, chat::ChatTemplate, tokens::LanguageTokenizer};
use bridge::{
    convert::input,
    files::{object, text},
    reader::{Seen, Segment, ask, beginning},
};
use plugin_api::Result;
use serde_json::Value;

/// The published template, where a folder comes without one.
const TEMPLATE: &str = "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n'}}{% if message['content'] is \
    string %}{{ message['content'] }}{% else %}{% for content in message['content'] %}{% if content['type'] == 'image' %}{{ \
    '<IMG_CONTEXT>\n' }}{% elif content['type'] == 'text' %}{{ content['text'] }}{% endif %}{% endfor %}{% endif %}{{\
    '<|im_end|>\n'}}{% endfor %}{% if add_generation_prompt %}{{'<|im_start|>assistant\n' }}{% endif %}";

/// How a question is worded.
pub struct Wording {
    template: ChatTemplate,
    marks: Marks,
    /// Id of the mark of a vector.
    id: u32,
}

/// The tokens around an image.
struct Marks {
    /// Before its vectors.
    start: String,
    /// In place of a vector; in a template, of an image.
    vector: String,
    /// Behind its vectors.
    end: String,
}

impl Wording {
    /// For the checkpoint in `dir`, in which `id` stands for a vector of an image.
    ///
    /// # Errors
    /// A file is corrupt, or the tokenizer has another id for it.
    pub fn new(dir: &Path, id: u32, tokenizer: &LanguageTokenizer) -> blocks::Result<Self> {
        let template = match ChatTemplate::from_dir(dir)? {
            Some(template) => template,
            None => ChatTemplate::parse(TEMPLATE, "", "")?,
        };
        let marks = Marks::from_dir(dir)?;
        let found = tokenizer.id(&marks.vector);
        if found != Some(id) {
            let (mark, found) = (&marks.vector, found.map_or("none".into(), |id| id.to_string()));
            let reason = format!("the image's id is {id}, but that of `{mark}` in the tokenizer is {found}");
            return Err(Error::invalid(dir.join("config.json"), reason));
        }
        Ok(Self { template, marks, id })
    }

    /// The text of a question on `images` images, with a mark for each; a raw one only gets the marks, unless it has some.
    ///
    /// # Errors
    /// The chat template refuses it.
    pub fn text(&self, question: &str, raw: bool, images: usize) -> Result<String> {
        let Marks { vector, .. } = &self.marks;
        match raw {
            true if question.contains(vector) => Ok(question.to_string()),
            true => Ok(format!("{}{question}", format!("{vector}\n").repeat(images))),
            false => ask(&self.template, &format!("{vector}\n"), question, images).map_err(input),
        }
    }

    /// The parts of a prompt; the pictures come in the order in which the text has them.
    ///
    /// # Errors
    /// The text has more or fewer places for pictures, or cannot be tokenized.
    pub fn segments(&self, tokenizer: &LanguageTokenizer, text: &str, pictures: &[Seen<'_>]) -> Result<Vec<Segment>> {
        let Marks { start, vector, end } = &self.marks;
        let whole = text.replace(vector, &format!("{start}{vector}{end}"));
        let ids = beginning(tokenizer, &whole).map_err(input)?;
        let texts: Vec<&[u32]> = ids.split(|id| *id == self.id).collect();
        if texts.len() != pictures.len() + 1 {
            let (places, images) = (texts.len() - 1, pictures.len());
            return Err(plugin_api::Error::input(format!(
                "the prompt has `{vector}` {places} times for {images} images"
            )));
        }
        let vectors = pictures.iter().map(|seen| Some(Segment::Vectors(seen.vectors.clone(), self.id)));
        let segments = texts.into_iter().zip(vectors.chain([None]));
        Ok(segments.flat_map(|(text, picture)| [Some(Segment::Text(text.to_vec())), picture]).flatten().collect())
    }
}

impl Marks {
    /// Those that `tokenizer_config.json` names, which the reference's processor takes.
    fn from_dir(dir: &Path) -> blocks::Result<Self> {
        let path = dir.join("tokenizer_config.json");
        let raw = if path.is_file() { object(&path)? } else { Default::default() };
        let extra = raw.get("extra_special_tokens").and_then(Value::as_object);
        let mark = |key: &str, default: &str| {
            let named = [extra, Some(&raw)].into_iter().flatten().map(|part| text(part, key, ""));
            named.into_iter().find(|mark| !mark.is_empty()).unwrap_or(default).to_string()
        };
        Ok(Self {
            start: mark("start_image_token", "<img>"),
            vector: mark("context_image_token", "<IMG_CONTEXT>"),
            end: mark("end_image_token", "</img>"),
        })
    }
}
