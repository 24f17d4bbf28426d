//! Conversations as the text that a language model was trained to continue; reference
//! `PreTrainedTokenizerBase.apply_chat_template` of `transformers` (4.53.1).

mod python;

use std::{collections::BTreeMap, path::Path};

use minijinja::{Environment, context, value::Serde};
use serde::Serialize;
use serde_json::Value;

use crate::{Error, Result, error::read_json, error::read_text, tokens::language::config::Config};

const NAME: &str = "chat template";

/// A Jinja template that writes conversations, as models publish it.
///
/// What a message spells out lands in the text as it is; for special tokens in there, see
/// [`LanguageTokenizer::encode_quoting`](crate::tokens::LanguageTokenizer::encode_quoting).
pub struct ChatTemplate {
    environment: Environment<'static>,
    /// Special tokens by their name in templates, such as `bos_token`.
    specials: BTreeMap<String, String>,
}

/// One message of a conversation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Message {
    /// Who says it: `system`, `user` or `assistant`.
    pub role: String,
    /// What is said.
    pub content: Content,
}

/// What is said; templates differ in which form they take, see [`ChatTemplate::takes_parts`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Content {
    /// Text, with the model's placeholders for images written out in it.
    Text(String),
    /// Images and texts in their order.
    Parts(Vec<Part>),
}

/// A part of a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum Part {
    /// An image, for which the template writes the model's placeholder.
    Image,
    /// Some text.
    Text {
        /// The text.
        text: String,
    },
}

impl ChatTemplate {
    /// Reads `chat_template.jinja`, `chat_template.json` or what `tokenizer_config.json` has under `chat_template`
    /// (where that is a list, the entry `default`), the first that `dir` has; none where it has none. Special tokens
    /// are those of the tokenizer in `dir`.
    ///
    /// # Errors
    /// A file is corrupt, or the template is not one.
    pub fn from_dir(dir: &Path) -> Result<Option<Self>> {
        let [jinja, json, config] =
            ["chat_template.jinja", "chat_template.json", "tokenizer_config.json"].map(|name| dir.join(name));
        let (path, source) = if jinja.is_file() {
            let source = read_text(&jinja)?;
            (jinja, source)
        } else {
            let files = [json, config].into_iter().filter(|path| path.is_file());
            let found = files.map(|path| Ok((find(&path)?, path))).collect::<Result<Vec<_>>>()?;
            match found.into_iter().find_map(|(source, path)| Some((path, source?))) {
                Some(found) => found,
                None => return Ok(None),
            }
        };
        let specials = Config::from_dir(dir)?.special_tokens();
        Self::new(&source, specials).map(Some).map_err(|reason| Error::invalid(path, reason))
    }

    /// A template given as its source, with the tokens for the beginning and the end of a text.
    ///
    /// # Errors
    /// It is not a template.
    pub fn parse(source: &str, bos: &str, eos: &str) -> Result<Self> {
        let specials = [("bos_token", bos), ("eos_token", eos)].map(|(key, token)| (key.into(), token.into()));
        Self::new(source, specials.into()).map_err(Error::Setting)
    }

    /// The conversation as text; with `generation`, what leads into the assistant's answer follows.
    ///
    /// # Errors
    /// The template refuses the conversation, as some do where roles do not alternate.
    pub fn render(&self, messages: &[Message], generation: bool) -> Result<String> {
        let refused = |e: minijinja::Error| {
            let reason = e.detail().map_or_else(|| e.to_string(), ToString::to_string);
            Error::Setting(format!("the {NAME} refuses the conversation: {reason}"))
        };
        let call = context! {
            messages => Serde(messages),
            tools => (),
            documents => (),
            add_generation_prompt => generation,
            ..minijinja::Value::from(Serde(&self.specials))
        };
        self.environment.get_template(NAME).and_then(|template| template.render(call)).map_err(refused)
    }

    /// Whether messages may come in parts; those that may not show an image as text.
    pub fn takes_parts(&self) -> bool {
        let text = "What is shown?";
        let content = Content::Parts(vec![Part::Image, Part::Text { text: text.into() }]);
        let rendered = self.render(&[Message { role: "user".into(), content }], true);
        // A template for texts writes the list as it is, if anything.
        rendered.is_ok_and(|rendered| rendered.contains(text) && !rendered.contains("'type'"))
    }

    fn new(source: &str, specials: BTreeMap<String, String>) -> std::result::Result<Self, String> {
        let environment = python::environment().and_then(|mut environment| {
            environment.add_template_owned(NAME, python::without_generation(source))?;
            Ok(environment)
        });
        let environment = environment.map_err(|e| format!("not a chat template: {e}"))?;
        Ok(Self { environment, specials })
    }
}

impl Message {
    /// A message of text.
    pub fn text(role: impl Into<String>, text: impl Into<String>) -> Self {
        Self { role: role.into(), content: Content::Text(text.into()) }
    }
}

/// The template in a JSON file, where it has one.
fn find(path: &Path) -> Result<Option<String>> {
    let mut file: Value = read_json(path)?;
    match file["chat_template"].take() {
        Value::Null => Ok(None),
        Value::String(source) => Ok(Some(source)),
        Value::Array(templates) => {
            let default = templates.iter().find(|template| template["name"] == "default");
            let source = default.and_then(|template| template["template"].as_str());
            let reason = "none of its chat templates is named `default`";
            source.map(|source| Some(source.to_string())).ok_or_else(|| Error::invalid(path, reason))
        }
        _ => Err(Error::invalid(path, "its `chat_template` is neither a text nor a list of templates")),
    }
}
