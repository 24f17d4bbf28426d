//! SigLIP's tokenizer; reference `transformers.SiglipTokenizer` (4.53.1).

use std::path::Path;

use serde_json::Value;
use tokenizers::{
    AddedToken, NormalizerWrapper, Tokenizer, TruncationParams,
    normalizers::{Lowercase, Replace, Sequence as Normalizers, Strip, replace::ReplacePattern},
};

use super::sentencepiece::{SPACE, SentencePiece};
use crate::{Error, Result, error::read_json, error::read_text};

const CLASS: &str = "SiglipTokenizer";
const FILES: [&str; 2] = ["spiece.model", "tokenizer.json"];

/// Turns texts into ids: the text in lower case and without ASCII punctuation, cut to the context, `eos`, padding.
///
/// A `tokenizer.json` of another class (named in `tokenizer_config.json`) does what that file says instead.
pub struct SiglipTokenizer {
    engine: Engine,
    eos: u32,
    pad: u32,
    length: usize,
}

/// How far texts are filled up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PadTo {
    /// To the context, as the model was trained.
    Context,
    /// To the longest text of the batch.
    Longest,
}

enum Engine {
    Pieces(Pieces),
    /// `tokenizer.json`, cleaning texts as the class does; `eos` is appended here.
    Cleaning(Tokenizer),
    /// `tokenizer.json` of another class.
    AsWritten(Tokenizer),
}

/// `spiece.model` with what the class does around it.
struct Pieces {
    model: SentencePiece,
    specials: Vec<Special>,
    lower: bool,
    unk: String,
    /// Number of pieces of `unk`, read as text.
    unk_length: usize,
}

/// A token that is recognised inside of texts.
struct Special {
    content: String,
    id: u32,
    strip_left: bool,
    strip_right: bool,
}

/// `tokenizer_config.json` and `special_tokens_map.json`.
struct Config([Value; 2]);

impl SiglipTokenizer {
    /// Reads `spiece.model` or `tokenizer.json` in `dir`; where the class is SigLIP's and both are there, the former, as
    /// the reference. `context` is the longest text in tokens (`model_max_length` may lower it), `vocabulary` the
    /// number of ids that the model knows.
    ///
    /// # Errors
    /// A file is missing or corrupt, a special token is unknown, or an id exceeds the vocabulary.
    pub fn from_dir(dir: &Path, context: usize, vocabulary: usize) -> Result<Self> {
        let config = Config::from_dir(dir)?;
        let [pieces, json] = FILES.map(|name| dir.join(name));
        let own = config.text("tokenizer_class").is_none_or(|class| class == CLASS);
        let (path, read) = match (pieces.is_file(), json.is_file()) {
            (true, false) => (&pieces, true),
            (true, true) => {
                if own {
                    (&pieces, true)
                } else {
                    (&json, false)
                }
            }
            (false, true) => (&json, false),
            (false, false) => {
                return Err(Error::invalid(dir, "no tokenizer here; expected `spiece.model` or `tokenizer.json`"));
            }
        };
        let length = config.length().map_or(context, |length| length.min(context));
        let tokenizer = match read {
            true => Self::with_pieces(SentencePiece::from_file(path)?, &config, length),
            false => {
                let inner = Tokenizer::from_bytes(read_text(path)?).map_err(|e| Error::invalid(path, e.to_string()))?;
                Self::with_json(inner, &config, own, length)
            }
        };
        let tokenizer = tokenizer.map_err(|reason| Error::invalid(path, reason))?;
        tokenizer.check(vocabulary).map_err(|reason| Error::invalid(path, reason))?;
        Ok(tokenizer)
    }

    /// Ids of each text, padded to one length.
    ///
    /// # Errors
    /// The tokenizer refuses a text.
    pub fn encode(&self, texts: &[impl AsRef<str>], to: PadTo) -> Result<Vec<Vec<u32>>> {
        let mut rows = texts.iter().map(|text| self.ids(text.as_ref())).collect::<Result<Vec<_>>>()?;
        let length = match to {
            PadTo::Context => self.length,
            PadTo::Longest => rows.iter().map(Vec::len).max().unwrap_or_default(),
        };
        rows.iter_mut().for_each(|ids| ids.resize(length, self.pad));
        Ok(rows)
    }

    /// Id of the end of a text.
    pub fn eos(&self) -> u32 {
        self.eos
    }

    /// Id that fills up shorter texts.
    pub fn pad(&self) -> u32 {
        self.pad
    }

    /// Ids of one text, `eos` included.
    fn ids(&self, text: &str) -> Result<Vec<u32>> {
        let run = |tokenizer: &Tokenizer, specials: bool| {
            let encoding = tokenizer.encode(text, specials);
            let encoding = encoding.map_err(|e| Error::Setting(format!("cannot tokenize: {e}")))?;
            Ok::<_, Error>(encoding.get_ids().to_vec())
        };
        let mut ids = match &self.engine {
            Engine::AsWritten(tokenizer) => return run(tokenizer, true),
            Engine::Cleaning(tokenizer) => run(tokenizer, false)?,
            Engine::Pieces(pieces) => pieces.ids(text),
        };
        ids.truncate(self.length.saturating_sub(1));
        if ids.last() != Some(&self.eos) {
            ids.push(self.eos);
        }
        Ok(ids)
    }

    fn with_pieces(model: SentencePiece, config: &Config, length: usize) -> std::result::Result<Self, String> {
        let [eos, pad, unk] = ["eos_token", "pad_token", "unk_token"].map(|key| config.special(key, None));
        let mut specials = Vec::new();
        for content in [&eos, &pad, &unk] {
            let id = config.added(content).or_else(|| model.id(content));
            let id = id.ok_or_else(|| format!("special token `{content}` has no id"))?;
            specials.push(Special { content: content.clone(), id, strip_left: true, strip_right: true });
        }
        let (eos, pad) = (specials[0].id, specials[1].id);
        for special in config.added_tokens() {
            specials.retain(|known| known.content != special.content);
            specials.push(special);
        }
        let unk_length = model.encode(&unk).len();
        let lower = config.flag("do_lower_case");
        Ok(Self { engine: Engine::Pieces(Pieces { model, specials, lower, unk, unk_length }), eos, pad, length })
    }

    fn with_json(mut inner: Tokenizer, config: &Config, own: bool, length: usize) -> std::result::Result<Self, String> {
        let padding = inner.get_padding().map(|padding| padding.pad_token.clone());
        let [eos, pad, unk] = [("eos_token", None), ("pad_token", padding), ("unk_token", None)]
            .map(|(key, found)| config.special(key, found.as_deref()));
        let failed = |e: tokenizers::Error| e.to_string();
        // The reference recognises the special tokens inside of texts, whether the file says so or not.
        for token in [&eos, &pad, &unk] {
            let known = inner.get_added_tokens_decoder().values().any(|added| added.content == *token);
            if !known && inner.token_to_id(token).is_some() {
                let token = AddedToken::from(token.clone(), true).lstrip(own).rstrip(own);
                inner.add_special_tokens([token]).map_err(failed)?;
            }
        }
        let [eos, pad] = [eos, pad]
            .map(|token| inner.token_to_id(&token).ok_or_else(|| format!("special token `{token}` has no id")));
        inner.with_padding(None);
        let truncation = TruncationParams { max_length: length, ..Default::default() };
        inner.with_truncation((!own).then_some(truncation)).map_err(failed)?;
        if own {
            let cleaning = cleaning(config.flag("do_lower_case")).map_err(failed)?;
            let all = cleaning.into_iter().chain(inner.get_normalizer().cloned()).collect();
            inner.with_normalizer(Some(Normalizers::new(all))).map_err(failed)?;
        }
        let engine = if own { Engine::Cleaning(inner) } else { Engine::AsWritten(inner) };
        Ok(Self { engine, eos: eos?, pad: pad?, length })
    }

    fn check(&self, vocabulary: usize) -> std::result::Result<(), String> {
        let highest = match &self.engine {
            Engine::Pieces(pieces) => {
                let specials = pieces.specials.iter().map(|special| special.id);
                specials.chain((pieces.model.size() as u32).checked_sub(1)).max()
            }
            Engine::Cleaning(inner) | Engine::AsWritten(inner) => inner.get_vocab(true).into_values().max(),
        };
        match highest {
            Some(id) if id as usize >= vocabulary => {
                Err(format!("a token has id {id}, but the model knows {vocabulary} ids"))
            }
            _ if self.length < 2 => Err(format!("a text of {} tokens has no room for its end", self.length)),
            _ => match self.ids("").map_err(|e| e.to_string())? {
                ids if ids == [self.eos] => Ok(()),
                ids => Err(format!("an empty text becomes {ids:?}, expected its end {}", self.eos)),
            },
        }
    }
}

impl Pieces {
    fn ids(&self, text: &str) -> Vec<u32> {
        let text = format!("{SPACE}{}", text.replace(SPACE, " "));
        let text = if self.lower { self.lower(&text) } else { text };
        let parts = self.split(&text);
        let mut ids = Vec::new();
        for (index, (part, special)) in parts.iter().enumerate() {
            if let Some(special) = special {
                ids.push(special.id);
                continue;
            }
            let mut part = *part;
            if index > 0 && parts[index - 1].1.is_some_and(|special| special.strip_right) {
                part = part.trim_start_matches(is_space);
            }
            if parts.get(index + 1).and_then(|next| next.1).is_some_and(|special| special.strip_left) {
                part = part.trim_end_matches(is_space);
            }
            if !part.is_empty() {
                ids.extend(self.part(part));
            }
        }
        ids
    }

    /// Ids of text between special tokens. The reference puts `unk` in front and cuts its pieces off again, so that
    /// spaces at the beginning count.
    fn part(&self, text: &str) -> Vec<u32> {
        let text: String = text.chars().filter(|c| !c.is_ascii_punctuation()).collect();
        let words: Vec<_> = text.split(is_space).filter(|word| !word.is_empty()).collect();
        let mut ids = self.model.encode(&format!("{}{}", self.unk, words.join(" ")));
        if ids.len() >= self.unk_length {
            ids.drain(..self.unk_length);
        }
        ids
    }

    /// Lower case, character by character, except of special tokens.
    fn lower(&self, text: &str) -> String {
        let parts = self.split(text);
        parts
            .into_iter()
            .map(|(part, special)| match special {
                Some(_) => part.to_string(),
                None => part.chars().flat_map(char::to_lowercase).collect(),
            })
            .collect()
    }

    /// Cuts a text at special tokens; the longest counts.
    fn split<'a>(&self, text: &'a str) -> Vec<(&'a str, Option<&Special>)> {
        let (mut parts, mut start) = (Vec::new(), 0);
        let mut at = 0;
        while let Some(next) = text[at..].chars().next() {
            let here = self.specials.iter().filter(|special| text[at..].starts_with(&special.content));
            match here.max_by_key(|special| special.content.len()) {
                Some(special) if !special.content.is_empty() => {
                    let end = at + special.content.len();
                    parts.extend([(&text[start..at], None), (&text[at..end], Some(special))]);
                    (start, at) = (end, end);
                }
                _ => at += next.len_utf8(),
            }
        }
        parts.push((&text[start..], None));
        parts.retain(|(part, _)| !part.is_empty());
        parts
    }
}

impl Config {
    fn from_dir(dir: &Path) -> Result<Self> {
        let read = |name: &str| match dir.join(name) {
            path if path.is_file() => read_json::<Value>(&path),
            _ => Ok(Value::Null),
        };
        Ok(Self([read("tokenizer_config.json")?, read("special_tokens_map.json")?]))
    }

    fn text(&self, key: &str) -> Option<&str> {
        self.0.iter().find_map(|file| file[key].as_str().or_else(|| file[key]["content"].as_str()))
    }

    /// A special token: named in the files, else `found`, else the class's.
    fn special(&self, key: &str, found: Option<&str>) -> String {
        let default = if key == "unk_token" { "<unk>" } else { "</s>" };
        self.text(key).or(found).unwrap_or(default).to_string()
    }

    fn flag(&self, key: &str) -> bool {
        self.0[0][key].as_bool().unwrap_or(true)
    }

    /// `model_max_length`, where it is a length; the reference writes 1e30 for none.
    fn length(&self) -> Option<usize> {
        self.0[0]["model_max_length"].as_f64().filter(|&n| (1.0..1e9).contains(&n)).map(|n| n as usize)
    }

    fn added_tokens(&self) -> impl Iterator<Item = Special> + '_ {
        self.0[0]["added_tokens_decoder"].as_object().into_iter().flatten().filter_map(|(id, token)| {
            let flag = |key: &str| token[key].as_bool().unwrap_or_default();
            Some(Special {
                content: token["content"].as_str()?.to_string(),
                id: id.parse().ok()?,
                strip_left: flag("lstrip"),
                strip_right: flag("rstrip"),
            })
        })
    }

    fn added(&self, content: &str) -> Option<u32> {
        self.added_tokens().find(|special| special.content == content).map(|special| special.id)
    }
}

/// What the class does to a text between special tokens, as normalizers; doing it twice changes nothing.
fn cleaning(lower: bool) -> tokenizers::Result<Vec<NormalizerWrapper>> {
    let replace = |pattern: &str, by: &str| Replace::new(ReplacePattern::Regex(pattern.into()), by);
    let mut steps = vec![
        NormalizerWrapper::Replace(replace(r##"[!-/:-@\[-`{-~]"##, "")?),
        NormalizerWrapper::Replace(replace(r"\s+", " ")?),
        NormalizerWrapper::StripNormalizer(Strip::new(true, true)),
    ];
    if lower {
        steps.insert(0, NormalizerWrapper::Lowercase(Lowercase));
    }
    Ok(steps)
}

/// White space as Python understands it.
fn is_space(c: char) -> bool {
    c.is_whitespace() || matches!(c, '\x1c'..='\x1f')
}
