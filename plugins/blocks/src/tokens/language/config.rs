//! What `PreTrainedTokenizerBase._from_pretrained` and the fast classes read from the small files beside a vocabulary.

use std::{
    collections::{BTreeMap, HashMap},
    path::Path,
};

use serde_json::{Map, Value};
use tokenizers::{AddedToken, Tokenizer};

use crate::{Error, Result, error::read_json};

/// The keys of special tokens, in the reference's order.
const SPECIALS: [&str; 7] =
    ["bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"];

/// Classes whose special tokens, or whose treatment of texts, are not all written in the files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    Llama,
    Gemma,
    Gpt2,
    Qwen2,
    /// Does what `tokenizer.json` says.
    AsWritten,
}

/// `tokenizer_config.json` with what the other files change in it.
pub struct Config {
    pub class: Class,
    /// Whether `tokenizer_config.json` names the class.
    named: bool,
    /// Whether the vocabulary is one of the slow class.
    slow: bool,
    values: Map<String, Value>,
    /// Declared tokens by id.
    added: BTreeMap<u32, AddedToken>,
    /// Whether the tokens are declared in `tokenizer_config.json`, which then is the only file that counts.
    modern: bool,
}

/// A special token as the reference holds it.
enum Special {
    /// Added where no token has this content.
    Text(String),
    /// Added in any case, over one with the same content.
    Token(AddedToken),
}

impl Config {
    pub fn from_dir(dir: &Path) -> Result<Self> {
        let path = dir.join("tokenizer_config.json");
        let mut values = read_object(&path)?;
        let mut added = BTreeMap::new();
        let declared = values.remove("added_tokens_decoder");
        let modern = declared.is_some();
        for (id, token) in declared.as_ref().and_then(Value::as_object).into_iter().flatten() {
            let wrong = || Error::invalid(&path, format!("`added_tokens_decoder` declares no token by `{id}`"));
            added.insert(id.parse().map_err(|_| wrong())?, token_of(token).ok_or_else(wrong)?);
        }
        if !modern {
            values.extend(read_object(&dir.join("special_tokens_map.json"))?);
        }
        let class = match values.get("tokenizer_class").and_then(Value::as_str) {
            Some("LlamaTokenizer" | "LlamaTokenizerFast") => Class::Llama,
            Some("GemmaTokenizer" | "GemmaTokenizerFast") => Class::Gemma,
            Some("GPT2Tokenizer" | "GPT2TokenizerFast") => Class::Gpt2,
            Some("Qwen2Tokenizer" | "Qwen2TokenizerFast") => Class::Qwen2,
            _ => Class::AsWritten,
        };
        let named = values.contains_key("tokenizer_class");
        let mut config = Self { class, named, slow: false, values, added, modern };
        let path = dir.join("added_tokens.json");
        if !modern && path.is_file() {
            let specials = config.specials();
            for (content, id) in read_json::<BTreeMap<String, u32>>(&path)? {
                let special = specials.iter().any(|special| special.content() == content);
                config.added.insert(id, AddedToken::from(content, special));
            }
        }
        Ok(config)
    }

    /// For a vocabulary of the slow class; the class is this one, where the files do not name another.
    pub fn of_slow(mut self, class: Class) -> Self {
        self.slow = true;
        if !self.named {
            self.class = class;
        }
        self
    }

    /// Takes over the added tokens of `tokenizer.json`, unless `tokenizer_config.json` declares its own.
    pub fn declare(&mut self, whole: &Tokenizer) {
        if !self.modern {
            self.added.extend(whole.get_added_tokens_decoder());
        }
    }

    pub fn flag(&self, key: &str) -> Option<bool> {
        self.values.get(key).and_then(Value::as_bool)
    }

    /// Whether a space is put in front of texts, where the reference does not leave that to `tokenizer.json`.
    pub fn prefix_space(&self) -> Option<bool> {
        match self.values.get("add_prefix_space") {
            Some(value) => value.as_bool(),
            None => (self.class != Class::Llama).then_some(false),
        }
    }

    /// Content of the declared token with this id.
    pub fn content(&self, id: u32) -> Option<&str> {
        self.added.get(&id).map(|token| token.content.as_str())
    }

    /// Content of the special token that `key`, such as `bos_token`, names.
    pub fn special(&self, key: &str) -> Option<String> {
        self.named_special(key).map(|special| special.content().to_string())
    }

    /// Contents of the special tokens that have a name.
    pub fn special_tokens(&self) -> BTreeMap<String, String> {
        let extra = self.values.get("extra_special_tokens").and_then(Value::as_object).into_iter().flatten();
        let extra = extra.filter_map(|(key, value)| Some((key.clone(), Special::parse(value)?.content().to_string())));
        let named = SPECIALS.iter().filter_map(|key| Some((key.to_string(), self.special(key)?)));
        named.chain(extra).collect()
    }

    /// Adds the declared and the special tokens to those of the tokenizer.
    pub fn add_tokens(&mut self, tokenizer: &mut Tokenizer) -> std::result::Result<(), String> {
        if let (Some(padding), None) = (tokenizer.get_padding(), self.values.get("pad_token")) {
            self.values.insert("pad_token".into(), padding.pad_token.clone().into());
        }
        let specials = self.specials();
        let special = |content: &str| specials.iter().any(|special| special.content() == content);
        let mut tokens: Vec<_> =
            self.added.values().map(|token| token.clone().special(token.special || special(&token.content))).collect();
        let known = tokenizer.get_added_tokens_decoder();
        for special in specials {
            let same = |token: &AddedToken| token.content == special.content();
            match special {
                Special::Text(_) if known.values().any(same) || tokens.iter().any(same) => {}
                Special::Text(content) => tokens.push(AddedToken::from(content, true)),
                Special::Token(token) => tokens.push(token.special(true)),
            }
        }
        // The release of the crate that the reference uses keeps matching a special token as it was first added.
        let mut normalized: HashMap<_, _> = known
            .values()
            .filter(|token| token.special)
            .map(|token| (token.content.clone(), token.normalized))
            .collect();
        for token in tokens.iter_mut().filter(|token| token.special) {
            token.normalized = *normalized.entry(token.content.clone()).or_insert(token.normalized);
        }
        tokenizer.add_tokens(tokens).map_err(|e| e.to_string())?;
        let wrong = self.added.iter().find(|(id, token)| tokenizer.token_to_id(&token.content) != Some(**id));
        match wrong {
            Some((id, AddedToken { content, .. })) => {
                let found = tokenizer.token_to_id(content);
                let found = found.map_or("none".to_string(), |id| id.to_string());
                Err(format!("added token `{content}` is declared with id {id}, but gets {found}"))
            }
            None => Ok(()),
        }
    }

    /// All special tokens that are named, in the reference's order.
    fn specials(&self) -> Vec<Special> {
        let mut specials: Vec<_> = SPECIALS.iter().filter_map(|key| self.named_special(key)).collect();
        let lists = [
            self.values.get("additional_special_tokens").and_then(Value::as_array).map(|list| list.iter().collect()),
            self.values.get("extra_special_tokens").and_then(Value::as_object).map(|map| map.values().collect()),
        ];
        let lists = lists.into_iter().flatten().flat_map(|list: Vec<&Value>| list);
        specials.extend(lists.filter_map(Special::parse));
        specials
    }

    fn named_special(&self, key: &str) -> Option<Special> {
        let special = match self.values.get(key) {
            Some(value) => {
                let special = Special::parse(value)?;
                let declared = self.added.values().find(|declared| declared.content == special.content());
                declared.map_or(special, |declared| Special::Token(declared.clone()))
            }
            None => Special::Text(self.default(key)?.to_string()),
        };
        Some(match special {
            // The constructor of GPT-2's slow class leaves its tokens to be normalised.
            Special::Text(content) if self.slow => {
                Special::Token(AddedToken::from(content, true).normalized(self.class == Class::Gpt2))
            }
            special => special,
        })
    }

    /// The special token of the class, where no file names one.
    fn default(&self, key: &str) -> Option<&'static str> {
        match (self.class, key) {
            (Class::Llama, "bos_token") => Some("<s>"),
            (Class::Llama, "eos_token") => Some("</s>"),
            (Class::Llama | Class::Gemma, "unk_token") => Some("<unk>"),
            (Class::Gemma, "bos_token") => Some("<bos>"),
            (Class::Gemma, "eos_token") => Some("<eos>"),
            (Class::Gemma, "pad_token") => Some("<pad>"),
            (Class::Gpt2, "bos_token" | "eos_token" | "unk_token") => Some("<|endoftext|>"),
            (Class::Qwen2, "eos_token" | "unk_token" | "pad_token") => Some("<|endoftext|>"),
            _ => None,
        }
    }
}

impl Special {
    fn parse(value: &Value) -> Option<Self> {
        let text = value.as_str().map(|content| Self::Text(content.to_string()));
        text.or_else(|| token_of(value).map(Self::Token))
    }

    fn content(&self) -> &str {
        match self {
            Self::Text(content) => content,
            Self::Token(token) => &token.content,
        }
    }
}

/// A token written as an object; normalised in texts, where that is not written, unless special.
fn token_of(value: &Value) -> Option<AddedToken> {
    let flag = |key: &str| value[key].as_bool();
    let special = flag("special").unwrap_or(false);
    let token = AddedToken::from(value["content"].as_str()?, special)
        .lstrip(flag("lstrip").unwrap_or(false))
        .rstrip(flag("rstrip").unwrap_or(false))
        .single_word(flag("single_word").unwrap_or(false));
    Some(token.normalized(flag("normalized").unwrap_or(!special)))
}

fn read_object(path: &Path) -> Result<Map<String, Value>> {
    if path.is_file() { read_json(path) } else { Ok(Map::new()) }
}
