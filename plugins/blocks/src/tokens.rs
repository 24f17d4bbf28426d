//! CLIP's byte-level BPE tokenizer (reference `transformers.CLIPTokenizerFast`, 4.53.1), and those of other models.

mod clean;
pub(crate) mod language;
mod sentencepiece;
mod siglip;
mod word_piece;

use std::{collections::HashMap, path::Path};

use serde_json::Value;
use tokenizers::{
    AddedToken, PaddingParams, SplitDelimiterBehavior, Tokenizer, TruncationParams,
    models::bpe::BPE,
    normalizers::{Lowercase, NFC, NormalizerWrapper, Replace, Sequence as Normalizers, replace::ReplacePattern},
    pre_tokenizers::{
        byte_level::ByteLevel,
        sequence::Sequence as PreTokenizers,
        split::{Split, SplitPattern},
    },
    processors::roberta::RobertaProcessing,
};

use crate::{Error, Result, error::read_json, error::read_text};
pub use clean::clean;
pub use language::LanguageTokenizer;
pub use sentencepiece::SentencePiece;
pub use siglip::{PadTo, SiglipTokenizer};
pub use word_piece::WordPieceTokenizer;

const PATTERN: &str = r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+";
/// The reference reads at most so many merges.
const MERGES: usize = 49152 - 256 - 2;

/// Turns texts into ids: `bos`, the text cut to the context, `eos`, padding.
pub struct ClipTokenizer {
    inner: Tokenizer,
    eos: u32,
    pad: u32,
}

/// Contents of the special tokens.
struct Specials {
    bos: String,
    eos: String,
    pad: String,
    unk: String,
}

impl ClipTokenizer {
    /// Reads `tokenizer.json` in `dir` or, without it, `vocab.json` and `merges.txt`; special tokens are named in
    /// `tokenizer_config.json` or `special_tokens_map.json`, else they are CLIP's. `context` is the longest text in
    /// tokens, `vocabulary` the number of ids that the model knows.
    ///
    /// # Errors
    /// A file is missing or corrupt, a special token is unknown, a text does not come out between `bos` and `eos`,
    /// or an id exceeds the vocabulary.
    pub fn from_dir(dir: &Path, context: usize, vocabulary: usize) -> Result<Self> {
        let specials = Specials::from_dir(dir)?;
        let (whole, parts) = (dir.join("tokenizer.json"), dir.join("vocab.json"));
        let (path, inner) = match (whole.is_file(), parts.is_file()) {
            (true, _) => {
                let inner =
                    Tokenizer::from_bytes(read_text(&whole)?).map_err(|e| Error::invalid(&whole, e.to_string()))?;
                (whole, inner)
            }
            (false, true) => (parts, build(dir, &specials)?),
            (false, false) => {
                let reason = "no tokenizer here; expected `tokenizer.json`, or `vocab.json` and `merges.txt`";
                return Err(Error::invalid(dir, reason));
            }
        };
        Self::configure(inner, &specials, context, vocabulary).map_err(|reason| Error::invalid(path, reason))
    }

    fn configure(
        mut inner: Tokenizer,
        specials: &Specials,
        context: usize,
        vocabulary: usize,
    ) -> std::result::Result<Self, String> {
        let id = |token: &str| inner.token_to_id(token).ok_or_else(|| format!("special token `{token}` has no id"));
        let (bos, eos, pad) = (id(&specials.bos)?, id(&specials.eos)?, id(&specials.pad)?);
        if let Some((token, id)) = inner.get_vocab(true).into_iter().find(|(_, id)| *id as usize >= vocabulary) {
            return Err(format!("token `{token}` has id {id}, but the model knows {vocabulary} ids"));
        }
        let truncation = TruncationParams { max_length: context, ..Default::default() };
        inner.with_truncation(Some(truncation)).map_err(|e| format!("cannot cut texts to {context} tokens: {e}"))?;
        let padding = PaddingParams { pad_id: pad, pad_token: specials.pad.clone(), ..Default::default() };
        inner.with_padding(Some(padding));
        let tokenizer = Self { inner, eos, pad };
        match tokenizer.encode(&[""]).map_err(|e| e.to_string())?.pop() {
            Some(ids) if ids == [bos, eos] => Ok(tokenizer),
            ids => Err(format!(
                "an empty text becomes {:?}, expected `{}` {bos} and `{}` {eos}",
                ids.unwrap_or_default(),
                specials.bos,
                specials.eos
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

    /// Id of the end of a text.
    pub fn eos(&self) -> u32 {
        self.eos
    }

    /// Id that fills up shorter texts.
    pub fn pad(&self) -> u32 {
        self.pad
    }
}

impl Specials {
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
        let end = "<|endoftext|>";
        Ok(Self {
            bos: token("bos_token", "<|startoftext|>"),
            eos: token("eos_token", end),
            pad: token("pad_token", end),
            unk: token("unk_token", end),
        })
    }
}

/// What `convert_slow_tokenizer.CLIPConverter` makes of `vocab.json` and `merges.txt`.
fn build(dir: &Path, specials: &Specials) -> Result<Tokenizer> {
    let (vocab_path, merges_path) = (dir.join("vocab.json"), dir.join("merges.txt"));
    let vocab: HashMap<String, u32> = read_json(&vocab_path)?;
    let merges = read_merges(&merges_path)?;
    let failed = |e: tokenizers::Error| Error::invalid(&merges_path, e.to_string());
    let special = |token: &str| {
        let id = vocab.get(token).copied();
        let id = id.ok_or_else(|| Error::invalid(&vocab_path, format!("special token `{token}` has no id")))?;
        Ok::<_, Error>((token.to_string(), id))
    };
    let (bos, eos) = (special(&specials.bos)?, special(&specials.eos)?);

    let model = BPE::builder()
        .vocab_and_merges(vocab.clone().into_iter().collect::<tokenizers::models::bpe::Vocab>(), merges)
        .unk_token(specials.unk.clone())
        .continuing_subword_prefix(String::new())
        .end_of_word_suffix("</w>".into())
        .build()
        .map_err(failed)?;
    let whitespace = Replace::new(ReplacePattern::Regex(r"\s+".into()), " ").map_err(failed)?;
    let words =
        Split::new(SplitPattern::Regex(PATTERN.into()), SplitDelimiterBehavior::Removed, true).map_err(failed)?;

    let normalizers = Normalizers::new(vec![
        NormalizerWrapper::NFC(NFC),
        NormalizerWrapper::Replace(whitespace),
        NormalizerWrapper::Lowercase(Lowercase),
    ]);
    let words = PreTokenizers::new(vec![words.into(), ByteLevel::new(false, true, true).into()]);
    let ends = RobertaProcessing::new(eos, bos).trim_offsets(false).add_prefix_space(false);
    let tokens = [&specials.bos, &specials.eos, &specials.unk, &specials.pad];
    let tokens = tokens.map(|token| AddedToken::from(token.clone(), true).normalized(true));

    let mut tokenizer = Tokenizer::new(model);
    tokenizer.with_normalizer(Some(normalizers)).map_err(failed)?;
    tokenizer.with_pre_tokenizer(Some(words)).with_post_processor(Some(ends));
    tokenizer.add_special_tokens(tokens).map_err(failed)?;
    Ok(tokenizer)
}

/// The pairs of `merges.txt` after its first line.
fn read_merges(path: &Path) -> Result<Vec<(String, String)>> {
    let text = read_text(path)?;
    let lines = text.trim().split('\n').enumerate().skip(1).take(MERGES);
    lines
        .map(|(number, line)| match line.split_whitespace().collect::<Vec<_>>().as_slice() {
            [left, right] => Ok((left.to_string(), right.to_string())),
            _ => Err(Error::invalid(path, format!("line {} is not a pair of tokens: `{line}`", number + 1))),
        })
        .collect()
}
