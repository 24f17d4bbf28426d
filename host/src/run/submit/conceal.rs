//! Cells of datasets whose terms keep their samples where they are. What is packed of such a cell holds digests where the
//! dataset's words were; they are keyed by all samples of the split, so that nobody without the dataset can try words against
//! them. Where the dataset is, everything that scoring needs is found again.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use aho_corasick::{AhoCorasick, MatchKind};
use serde_json::{Value, json};

use super::samples;
use crate::{
    dataset::{Dataset, Sample},
    error::{Error, Result},
    prediction::Prediction,
    run::Cell,
};

/// Shorter texts are words that anyone may say.
const SHORTEST: usize = 12;
/// Around the number of a text that a model repeated: private characters of Unicode, so that no model writes them.
const OPEN: char = '\u{f0a8e}';
const CLOSE: char = '\u{f0a8f}';

/// What is needed to conceal the cells of a split, and to reveal them: its samples.
pub struct Seal {
    key: [u8; 32],
    lines: Vec<String>,
    /// Ids of samples by the names that stand for them.
    ids: HashMap<String, String>,
    texts: Vec<String>,
    finder: AhoCorasick,
}

impl Seal {
    /// For the samples of a cell's split, with the words of all tasks of that split: an answer to one task can repeat what is
    /// right in another.
    pub fn of(cell: &Cell, dataset: &Dataset, own: &[Sample]) -> Result<Self> {
        let others = dataset.manifest().tasks().into_iter().filter(|task| *task != cell.id.task);
        let others: Vec<Vec<Sample>> =
            others.map(|task| dataset.samples(&cell.id.split, task)).collect::<Result<_>>()?;
        Self::new(own, &others.concat())
    }

    /// For the samples of a split, and others whose words shall not be seen.
    fn new(of: &[Sample], others: &[Sample]) -> Result<Self> {
        let lines = samples::lines(of)?;
        let key = blake3::derive_key("medvlm submission: samples of a split", lines.join("\n").as_bytes());
        let texts = samples::texts(of).chain(samples::texts(others)).map(str::trim);
        let texts: BTreeSet<&str> = texts.filter(|text| text.len() >= SHORTEST).collect();
        let texts: Vec<String> = texts.into_iter().map(String::from).collect();
        let finder = AhoCorasick::builder().match_kind(MatchKind::LeftmostLongest).build(&texts);
        let finder = finder.map_err(|e| Error::failed(format!("the texts of a dataset cannot be searched: {e}")))?;
        let ids = of.iter().map(|sample| (name(&key, &sample.id), sample.id.clone())).collect();
        Ok(Self { key, lines, ids, texts, finder })
    }

    /// The lines that stand for the samples.
    pub fn samples(&self) -> Vec<u8> {
        let line = |(index, line): (usize, &String)| json!({ "index": index, "digest": keyed(&self.key, line) });
        to_lines(self.lines.iter().enumerate().map(line))
    }

    /// A prediction without a word of the dataset.
    pub fn conceal(&self, prediction: &Prediction) -> Prediction {
        let mut hidden = prediction.clone();
        hidden.sample = name(&self.key, &prediction.sample);
        hidden.text = prediction.text.as_deref().map(|text| self.refer(text));
        // An error can name a file.
        hidden.error = prediction.error.as_deref().map(|error| keyed(&self.key, error));
        let digests = &mut hidden.digests;
        for digest in [&mut digests.pixels, &mut digests.prompt, &mut digests.input] {
            *digest = self.digest(digest);
        }
        hidden
    }

    /// The prediction with the words of the dataset; digests and the words of an error stay concealed. None if it names what
    /// the dataset does not have.
    pub fn reveal(&self, hidden: &Prediction) -> Option<Prediction> {
        let sample = self.ids.get(&hidden.sample)?.clone();
        let text = match &hidden.text {
            Some(text) => Some(self.fill_in(text)?),
            None => None,
        };
        Some(Prediction { sample, text, ..hidden.clone() })
    }

    /// What stands for a digest.
    pub fn digest(&self, digest: &str) -> String {
        if digest.is_empty() { String::new() } else { keyed(&self.key, digest) }
    }

    /// What stands for lines of scores or of evidence: each a digest, under the name of its scorer where it has one.
    pub fn lines(&self, bytes: &[u8]) -> Vec<u8> {
        let text = String::from_utf8_lossy(bytes);
        to_lines(text.lines().map(|line| {
            let read: BTreeMap<String, Value> = serde_json::from_str(line).unwrap_or_default();
            let digest = keyed(&self.key, line);
            match read.get("scorer") {
                Some(scorer) => json!({ "scorer": scorer, "digest": digest }),
                None => json!({ "digest": digest }),
            }
        }))
    }

    /// A text with numbers in place of what the dataset says.
    fn refer(&self, text: &str) -> String {
        let text = text.replace([OPEN, CLOSE], "\u{fffd}");
        let mut out = String::new();
        self.finder.replace_all_with(&text, &mut out, |found, _, out| {
            out.push_str(&format!("{OPEN}{}{CLOSE}", found.pattern().as_usize()));
            true
        });
        out
    }

    fn fill_in(&self, text: &str) -> Option<String> {
        let mut parts = text.split(OPEN);
        let mut out = parts.next().unwrap_or_default().to_string();
        for part in parts {
            let (number, rest) = part.split_once(CLOSE)?;
            out.push_str(self.texts.get(number.parse::<usize>().ok()?)?);
            out.push_str(rest);
        }
        Some(out)
    }
}

/// Whether a line is one that stands for a line.
pub fn is_digest(line: &str) -> bool {
    let read: BTreeMap<String, Value> = serde_json::from_str(line).unwrap_or_default();
    let known = ["index", "scorer", "digest"];
    read.get("digest").is_some_and(Value::is_string) && read.keys().all(|key| known.contains(&key.as_str()))
}

fn name(key: &[u8; 32], id: &str) -> String {
    keyed(key, &format!("id of a sample\n{id}"))
}

fn keyed(key: &[u8; 32], text: &str) -> String {
    blake3::keyed_hash(key, text.as_bytes()).to_hex()[..32].to_string()
}

fn to_lines(lines: impl Iterator<Item = Value>) -> Vec<u8> {
    lines.flat_map(|line| format!("{line}\n").into_bytes()).collect()
}

#[cfg(test)]
mod tests {
    use super::{super::samples::tests::sample, *};
    use crate::prediction::Digests;

    #[test]
    fn no_word_of_the_dataset_is_left_and_all_comes_back() {
        let samples: Vec<Sample> = (0..3).map(sample).collect();
        let seal = Seal::new(&samples[1..], &samples[..1]).expect("sealed");
        let text = "It shows a broken left rib, number 0. What does the film show? patient-000001!";
        let prediction = Prediction {
            index: 1,
            sample: samples[1].id.clone(),
            text: Some(text.into()),
            digests: Digests { pixels: "ab".into(), prompt: "cd".into(), input: String::new() },
            ..Prediction::default()
        };
        let hidden = seal.conceal(&prediction);
        let line = serde_json::to_string(&hidden).expect("JSON");
        for word in samples::texts(&samples).filter(|text| text.len() >= SHORTEST) {
            assert!(!line.contains(word), "{word} is in {line}");
        }
        assert!(line.contains("It shows ") && hidden.digests.input.is_empty());
        let shown = seal.reveal(&hidden).expect("revealed");
        assert_eq!((shown.text.as_deref(), &shown.sample), (Some(text), &samples[1].id));
        let other = Seal::new(&samples[..2], &[]).expect("sealed");
        assert_eq!(other.reveal(&hidden), None, "another split");
        assert_ne!(other.conceal(&prediction).digests, hidden.digests);
    }

    #[test]
    fn marks_in_an_answer_are_no_references() {
        let seal = Seal::new(&[sample(0)], &[]).expect("sealed");
        let sly = Prediction { text: Some(format!("{OPEN}0{CLOSE}")), sample: sample(0).id, ..Prediction::default() };
        let shown = seal.reveal(&seal.conceal(&sly)).expect("revealed");
        assert_eq!(shown.text.as_deref(), Some("\u{fffd}0\u{fffd}"));
        for broken in ["{OPEN}9999{CLOSE}", "{OPEN}x{CLOSE}", "{OPEN}"] {
            let broken = broken.replace("{OPEN}", &OPEN.to_string()).replace("{CLOSE}", &CLOSE.to_string());
            assert_eq!(seal.fill_in(&broken), None, "{broken:?}");
        }
    }

    #[test]
    fn lines_keep_the_name_of_their_scorer_alone() {
        let seal = Seal::new(&[sample(0)], &[]).expect("sealed");
        let hidden = seal.lines(b"{\"scorer\":\"rouge\",\"sample\":\"film\",\"note\":\"a rib\"}\n");
        let text = String::from_utf8(hidden).expect("text");
        assert!(text.starts_with("{\"scorer\":\"rouge\",\"digest\":\"") && !text.contains("film"), "{text}");
        assert!(text.lines().all(is_digest) && !is_digest("{\"digest\":\"a\",\"text\":\"b\"}") && !is_digest("{}"));
        assert!(String::from_utf8(seal.samples()).expect("text").lines().all(is_digest));
    }
}
