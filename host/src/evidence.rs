//! Evidence: answers from outside the sandbox that scorers used, kept so that scoring again needs nobody's help.
//!
//! `evidence.jsonl` is append-only and flushed answer by answer; a torn last line, left by a crash, is cut off. Embeddings are
//! too large for text: their numbers lie in `evidence.f32` (little-endian), and their lines say where, with a digest.

use std::{
    collections::{BTreeMap, HashMap},
    fs::{File, OpenOptions, TryLockError},
    io::{Read, Seek, SeekFrom, Write},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{
    error::{Error, Result},
    ids::digest,
};

/// File name in a cell's directory.
pub const FILE: &str = "evidence.jsonl";
/// File name in a cell's directory.
pub const NUMBERS: &str = "evidence.f32";

/// A judge's answer.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Answer {
    /// Digest of the whole request.
    pub key: String,
    /// The model that was asked.
    pub model: String,
    /// Number of the vote.
    pub vote: u32,
    /// The model that answered, in the words of the endpoint.
    pub answered_by: String,
    /// Why the answer ended.
    pub finish: String,
    /// Tokens of the prompt, where the endpoint counts.
    pub prompt_tokens: Option<u32>,
    /// Tokens of the answer, where the endpoint counts.
    pub completion_tokens: Option<u32>,
    /// What was sent; absent where the dataset's terms keep its texts from being copied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<Value>,
    /// What was said.
    pub text: String,
}

/// Token embeddings of one text, row by row.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Embedding {
    /// Number of tokens.
    pub rows: u32,
    /// Width.
    pub columns: u32,
    /// `rows * columns` numbers.
    pub data: Vec<f32>,
}

/// Where the numbers of an embedding are.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Place {
    key: String,
    model: String,
    rows: u32,
    columns: u32,
    offset: u64,
    digest: String,
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
enum Line {
    Judge(Answer),
    Embed(Place),
}

/// The evidence of one cell, locked against other processes. It may be shared between threads.
pub struct Evidence {
    path: PathBuf,
    state: Mutex<State>,
}

struct State {
    lines: File,
    /// Bytes that hold whole lines.
    length: u64,
    numbers: Option<File>,
    answers: HashMap<String, Answer>,
    places: HashMap<String, Place>,
    /// Bytes of the numbers that lines refer to.
    end: u64,
}

impl Evidence {
    /// Opens or creates the evidence of a cell's directory.
    pub fn open(dir: &Path) -> Result<Self> {
        let path = dir.join(FILE);
        let mut lines = open(&path)?;
        lines.try_lock().map_err(|e| match e {
            TryLockError::WouldBlock => {
                Error::failed(format!("{}: another process is scoring this cell; wait for it", path.display()))
            }
            TryLockError::Error(source) => Error::Io { path: path.clone(), source },
        })?;
        let mut text = Vec::new();
        lines.read_to_end(&mut text).map_err(Error::io(&path))?;
        let length = text.iter().rposition(|b| *b == b'\n').map_or(0, |newline| newline + 1);
        lines.set_len(length as u64).map_err(Error::io(&path))?;
        lines.seek(SeekFrom::Start(length as u64)).map_err(Error::io(&path))?;
        let (mut answers, mut places, mut end) = (HashMap::new(), HashMap::new(), 0);
        for (number, line) in text[..length].split(|b| *b == b'\n').enumerate().filter(|(_, line)| !line.is_empty()) {
            let line = serde_json::from_slice(line).map_err(|e| {
                let place = format!("{}:{}", path.display(), number + 1);
                Error::invalid(place, format!("no evidence ({e}); delete the line to have it asked for again"))
            })?;
            match line {
                Line::Judge(answer) => drop(answers.insert(answer.key.clone(), answer)),
                Line::Embed(place) => {
                    end = end.max(place.offset + place.bytes());
                    places.insert(place.key.clone(), place);
                }
            }
        }
        let state = State { lines, length: length as u64, numbers: None, answers, places, end };
        Ok(Self { path, state: Mutex::new(state) })
    }

    /// The answer to a request, where one is recorded.
    pub fn answer(&self, key: &str) -> Option<Answer> {
        self.state().answers.get(key).cloned()
    }

    /// Records an answer, unless the request has one.
    pub fn record_answer(&self, answer: Answer) -> Result<()> {
        let mut state = self.state();
        if !state.answers.contains_key(&answer.key) {
            state.append(&self.path, &Line::Judge(answer.clone()))?;
            state.answers.insert(answer.key.clone(), answer);
        }
        Ok(())
    }

    /// The embedding of a text, where one is recorded.
    pub fn embedding(&self, key: &str) -> Result<Option<Embedding>> {
        let mut state = self.state();
        let Some(place) = state.places.get(key).cloned() else { return Ok(None) };
        let path = self.path.with_file_name(NUMBERS);
        let mut bytes = vec![0; place.bytes() as usize];
        state.numbers(&path)?.read_exact_at(&mut bytes, place.offset).map_err(Error::io(&path))?;
        if digest(&bytes) != place.digest {
            return Err(Error::invalid(path, format!("the embedding {key} is not what was recorded")));
        }
        let number = |b: &[u8]| f32::from_le_bytes([b[0], b[1], b[2], b[3]]);
        let data = bytes.chunks_exact(4).map(number).collect();
        Ok(Some(Embedding { rows: place.rows, columns: place.columns, data }))
    }

    /// Records an embedding by `model`, unless the text has one. The numbers are there before the line that names them.
    pub fn record_embedding(&self, key: &str, model: &str, embedding: &Embedding) -> Result<()> {
        let mut state = self.state();
        if state.places.contains_key(key) {
            return Ok(());
        }
        let bytes: Vec<u8> = embedding.data.iter().flat_map(|number| number.to_le_bytes()).collect();
        let place = Place {
            key: key.into(),
            model: model.into(),
            rows: embedding.rows,
            columns: embedding.columns,
            offset: state.end,
            digest: digest(&bytes),
        };
        let path = self.path.with_file_name(NUMBERS);
        let end = state.end;
        state.numbers(&path)?.write_all_at(&bytes, end).map_err(Error::io(&path))?;
        state.append(&self.path, &Line::Embed(place.clone()))?;
        state.end += bytes.len() as u64;
        state.places.insert(place.key.clone(), place);
        Ok(())
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Appends a line in one write. When the disk is full the file is cut back to whole lines.
    fn append(&mut self, path: &Path, line: &Line) -> Result<()> {
        let mut bytes = serde_json::to_vec(line).map_err(|e| Error::failed(e.to_string()))?;
        bytes.push(b'\n');
        if let Err(source) = self.lines.write_all(&bytes) {
            // Best effort: when the file is opened again, a torn line is cut off anyway.
            let _ = self.lines.set_len(self.length);
            return Err(Error::Io { path: path.into(), source });
        }
        self.length += bytes.len() as u64;
        Ok(())
    }

    fn numbers(&mut self, path: &Path) -> Result<&File> {
        match &mut self.numbers {
            Some(file) => Ok(file),
            none => Ok(none.insert(open(path)?)),
        }
    }
}

impl Place {
    fn bytes(&self) -> u64 {
        (4 * u64::from(self.rows)).saturating_mul(u64::from(self.columns))
    }
}

/// Digest of the recorded evidence of a cell's directory, in whatever order it came; none where there is none.
pub fn fingerprint(dir: &Path) -> Result<Option<String>> {
    let path = dir.join(FILE);
    match std::fs::read(&path) {
        Ok(bytes) => {
            let mut lines: Vec<&[u8]> = bytes.split(|b| *b == b'\n').collect();
            lines.sort_unstable();
            Ok(Some(digest(&lines.join(&b'\n'))))
        }
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(Error::Io { path, source }),
    }
}

/// Joins the evidence of several directories in `out`, in the order of its keys, so that the outcome does not depend on
/// theirs. Of several answers to one request, which a judge may give, the first by its text stays.
pub fn merge(dirs: &[PathBuf], out: &Path) -> Result<()> {
    let (mut answers, mut embeddings) = (BTreeMap::new(), BTreeMap::new());
    for dir in dirs.iter().filter(|dir| dir.join(FILE).exists()) {
        let evidence = Evidence::open(dir)?;
        let (of_dir, places) = {
            let state = evidence.state();
            (state.answers.clone(), state.places.clone())
        };
        for (key, answer) in of_dir {
            let text = |answer: &Answer| serde_json::to_string(answer).unwrap_or_default();
            match answers.get(&key) {
                Some(known) if text(known) <= text(&answer) => {}
                _ => drop(answers.insert(key, answer)),
            }
        }
        for (key, place) in places {
            if let Some(embedding) = evidence.embedding(&key)? {
                embeddings.entry(key).or_insert((place.model, embedding));
            }
        }
    }
    if answers.is_empty() && embeddings.is_empty() {
        return Ok(());
    }
    let fresh = tempfile::tempdir_in(out).map_err(Error::io(out))?;
    let evidence = Evidence::open(fresh.path())?;
    answers.into_values().try_for_each(|answer| evidence.record_answer(answer))?;
    for (key, (model, embedding)) in &embeddings {
        evidence.record_embedding(key, model, embedding)?;
    }
    drop(evidence);
    // The numbers first: a line never names numbers that are not there.
    for name in [NUMBERS, FILE] {
        let (from, to) = (fresh.path().join(name), out.join(name));
        if from.exists() {
            std::fs::rename(&from, &to).map_err(Error::io(&to))?;
        }
    }
    Ok(())
}

/// What is wrong with evidence that came from elsewhere and is yet to be opened: lines that are none, numbers that are not
/// there, requests that are not what their key says.
pub fn check(dir: &Path) -> Result<Option<String>> {
    let numbers = std::fs::metadata(dir.join(NUMBERS)).map_or(0, |file| file.len());
    let path = dir.join(FILE);
    let text = match std::fs::read(&path) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        text => text.map_err(Error::io(&path))?,
    };
    if text.last().is_some_and(|last| *last != b'\n') {
        return Ok(Some(format!("the last line of {FILE} is torn")));
    }
    for (number, line) in text.split(|b| *b == b'\n').enumerate().filter(|(_, line)| !line.is_empty()) {
        let what = match serde_json::from_slice(line) {
            Ok(Line::Judge(answer)) => match &answer.request {
                Some(request) if digest(json!([request, answer.vote]).to_string().as_bytes()) != answer.key => {
                    "the request is not the one of its key"
                }
                Some(_) => continue,
                None => "the request is missing",
            },
            Ok(Line::Embed(place)) => match place.offset.checked_add(place.bytes()) {
                Some(end) if end <= numbers => continue,
                _ => "its numbers are not there",
            },
            Err(_) => "is no evidence",
        };
        return Ok(Some(format!("{FILE} line {}: {what}", number + 1)));
    }
    Ok(None)
}

fn open(path: &Path) -> Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path).map_err(Error::io(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(key: &str) -> Answer {
        Answer { key: key.into(), text: format!("said {key}"), ..Answer::default() }
    }

    fn embedding(first: f32) -> Embedding {
        Embedding { rows: 2, columns: 2, data: vec![first, -1.5, f32::MIN_POSITIVE, 0.1] }
    }

    #[test]
    fn a_file_cut_at_any_byte_keeps_every_whole_line() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let evidence = Evidence::open(dir.path()).expect("opens");
        for key in ["a", "b"] {
            evidence.record_answer(answer(key)).expect("recorded");
            evidence.record_embedding(&format!("e{key}"), "bert", &embedding(0.25)).expect("recorded");
        }
        drop(evidence);
        let path = dir.path().join(FILE);
        let whole = std::fs::read(&path).expect("readable");
        let numbers = std::fs::read(dir.path().join(NUMBERS)).expect("readable");
        for cut in 0..=whole.len() {
            std::fs::write(&path, &whole[..cut]).expect("writable");
            std::fs::write(dir.path().join(NUMBERS), &numbers).expect("writable");
            let evidence = Evidence::open(dir.path()).expect("resumes");
            let lines = whole[..cut].iter().filter(|b| **b == b'\n').count();
            let known = [evidence.answer("a").is_some(), evidence.answer("b").is_some()];
            assert_eq!(known, [lines >= 1, lines >= 3], "cut at byte {cut}");
            evidence.record_answer(answer("c")).expect("recorded");
            evidence.record_embedding("ec", "bert", &embedding(7.0)).expect("recorded");
            assert_eq!(evidence.embedding("ec").expect("readable"), Some(embedding(7.0)));
            assert_eq!(evidence.embedding("ea").expect("readable"), (lines >= 2).then(|| embedding(0.25)));
        }
    }

    #[test]
    fn what_is_recorded_stays_as_it_was_first_said() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let evidence = Evidence::open(dir.path()).expect("opens");
        evidence.record_answer(answer("a")).expect("recorded");
        evidence.record_answer(Answer { text: "changed its mind".into(), ..answer("a") }).expect("ignored");
        assert_eq!(evidence.answer("a"), Some(answer("a")));
        assert_eq!(std::fs::read_to_string(dir.path().join(FILE)).expect("readable").lines().count(), 1);
        let error = Evidence::open(dir.path()).err().expect("locked").to_string();
        assert!(error.ends_with("another process is scoring this cell; wait for it"), "{error}");
    }

    #[test]
    fn a_damaged_embedding_or_line_is_named() {
        let dir = tempfile::tempdir().expect("temporary directory");
        Evidence::open(dir.path()).and_then(|e| e.record_embedding("e", "bert", &embedding(1.0))).expect("recorded");
        std::fs::write(dir.path().join(NUMBERS), [7u8; 16]).expect("writable");
        let evidence = Evidence::open(dir.path()).expect("opens");
        assert!(evidence.embedding("e").expect_err("damaged").to_string().ends_with("is not what was recorded"));
        drop(evidence);
        std::fs::write(dir.path().join(FILE), "{}\n").expect("writable");
        let error = Evidence::open(dir.path()).err().expect("refused").to_string();
        assert!(error.contains("evidence.jsonl:1: no evidence"), "{error}");
    }
}
