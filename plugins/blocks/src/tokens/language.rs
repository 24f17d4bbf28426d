//! Tokenizers of generative language models; reference: the fast tokenizers of `transformers` (4.53.1) as `AutoTokenizer`
//! loads them.

mod byte_pairs;
pub(crate) mod config;
mod llama;

use std::{ops::Range, path::Path};

use serde::{Deserialize, de::IgnoredAny};
use tokenizers::{
    AddedToken, AddedVocabulary, Decoder, Encoding, Model, OffsetType, PreTokenizer, PreTokenizerWrapper, Tokenizer,
    processors::template::TemplateProcessing,
};

use crate::{Error, Result, error::read_text};
use config::{Class, Config};

/// What the reference's `clean_up_tokenization` replaces, in its order.
const CLEAN_UP: [(&str, &str); 10] = [
    (" .", "."),
    (" ?", "?"),
    (" !", "!"),
    (" ,", ","),
    (" ' ", "'"),
    (" n't", "n't"),
    (" 'm", "'m"),
    (" 's", "'s"),
    (" 've", "'ve"),
    (" 're", "'re"),
];

/// Turns one text into ids, neither cut nor padded, and ids into text.
pub struct LanguageTokenizer {
    inner: Tokenizer,
    /// The added tokens of `inner`, of which it recognises none that is special.
    plain: AddedVocabulary,
    clean_up: bool,
    bos: Option<u32>,
    eos: Option<u32>,
    pad: Option<u32>,
}

impl LanguageTokenizer {
    /// Reads `tokenizer.json` in `dir` or, without it, `tokenizer.model` (SentencePiece BPE, as LLaMA has it) or, without
    /// both, `vocab.json` and `merges.txt` (as GPT-2 and OPT have them). Special and added tokens are named in
    /// `tokenizer_config.json`, `special_tokens_map.json` and `added_tokens.json`. `vocabulary` is the number of ids
    /// that the model knows.
    ///
    /// # Errors
    /// A file is missing or corrupt, merges are missing, an added token has another id than declared, or an id exceeds
    /// the vocabulary.
    pub fn from_dir(dir: &Path, vocabulary: usize) -> Result<Self> {
        let mut config = Config::from_dir(dir)?;
        let [whole, pieces, pairs] = ["tokenizer.json", "tokenizer.model", "vocab.json"].map(|name| dir.join(name));
        // With `add_prefix_space` set, the reference converts LLaMA's pieces even where `tokenizer.json` is.
        let convert = config.class == Class::Llama && config.flag("add_prefix_space").is_some() && pieces.is_file();
        let found = whole.is_file().then(|| read_whole(&whole)).transpose()?;
        if let Some(inner) = &found {
            config.declare(inner);
        }
        if let (Some(inner), false) = (found, convert) {
            let bounded = matches!(config.class, Class::Llama | Class::Gemma);
            Self::configure(inner, config, bounded, vocabulary).map_err(|reason| Error::invalid(whole, reason))
        } else if pieces.is_file() {
            let config = config.of_slow(Class::Llama);
            let inner = llama::from_pieces(&pieces, &config)?;
            Self::configure(inner, config, true, vocabulary).map_err(|reason| Error::invalid(pieces, reason))
        } else if pairs.is_file() {
            let config = config.of_slow(Class::Gpt2);
            let inner = byte_pairs::from_dir(dir, &config)?;
            let bounded = config.flag("add_bos_token") == Some(true);
            Self::configure(inner, config, bounded, vocabulary).map_err(|reason| Error::invalid(pairs, reason))
        } else {
            let reason =
                "no tokenizer here; expected `tokenizer.json`, `tokenizer.model`, or `vocab.json` and `merges.txt`";
            Err(Error::invalid(dir, reason))
        }
    }

    /// With special tokens behind the others, as far as it does not know them.
    ///
    /// # Errors
    /// A token is empty.
    pub fn with_special_tokens(mut self, tokens: &[&str]) -> Result<Self> {
        let tokens = tokens.iter().map(|token| AddedToken::from(*token, true).normalized(false));
        self.inner.add_special_tokens(tokens.collect::<Vec<_>>()).map_err(refused)?;
        self.plain = self.inner.get_added_vocabulary().clone();
        self.plain.set_encode_special_tokens(true);
        Ok(self)
    }

    /// Ids of a text; with `specials`, what the tokenizer puts around it (such as `bos`) is added. Special tokens that
    /// the text spells out are recognised, as in the reference.
    ///
    /// # Errors
    /// The tokenizer refuses the text.
    pub fn encode(&self, text: &str, specials: bool) -> Result<Vec<u32>> {
        let encoding = self.inner.encode_fast(text, specials).map_err(refused)?;
        Ok(encoding.get_ids().to_vec())
    }

    /// Ids of a text in which a spelled-out special token is text like any other, so that it cannot, say, end a turn
    /// (the reference's `split_special_tokens=True`); nothing is put around it.
    ///
    /// # Errors
    /// The tokenizer refuses the text.
    pub fn encode_plain(&self, text: &str) -> Result<Vec<u32>> {
        Ok(self.split(text).map_err(refused)?.get_ids().to_vec())
    }

    /// As [`encode`](Self::encode), but a special token that touches one of the `quotes` (ranges of bytes of the text,
    /// such as a question inside of a rendered conversation) is text like any other. Where no quote spells out a
    /// special token, the ids are those of `encode`. Added tokens that are not special are recognised everywhere.
    ///
    /// # Errors
    /// The tokenizer refuses the text.
    pub fn encode_quoting(&self, text: &str, quotes: &[Range<usize>], specials: bool) -> Result<Vec<u32>> {
        let whole = self.inner.encode(text, specials).map_err(refused)?;
        let (ids, around) = (whole.get_ids(), whole.get_special_tokens_mask());
        let added = self.inner.get_added_vocabulary();
        let special = |id| added.get_added_tokens_decoder().get(id).is_some_and(|t| added.is_special_token(&t.content));
        let tokens = ids.iter().zip(whole.get_offsets()).zip(around);
        let spelled = tokens.filter(|((id, _), around)| **around == 0 && special(id)).map(|(token, _)| token);
        let (quoted, trusted): (Vec<_>, Vec<_>) =
            spelled.partition(|(_, (start, end))| quotes.iter().any(|quote| quote.start < *end && *start < quote.end));
        if quoted.is_empty() {
            return Ok(ids.to_vec());
        }
        let before = around.iter().take_while(|around| **around == 1).count();
        let after = around.iter().rev().take_while(|around| **around == 1).count();
        let (mut cut, mut at) = (ids[..before].to_vec(), 0);
        for (id, &(start, end)) in trusted {
            cut.extend(self.encode_plain(text.get(at..start).unwrap_or_default())?);
            cut.push(*id);
            at = end;
        }
        cut.extend(self.encode_plain(text.get(at..).unwrap_or_default())?);
        cut.extend(&ids[ids.len() - after..]);
        Ok(cut)
    }

    /// The text of ids without the special tokens; ids that the tokenizer does not know are left out.
    ///
    /// # Errors
    /// The decoder refuses the tokens.
    pub fn decode(&self, ids: &[u32]) -> Result<String> {
        // The crate looks tokens up that are normalised in texts by their normalised form, and finds none special.
        let added = self.inner.get_added_vocabulary().get_added_tokens_decoder();
        let token = |id: &u32| match added.get(id) {
            Some(token) => Some(token.content.clone()),
            None => self.inner.get_model().id_to_token(*id),
        };
        let special = |token: &String| self.inner.get_added_vocabulary().is_special_token(token);
        let tokens = ids.iter().filter_map(token).filter(|token| !special(token)).collect::<Vec<_>>();
        let text = match self.inner.get_decoder() {
            Some(decoder) => decoder.decode(tokens).map_err(|e| Error::Setting(format!("cannot decode: {e}")))?,
            None => tokens.join(" "),
        };
        Ok(match self.clean_up {
            true => CLEAN_UP.iter().fold(text, |text, (from, to)| text.replace(from, to)),
            false => text,
        })
    }

    /// Id of a token, as the vocabulary spells it.
    pub fn id(&self, token: &str) -> Option<u32> {
        self.inner.token_to_id(token)
    }

    /// Id of the beginning of a text, where the files name one.
    pub fn bos(&self) -> Option<u32> {
        self.bos
    }

    /// Id of the end of a text, where the files name one.
    pub fn eos(&self) -> Option<u32> {
        self.eos
    }

    /// Id that fills up shorter texts, where the files name one.
    pub fn pad(&self) -> Option<u32> {
        self.pad
    }

    /// With `bounded`, texts are put between `bos` and `eos` as the configuration says, else as the file says.
    fn configure(
        mut inner: Tokenizer,
        mut config: Config,
        bounded: bool,
        vocabulary: usize,
    ) -> std::result::Result<Self, String> {
        let failed = |e: tokenizers::Error| e.to_string();
        config.add_tokens(&mut inner)?;
        inner.with_truncation(None).map_err(failed)?.with_padding(None);
        let [bos, eos, pad] = ["bos_token", "eos_token", "pad_token"].map(|key| config.special(key));
        if bounded {
            let ends = [("add_bos_token", &bos), ("add_eos_token", &eos)];
            let [before, after] = ends.map(|(key, token)| {
                let wanted = config.flag(key).unwrap_or(key == "add_bos_token");
                let named = || token.clone().ok_or_else(|| format!("`{key}` is set, but no such token is named"));
                wanted.then(named).transpose()
            });
            let frame = frame(&inner, before?, after?)?;
            inner.with_post_processor(Some(frame));
        }
        if let (Some(PreTokenizerWrapper::ByteLevel(words)), Some(prefix)) =
            (inner.get_pre_tokenizer(), config.prefix_space())
        {
            let words = words.add_prefix_space(prefix);
            inner.with_pre_tokenizer(Some(words));
        }
        let beyond = inner.get_vocab(true).into_iter().filter(|(_, id)| *id as usize >= vocabulary);
        if let Some((token, id)) = beyond.min_by_key(|(_, id)| *id) {
            return Err(format!("token `{token}` has id {id}, but the model knows {vocabulary} ids"));
        }
        inner.set_encode_special_tokens(config.flag("split_special_tokens") == Some(true));
        let mut plain = inner.get_added_vocabulary().clone();
        plain.set_encode_special_tokens(true);
        let [bos, eos, pad] = [bos, eos, pad].map(|token| token.and_then(|token| inner.token_to_id(&token)));
        let clean_up = config.flag("clean_up_tokenization_spaces") == Some(true);
        Ok(Self { inner, plain, clean_up, bos, eos, pad })
    }

    /// What `Tokenizer::encode_fast` does, with other added tokens.
    fn split(&self, text: &str) -> tokenizers::Result<Encoding> {
        let mut parts = self.plain.extract_and_normalize(self.inner.get_normalizer(), text);
        if let Some(words) = self.inner.get_pre_tokenizer() {
            words.pre_tokenize(&mut parts)?;
        }
        parts.tokenize(|part| self.inner.get_model().tokenize(part.get()))?;
        parts.into_encoding(None, 0, OffsetType::None)
    }
}

/// Reads `tokenizer.json`.
fn read_whole(path: &Path) -> Result<Tokenizer> {
    #[derive(Deserialize)]
    struct File {
        model: Algorithm,
    }
    #[derive(Deserialize)]
    struct Algorithm {
        #[serde(rename = "type")]
        name: Option<String>,
        merges: Option<Vec<IgnoredAny>>,
    }
    let text = read_text(path)?;
    let File { model } =
        serde_json::from_str(&text).map_err(|e| Error::invalid(path, format!("not a tokenizer: {e}")))?;
    // Without merges, every text would fall into single characters.
    if model.name.as_deref().is_none_or(|name| name == "BPE") && model.merges.is_some_and(|merges| merges.is_empty()) {
        return Err(Error::invalid(path, "its byte-pair model has no merges"));
    }
    Tokenizer::from_bytes(text).map_err(|e| Error::invalid(path, e.to_string()))
}

/// `before`, the text, `after`.
fn frame(
    inner: &Tokenizer,
    before: Option<String>,
    after: Option<String>,
) -> std::result::Result<TemplateProcessing, String> {
    let ends = [&before, &after].into_iter().flatten();
    let specials = ends.map(|token| {
        let id = inner.token_to_id(token).ok_or_else(|| format!("special token `{token}` has no id"))?;
        Ok((token.clone(), id))
    });
    let specials = specials.collect::<std::result::Result<Vec<_>, String>>()?;
    let single = [before, Some("$A".to_string()), after].into_iter().flatten().collect::<Vec<_>>();
    let mut builder = TemplateProcessing::builder();
    builder.try_single(single)?.special_tokens(specials).build().map_err(|e| e.to_string())
}

fn refused(e: tokenizers::Error) -> Error {
    Error::Setting(format!("cannot tokenize: {e}"))
}
