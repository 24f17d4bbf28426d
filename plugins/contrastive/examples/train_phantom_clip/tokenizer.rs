//! A byte-pair tokenizer in CLIP's form whose tokens are the words of a corpus.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::{Map, json};

const BEGIN: &str = "<|startoftext|>";
const END: &str = "<|endoftext|>";
const WORD_END: &str = "</w>";

/// Learns merges until each word of the corpus is one token, and writes the files that CLIP's tokenizer reads. Gives the
/// number of tokens; the last one ends a text.
///
/// # Errors
/// A file cannot be written.
pub fn write(dir: &Path, corpus: &[String]) -> Result<usize> {
    let merges = learn(corpus);
    let bytes = byte_letters();
    let mut tokens: Vec<String> = bytes.iter().map(char::to_string).collect();
    tokens.extend(bytes.iter().map(|letter| format!("{letter}{WORD_END}")));
    tokens.extend(merges.iter().map(|(left, right)| format!("{left}{right}")));
    tokens.extend([BEGIN.to_string(), END.to_string()]);
    let count = tokens.len();
    let vocabulary: Map<_, _> = tokens.into_iter().enumerate().map(|(id, token)| (token, json!(id))).collect();

    let save = |name: &str, text: String| {
        let path = dir.join(name);
        std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
    };
    let lines: String = merges.iter().map(|(left, right)| format!("{left} {right}\n")).collect();
    save("merges.txt", format!("#version: 0.2\n{lines}"))?;
    save("vocab.json", serde_json::to_string(&vocabulary)? + "\n")?;
    let special = json!({ "bos_token": BEGIN, "eos_token": END, "unk_token": END, "pad_token": END });
    save("special_tokens_map.json", serde_json::to_string_pretty(&special)? + "\n")?;
    let mut config = special;
    config["tokenizer_class"] = json!("CLIPTokenizer");
    config["do_lower_case"] = json!(true);
    config["model_max_length"] = json!(crate::CONTEXT);
    save("tokenizer_config.json", serde_json::to_string_pretty(&config)? + "\n")?;
    Ok(count)
}

/// The merges in their order: always the pair that is most frequent among the words, the first in the alphabet of those.
fn learn(corpus: &[String]) -> Vec<(String, String)> {
    let mut words: BTreeMap<&str, usize> = BTreeMap::new();
    for word in corpus.iter().flat_map(|text| text.split(|c: char| !c.is_ascii_alphabetic())) {
        *words.entry(word).or_default() += usize::from(!word.is_empty());
    }
    let mut words: Vec<(Vec<String>, usize)> = words.into_iter().map(|(word, count)| (letters(word), count)).collect();
    let mut merges = Vec::new();
    loop {
        let mut pairs: BTreeMap<(&str, &str), usize> = BTreeMap::new();
        for (tokens, count) in &words {
            for pair in tokens.windows(2) {
                *pairs.entry((&pair[0], &pair[1])).or_default() += count;
            }
        }
        let best = pairs.into_iter().reduce(|best, next| if next.1 > best.1 { next } else { best });
        let Some(((left, right), _)) = best else {
            return merges;
        };
        let (left, right) = (left.to_string(), right.to_string());
        for (tokens, _) in &mut words {
            merge(tokens, &left, &right);
        }
        merges.push((left, right));
    }
}

fn letters(word: &str) -> Vec<String> {
    let mut letters: Vec<String> = word.chars().map(|letter| letter.to_lowercase().to_string()).collect();
    if let Some(last) = letters.last_mut() {
        last.push_str(WORD_END);
    }
    letters
}

fn merge(tokens: &mut Vec<String>, left: &str, right: &str) {
    let mut place = 0;
    while place + 1 < tokens.len() {
        if tokens[place] == left && tokens[place + 1] == right {
            let second = tokens.remove(place + 1);
            tokens[place].push_str(&second);
        }
        place += 1;
    }
}

/// The letter that stands for each byte, in the order of CLIP's vocabulary: printable ones for themselves, the
/// others for letters from U+0100 on.
fn byte_letters() -> Vec<char> {
    let printable = |byte: &u32| matches!(byte, 33..=126 | 161..=172 | 174..=255);
    let own = (0..256).filter(printable).filter_map(char::from_u32);
    let others = (0..256u32).filter(|byte| !printable(byte)).count() as u32;
    own.chain((256..256 + others).filter_map(char::from_u32)).collect()
}
