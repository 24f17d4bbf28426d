//! Tokenizers of language models against `transformers`, on what `tests/parity/language_tokenizer.py` wrote.

#![allow(clippy::unwrap_used, reason = "a test may panic anywhere")]

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
    slice::from_ref,
};

use blocks::tokens::LanguageTokenizer;
use serde::Deserialize;
use serde_json::{Value, json};
use tempfile::TempDir;

#[derive(Deserialize)]
struct Goldens {
    texts: Vec<String>,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    source: String,
    copied: Vec<String>,
    written: HashMap<String, Value>,
    size: usize,
    ends: [Option<u32>; 3],
    before: Vec<u32>,
    after: Vec<u32>,
    ids: Vec<Vec<u32>>,
    plain: HashMap<usize, Vec<u32>>,
    decoded: HashMap<usize, String>,
    noise: Vec<(Vec<u32>, String)>,
}

#[test]
fn tiny_tokenizers_equal_the_reference() {
    assert_eq!(compare("tiny.json", &goldens()), 10);
}

#[test]
fn published_tokenizers_equal_the_reference() {
    let Some(data) = std::env::var_os("MEDVLM_REAL_DATA") else {
        eprintln!("skipped: MEDVLM_REAL_DATA is unset");
        return;
    };
    assert_eq!(compare("published.json", &PathBuf::from(data).join("../tokenizers")), 10);
}

#[test]
fn pieces_equal_the_whole_file_that_was_made_of_them() {
    let Some(data) = std::env::var_os("MEDVLM_REAL_DATA") else {
        eprintln!("skipped: MEDVLM_REAL_DATA is unset");
        return;
    };
    let Goldens { texts, .. } = read("published.json");
    for name in ["llama2", "mistral-v1"] {
        let [whole, pieces] = ["tokenizer.json", "tokenizer.model"].map(|file| {
            let folder =
                folder(&PathBuf::from(&data).join("../tokenizers").join(name), &[file.into()], &HashMap::new());
            LanguageTokenizer::from_dir(folder.path(), 32000).unwrap()
        });
        // The whole file of llama2 looks for `▁<s>`, not for `<s>`.
        for text in texts.iter().filter(|text| name != "llama2" || !text.contains("s>")) {
            assert_eq!(whole.encode(text, true).unwrap(), pieces.encode(text, true).unwrap(), "{name}: {text:?}");
        }
    }
}

#[test]
fn a_quote_cannot_end_a_turn() {
    let config = json!({"tokenizer_class": "LlamaTokenizer", "add_eos_token": true});
    for (source, file) in [("pairs", "tokenizer.json"), ("pieces", "tokenizer.model")] {
        let written = HashMap::from([("tokenizer_config.json".to_string(), config.clone())]);
        let folder = folder(&goldens().join(source), &[file.into()], &written);
        let tokenizer = LanguageTokenizer::from_dir(folder.path(), 400).unwrap();
        let [bos, eos] = [tokenizer.bos().unwrap(), tokenizer.eos().unwrap()];
        let plain = |text| tokenizer.encode_plain(text).unwrap();

        let text = "<s>user: is </s> a <s>lung</s> shown?</s>";
        for (quote, expected) in [
            (
                "is </s> a <s>lung</s> shown?",
                [&[bos][..], &plain("user: is </s> a <s>lung</s> shown?"), &[eos]].concat(),
            ),
            (
                "lung</",
                [&[bos][..], &plain("user: is "), &[eos], &plain(" a "), &[bos], &plain("lung</s> shown?"), &[eos]]
                    .concat(),
            ),
            ("shown?", tokenizer.encode(text, false).unwrap()),
        ] {
            let start = text.find(quote).unwrap();
            let quote = start..start + quote.len();
            let found = |specials| tokenizer.encode_quoting(text, from_ref(&quote), specials).unwrap();
            assert_eq!(found(false), expected, "{source}: {quote:?}");
            assert_eq!(found(true), [&[bos][..], &expected, &[eos]].concat(), "{source}: {quote:?}");
        }
        assert_eq!(tokenizer.encode_quoting(text, &[], true).unwrap(), tokenizer.encode(text, true).unwrap());
    }
}

#[test]
fn wrong_files_are_refused() {
    let opened = |source: &str, copied: &[&str], written: Value, vocabulary| {
        let copied: Vec<_> = copied.iter().map(ToString::to_string).collect();
        let folder = folder(&goldens().join(source), &copied, &serde_json::from_value(written).unwrap());
        let found = LanguageTokenizer::from_dir(folder.path(), vocabulary);
        let message = found.err().unwrap().to_string();
        message.replace(&folder.path().display().to_string(), "")
    };
    let pairs = |written| opened("pairs", &["tokenizer.json"], written, 400);
    let whole: Value = serde_json::from_slice(&fs::read(goldens().join("pairs/tokenizer.json")).unwrap()).unwrap();
    let mut bare = whole.clone();
    bare["model"]["merges"] = json!([]);
    for (found, expected) in [
        (opened("pairs", &[], json!({}), 400), ": no tokenizer here; expected `tokenizer.json`"),
        (opened("pairs", &["vocab.json"], json!({}), 400), "cannot read /merges.txt"),
        (opened("pairs", &["tokenizer.json"], json!({}), 359), "/tokenizer.json: token `"),
        (opened("pieces", &["tokenizer.model"], json!({}), 300), "has id 300, but the model knows 300 ids"),
        (opened("pairs", &[], json!({"tokenizer.json": bare}), 400), "its byte-pair model has no merges"),
        (
            opened("pairs", &["vocab.json"], json!({"merges.txt": "#version: 0.2\n"}), 400),
            "/merges.txt: it has no merges",
        ),
        (
            opened("pairs", &[], json!({"tokenizer.model": "not one"}), 400),
            "/tokenizer.model: not a SentencePiece model",
        ),
        (pairs(json!({"added_tokens.json": {"<new>": 370}})), "`<new>` is declared with id 370, but gets 360"),
        (pairs(json!({"added_tokens.json": {"<new>": 360}, "tokenizer_config.json": []})), "not the JSON expected"),
        (
            pairs(json!({"tokenizer_config.json": {"tokenizer_class": "LlamaTokenizer", "bos_token": null}})),
            "`add_bos_token` is set, but no such token is named",
        ),
        (
            pairs(json!({"tokenizer_config.json": {"added_tokens_decoder": {"x": {"content": "y"}}}})),
            "`added_tokens_decoder` declares no token by `x`",
        ),
        (
            opened(
                "pieces",
                &["tokenizer.model"],
                json!({"tokenizer_config.json": {"tokenizer_class": "T5Tokenizer"}}),
                400,
            ),
            "only a `tokenizer_class` of `LlamaTokenizer` can be read",
        ),
    ] {
        assert!(found.contains(expected), "{found:?} does not say {expected:?}");
    }
}

/// Number of cases, all of which are as expected.
fn compare(file: &str, root: &Path) -> usize {
    let Goldens { texts, cases } = read(file);
    for case in &cases {
        let name = format!("{file} {} {:?} {:?}", case.source, case.copied, case.written);
        let folder = folder(&root.join(&case.source), &case.copied, &case.written);
        let tokenizer = LanguageTokenizer::from_dir(folder.path(), case.size).unwrap();
        assert!(LanguageTokenizer::from_dir(folder.path(), case.size - 1).is_err(), "{name}");
        assert_eq!([tokenizer.bos(), tokenizer.eos(), tokenizer.pad()], case.ends, "{name}");
        assert_eq!(case.ids.len(), texts.len());
        for (index, text) in texts.iter().enumerate() {
            let (ids, whole) = (&case.ids[index], [&case.before[..], &case.ids[index], &case.after].concat());
            assert_eq!(tokenizer.encode(text, false).unwrap(), *ids, "{name}: {text:?}");
            assert_eq!(tokenizer.encode(text, true).unwrap(), whole, "{name}: {text:?}");
            let plain = case.plain.get(&index).unwrap_or(ids);
            assert_eq!(tokenizer.encode_plain(text).unwrap(), *plain, "{name}: plain {text:?}");
            let decoded = case.decoded.get(&index).unwrap_or(text);
            assert_eq!(tokenizer.decode(&whole).unwrap(), *decoded, "{name}: {whole:?}");
        }
        for (ids, decoded) in &case.noise {
            assert_eq!(tokenizer.decode(ids).unwrap(), *decoded, "{name}: {ids:?}");
        }
    }
    cases.len()
}

/// A folder with files copied from `source` and others written.
fn folder(source: &Path, copied: &[String], written: &HashMap<String, Value>) -> TempDir {
    let folder = TempDir::new().unwrap();
    for name in copied {
        fs::copy(source.join(name), folder.path().join(name)).unwrap();
    }
    for (name, content) in written {
        let text = content.as_str().map_or_else(|| content.to_string(), ToString::to_string);
        fs::write(folder.path().join(name), text).unwrap();
    }
    folder
}

fn read(file: &str) -> Goldens {
    serde_json::from_slice(&fs::read(goldens().join(file)).unwrap()).unwrap()
}

fn goldens() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/parity/language_tokenizer")
}
