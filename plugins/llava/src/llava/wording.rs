//! How a question is worded, and how texts with images in them are tokenized.

use std::path::Path;

use blocks::{chat::ChatTemplate, tokens::LanguageTokenizer};
use bridge::{
    convert::{config, input},
    files::{object, text},
    reader::{Seen, Segment, ask, beginning},
};
use plugin_api::{Error, Result};
use serde_json::Value;

use super::config::{Config, Layout};

/// What stands for an image, unless the processor's configuration says otherwise.
const IMAGE: &str = "<image>";

/// A template that a row can name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Named {
    /// Of LLaVA-1.5 and other Vicunas.
    VicunaV1,
    /// Of LLaVA-Med.
    MistralInstruct,
    /// The chat template in the folder.
    Chat,
    /// Of HuatuoGPT-Vision.
    Huatuo,
}

/// How a question is worded and tokenized.
pub struct Wording {
    template: Template,
    /// What stands for an image.
    token: String,
    /// What is written for an image before a question.
    image: String,
    /// Id of the token of an image.
    id: u32,
    /// Text around the images is tokenized with them in it rather than piece by piece.
    whole: bool,
    /// The tokenizer takes a space at the beginning of a piece for the one that it would put there.
    takes_space: bool,
}

enum Template {
    /// What precedes and what follows the images and the question.
    Around(&'static str, &'static str),
    Chat(Box<ChatTemplate>),
}

impl Named {
    /// By their names in rows.
    pub const ALL: [(&str, Self); 4] = [
        ("vicuna_v1", Self::VicunaV1),
        ("mistral_instruct", Self::MistralInstruct),
        ("chat", Self::Chat),
        ("huatuo", Self::Huatuo),
    ];
}

impl Wording {
    /// For the checkpoint in `dir`, with the template that a row names. Where it names none, it is the folder's chat
    /// template in the layout of the hub, else that of the language model.
    ///
    /// # Errors
    /// There is no chat template where one is needed, or the tokenizer does not know what stands for an image.
    pub fn new(dir: &Path, settings: &Config, tokenizer: &LanguageTokenizer, named: Option<Named>) -> Result<Self> {
        let template = template(dir, settings, named)?;
        let id = settings.image_id;
        let Layout::Authors { bracketed, .. } = settings.layout else {
            let token = image_token(dir).map_err(config)?;
            let found = tokenizer.id(&token);
            if found != Some(id) {
                let found = found.map_or("none".into(), |id| id.to_string());
                let reason = format!("the image's id is {id}, but that of `{token}` in the tokenizer is {found}");
                return Err(config(blocks::Error::invalid(dir.join("config.json"), reason)));
            }
            return Ok(Self { template, image: format!("{token}\n"), token, id, whole: true, takes_space: false });
        };
        if let Some(unknown) = ["<im_start>", "<im_end>"].into_iter().find(|t| bracketed && tokenizer.id(t).is_none()) {
            let reason = format!("`mm_use_im_start_end` is true, but the tokenizer does not know `{unknown}`");
            return Err(config(blocks::Error::invalid(dir.join("config.json"), reason)));
        }
        let image = if bracketed { "<im_start><image><im_end>\n" } else { "<image>\n" };
        let [plain, spaced] = ["a", " a"].map(|text| tokenizer.encode(text, false));
        let takes_space = plain.map_err(config)? == spaced.map_err(config)?;
        Ok(Self { template, image: image.into(), token: IMAGE.into(), id, whole: false, takes_space })
    }

    /// The text of a question on `images` images; a raw one only gets what stands for the images, unless it has that.
    ///
    /// # Errors
    /// The chat template refuses it.
    pub fn text(&self, question: &str, raw: bool, images: usize) -> Result<String> {
        let pictures = self.image.repeat(images);
        match &self.template {
            _ if raw && question.contains(&self.token) => Ok(question.to_string()),
            _ if raw => Ok(format!("{pictures}{question}")),
            Template::Around(before, after) => Ok(format!("{before}{pictures}{question}{after}")),
            Template::Chat(chat) => ask(chat, &self.image, question, images).map_err(input),
        }
    }

    /// The parts of a prompt; the pictures come in the order in which the text has them.
    ///
    /// # Errors
    /// The text has more or fewer places for pictures, or cannot be tokenized.
    pub fn segments(&self, tokenizer: &LanguageTokenizer, text: &str, pictures: &[Seen<'_>]) -> Result<Vec<Segment>> {
        let texts = match self.whole {
            true => {
                let ids = beginning(tokenizer, text).map_err(input)?;
                ids.split(|id| *id == self.id).map(<[u32]>::to_vec).collect()
            }
            false => self.pieces(tokenizer, text)?,
        };
        if texts.len() != pictures.len() + 1 {
            let (places, token) = (texts.len() - 1, &self.token);
            return Err(Error::input(format!("the prompt has `{token}` {places} times for {} images", pictures.len())));
        }
        let vectors = pictures.iter().map(|seen| Some(Segment::Vectors(seen.vectors.clone(), self.id)));
        let segments = texts.into_iter().zip(vectors.chain([None]));
        Ok(segments.flat_map(|(text, picture)| [Some(Segment::Text(text)), picture]).flatten().collect())
    }

    /// Pieces between the images, each tokenized alone, with one beginning of the text; reference
    /// `tokenizer_image_token` of LLaVA's authors.
    fn pieces(&self, tokenizer: &LanguageTokenizer, text: &str) -> Result<Vec<Vec<u32>>> {
        // The authors take the slow tokenizer, which puts its space before one that is there.
        let spaced =
            |piece: &str| format!("{}{piece}", if piece.starts_with(' ') && self.takes_space { " " } else { "" });
        let mut pieces = text.split(&self.token).map(spaced);
        let first = beginning(tokenizer, &pieces.next().unwrap_or_default()).map_err(input)?;
        let skipped = usize::from(first.first().is_some_and(|id| Some(*id) == tokenizer.bos()));
        let rest = pieces.map(|piece| Ok(tokenizer.encode(&piece, true).map_err(input)?.split_off(skipped)));
        std::iter::once(Ok(first)).chain(rest).collect()
    }
}

fn template(dir: &Path, settings: &Config, named: Option<Named>) -> Result<Template> {
    let chat = || ChatTemplate::from_dir(dir).map_err(config);
    let named = match named {
        None if settings.layout == Layout::Hub => match chat()? {
            Some(chat) => return Ok(Template::Chat(Box::new(chat))),
            None => None,
        },
        named => named,
    };
    let own = match settings.language {
        "llama" => Some(Named::VicunaV1),
        "mistral" => Some(Named::MistralInstruct),
        _ => Some(Named::Chat),
    };
    match named.or(own) {
        Some(Named::VicunaV1) => Ok(Template::Around(
            "A chat between a curious user and an artificial intelligence assistant. The assistant gives helpful, \
             detailed, and polite answers to the user's questions. USER: ",
            " ASSISTANT:",
        )),
        Some(Named::MistralInstruct) => Ok(Template::Around("[INST] ", " [/INST]")),
        Some(Named::Huatuo) => Ok(Template::Around("<|user|>\n", "\n<|assistant|>\n")),
        Some(Named::Chat) | None => chat()?.map(|chat| Template::Chat(Box::new(chat))).ok_or_else(|| {
            let reason = "no chat template here; option `template` can name `vicuna_v1` or `mistral_instruct` instead";
            config(blocks::Error::invalid(dir, reason))
        }),
    }
}

/// What the processor takes for an image's token.
fn image_token(dir: &Path) -> blocks::Result<String> {
    for file in ["tokenizer_config.json", "processor_config.json"] {
        let path = dir.join(file);
        let raw = if path.is_file() { object(&path)? } else { continue };
        let extra = raw.get("extra_special_tokens").and_then(Value::as_object);
        let named = [Some(&raw), extra].into_iter().flatten().map(|part| text(part, "image_token", ""));
        if let Some(token) = named.into_iter().find(|token| !token.is_empty()) {
            return Ok(token.to_string());
        }
    }
    Ok(IMAGE.into())
}
