//! BERT's WordPiece tokenizer; reference `transformers.BertTokenizerFast` (4.53.1).

use std::path::Path;

use serde_json::Value;
use tokenizers::{
    AddedToken, PaddingParams, Tokenizer, TruncationParams,
    models::{bpe::Vocab, wordpiece::WordPiece},
    normalizers::{BertNormalizer, NormalizerWrapper},
    pre_tokenizers::bert::BertPreTokenizer,
    processors::bert::BertProcessing,
};

use crate::{Error, Result, error::read_json, error::read_text};

/// Turns texts into ids: `[CLS]`, the text cut to the context, `[SEP]`, padding.
pub struct WordPieceTokenizer {
    inner: Tokenizer,
    pad: u32,
}

/// `tokenizer_config.json`, as far as it matters here; what is absent has the default of the class.
struct Settings {
    cls: String,
    sep: String,
    pad: String,
    unk: String,
    mask: String,
    lowercase: bool,
    chinese: bool,
    strip_accents: Option<bool>,
}

impl WordPieceTokenizer {
    /// Reads `tokenizer.json` or, without it, `vocab.txt` in `dir`. Case, accents and Chinese characters are treated
    /// as `tokenizer_config.json` says, whatever `tokenizer.json` says: without the former, texts are lower-cased.
    /// `context` is the longest text in tokens, `vocabulary` the number of ids that the model knows.
    ///
    /// # Errors
    /// A file is missing or corrupt, a special token is unknown, a text does not come out between `[CLS]` and `[SEP]`,
    /// or an id exceeds the vocabulary.
    pub fn from_dir(dir: &Path, context: usize, vocabulary: usize) -> Result<Self> {
        let settings = Settings::from_dir(dir)?;
        let (whole, list) = (dir.join("tokenizer.json"), dir.join("vocab.txt"));
        let (path, inner) = match (whole.is_file(), list.is_file()) {
            (true, _) => {
                let inner =
                    Tokenizer::from_bytes(read_text(&whole)?).map_err(|e| Error::invalid(&whole, e.to_string()))?;
                (whole, inner)
            }
            (false, true) => {
                let inner = settings.build(&read_text(&list)?).map_err(|reason| Error::invalid(&list, reason))?;
                (list, inner)
            }
            (false, false) => {
                return Err(Error::invalid(dir, "no tokenizer here; expected `tokenizer.json` or `vocab.txt`"));
            }
        };
        Self::configure(inner, &settings, context, vocabulary).map_err(|reason| Error::invalid(path, reason))
    }

    fn configure(
        mut inner: Tokenizer,
        settings: &Settings,
        context: usize,
        vocabulary: usize,
    ) -> std::result::Result<Self, String> {
        let id = |token: &str| inner.token_to_id(token).ok_or_else(|| format!("special token `{token}` has no id"));
        let (cls, sep, pad) = (id(&settings.cls)?, id(&settings.sep)?, id(&settings.pad)?);
        if let Some((token, id)) = inner.get_vocab(true).into_iter().find(|(_, id)| *id as usize >= vocabulary) {
            return Err(format!("token `{token}` has id {id}, but the model knows {vocabulary} ids"));
        }
        if let Some(NormalizerWrapper::BertNormalizer(found)) = inner.get_normalizer() {
            let normalizer = settings.normalizer(found.clean_text);
            inner.with_normalizer(Some(normalizer)).map_err(|e| e.to_string())?;
        }
        let truncation = TruncationParams { max_length: context, ..Default::default() };
        inner.with_truncation(Some(truncation)).map_err(|e| format!("cannot cut texts to {context} tokens: {e}"))?;
        let padding = PaddingParams { pad_id: pad, pad_token: settings.pad.clone(), ..Default::default() };
        inner.with_padding(Some(padding));
        let tokenizer = Self { inner, pad };
        match tokenizer.encode(&[""]).map_err(|e| e.to_string())?.pop() {
            Some(ids) if ids == [cls, sep] => Ok(tokenizer),
            ids => Err(format!(
                "an empty text becomes {:?}, expected `{}` {cls} and `{}` {sep}",
                ids.unwrap_or_default(),
                settings.cls,
                settings.sep
            )),
        }
    }

    /// Ids of each text, padded to the longest.
    ///
    /// # Errors
    /// The tokenizer refuses a text.
    pub fn encode(&self, texts: &[impl AsRef<str>]) -> Result<Vec<Vec<u32>>> {
        let texts = texts.iter().map(AsRef::as_ref).collect();
        let encodings = self.inner.encode_batch::<&str>(texts, true);
        let encodings = encodings.map_err(|e| Error::Setting(format!("cannot tokenize: {e}")))?;
        Ok(encodings.iter().map(|encoding| encoding.get_ids().to_vec()).collect())
    }

    /// 0 at what fills up a text, 1 elsewhere: a `[PAD]` that a text spells out is a token as any other, as in the
    /// `attention_mask` of `transformers`.
    pub fn attention_mask(&self, ids: &[Vec<u32>]) -> Vec<Vec<u32>> {
        let mask = |ids: &Vec<u32>| {
            let shown = ids.iter().rposition(|&id| id != self.pad).map_or(0, |last| last + 1);
            (0..ids.len()).map(|at| u32::from(at < shown)).collect()
        };
        ids.iter().map(mask).collect()
    }

    /// 0 where an id is padding, wherever it stands, as open_clip masks texts; 1 elsewhere.
    pub fn mask(&self, ids: &[Vec<u32>]) -> Vec<Vec<u32>> {
        ids.iter().map(|ids| ids.iter().map(|&id| u32::from(id != self.pad)).collect()).collect()
    }
}

impl Settings {
    fn from_dir(dir: &Path) -> Result<Self> {
        let read = |name: &str| match dir.join(name) {
            path if path.is_file() => read_json::<Value>(&path),
            _ => Ok(Value::Null),
        };
        let files = [read("tokenizer_config.json")?, read("special_tokens_map.json")?];
        let token = |key: &str, default: &str| {
            let named = files.iter().find_map(|file| file[key].as_str().or_else(|| file[key]["content"].as_str()));
            named.unwrap_or(default).to_string()
        };
        let flag = |key: &str| files[0][key].as_bool();
        Ok(Self {
            cls: token("cls_token", "[CLS]"),
            sep: token("sep_token", "[SEP]"),
            pad: token("pad_token", "[PAD]"),
            unk: token("unk_token", "[UNK]"),
            mask: token("mask_token", "[MASK]"),
            lowercase: flag("do_lower_case").unwrap_or(true),
            chinese: flag("tokenize_chinese_chars").unwrap_or(true),
            strip_accents: flag("strip_accents"),
        })
    }

    fn normalizer(&self, clean_text: bool) -> BertNormalizer {
        BertNormalizer::new(clean_text, self.chinese, self.strip_accents, self.lowercase)
    }

    /// What `convert_slow_tokenizer.BertConverter` makes of `vocab.txt`: one token a line, its id is the line's number.
    fn build(&self, list: &str) -> std::result::Result<Tokenizer, String> {
        let lines = list.strip_suffix('\n').unwrap_or(list).split('\n');
        let vocab: Vocab = lines.enumerate().map(|(id, token)| (token.to_string(), id as u32)).collect();
        let special = |token: &str| {
            let id = vocab.get(token).copied().ok_or_else(|| format!("special token `{token}` has no id"))?;
            Ok::<_, String>((token.to_string(), id))
        };
        let ends = BertProcessing::new(special(&self.sep)?, special(&self.cls)?);
        let model = WordPiece::builder().vocab(vocab).unk_token(self.unk.clone()).build();
        let model = model.map_err(|e| e.to_string())?;
        let mut tokenizer = Tokenizer::new(model);
        tokenizer.with_normalizer(Some(self.normalizer(true))).map_err(|e| e.to_string())?;
        tokenizer.with_pre_tokenizer(Some(BertPreTokenizer)).with_post_processor(Some(ends));
        let tokens = [&self.unk, &self.sep, &self.pad, &self.cls, &self.mask];
        let tokens = tokens.map(|token| AddedToken::from(token.clone(), true).normalized(false));
        tokenizer.add_special_tokens(tokens).map_err(|e| e.to_string())?;
        Ok(tokenizer)
    }
}
