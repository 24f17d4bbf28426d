//! `vocab.json` and `merges.txt`; reference `convert_slow_tokenizer.GPT2Converter`.

use std::{collections::HashMap, path::Path};

use tokenizers::{
    Tokenizer,
    models::bpe::{BPE, Vocab},
    pre_tokenizers::byte_level::ByteLevel,
};

use super::config::{Class, Config};
use crate::{Error, Result, error::read_json, error::read_text};

/// A tokenizer without added tokens.
pub fn from_dir(dir: &Path, config: &Config) -> Result<Tokenizer> {
    let (vocab_path, merges_path) = (dir.join("vocab.json"), dir.join("merges.txt"));
    if config.class != Class::Gpt2 {
        let reason = "without `tokenizer.json`, only a `tokenizer_class` of `GPT2Tokenizer` can be read";
        return Err(Error::invalid(&vocab_path, reason));
    }
    let vocab: HashMap<String, u32> = read_json(&vocab_path)?;
    let merges = read_merges(&merges_path)?;
    let model = BPE::builder()
        .vocab_and_merges(vocab.into_iter().collect::<Vocab>(), merges)
        .continuing_subword_prefix(String::new())
        .end_of_word_suffix(String::new())
        .build()
        .map_err(|e| Error::invalid(&merges_path, e.to_string()))?;
    let mut tokenizer = Tokenizer::new(model);
    tokenizer.with_pre_tokenizer(Some(ByteLevel::new(false, true, true))).with_decoder(Some(ByteLevel::default()));
    Ok(tokenizer)
}

/// The pairs after the first line. What follows the last line end is left out, as in the reference.
fn read_merges(path: &Path) -> Result<Vec<(String, String)>> {
    let text = read_text(path)?;
    let mut lines: Vec<_> = text.split('\n').enumerate().skip(1).collect();
    lines.pop();
    if lines.is_empty() {
        return Err(Error::invalid(path, "it has no merges"));
    }
    let pair = |(number, line): (usize, &str)| match line.split_whitespace().collect::<Vec<_>>().as_slice() {
        [left, right] => Ok((left.to_string(), right.to_string())),
        _ => Err(Error::invalid(path, format!("line {} is not a pair of tokens: `{line}`", number + 1))),
    };
    lines.into_iter().map(pair).collect()
}
