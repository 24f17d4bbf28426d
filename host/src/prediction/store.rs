//! `predictions.jsonl`: append-only, flushed per batch, resumable at any byte.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use crate::{
    error::{Error, Result},
    lock,
    prediction::Prediction,
};

/// An open predictions file. Several processes may fill one: each append is locked, and first takes in what the others
/// have appended.
pub struct Store {
    path: PathBuf,
    file: File,
    /// Bytes that are known to hold whole lines.
    length: u64,
    done: BTreeMap<u32, Prediction>,
    ordered: bool,
}

impl Store {
    /// Opens or creates the file. A torn last line, left by a crash, is cut off.
    pub fn open(path: &Path) -> Result<Self> {
        let file = lock::open(path)?;
        let mut store = Self { path: path.into(), file, length: 0, done: BTreeMap::new(), ordered: true };
        store.refresh()?;
        Ok(store)
    }

    /// The predictions that were on disk when last looked, by index.
    pub fn done(&self) -> &BTreeMap<u32, Prediction> {
        &self.done
    }

    /// Takes in what other processes have appended.
    pub fn refresh(&mut self) -> Result<()> {
        self.locked(|_| Ok(()))
    }

    /// Appends, in one write, those predictions that no other process has appended meanwhile. When the disk is full the
    /// file is cut back to whole lines.
    pub fn append(&mut self, predictions: Vec<Prediction>) -> Result<()> {
        self.locked(|store| {
            let mut bytes = Vec::new();
            let is_new = |prediction: &Prediction| !store.done.contains_key(&prediction.index);
            let new: Vec<Prediction> = predictions.into_iter().filter(is_new).collect();
            for prediction in &new {
                serde_json::to_writer(&mut bytes, prediction).map_err(|e| Error::failed(e.to_string()))?;
                bytes.push(b'\n');
            }
            if let Err(source) = store.file.write_all(&bytes) {
                // Best effort: a torn line is cut off anyway before the next one is appended.
                let _ = store.file.set_len(store.length);
                return Err(Error::Io { path: store.path.clone(), source });
            }
            store.length += bytes.len() as u64;
            new.into_iter().for_each(|prediction| store.keep(prediction));
            Ok(())
        })
    }

    /// Makes the file durable, and rewrites it in the order of the samples if answers came out of order.
    pub fn finish(&mut self) -> Result<()> {
        self.locked(|store| {
            if store.ordered {
                return store.file.sync_data().map_err(Error::io(&store.path));
            }
            let mut bytes = Vec::new();
            for prediction in store.done.values() {
                serde_json::to_writer(&mut bytes, prediction).map_err(|e| Error::failed(e.to_string()))?;
                bytes.push(b'\n');
            }
            let dir = store.path.parent().unwrap_or(Path::new("."));
            let mode = store.file.metadata().map_err(Error::io(&store.path))?.permissions();
            let mut sorted = tempfile::Builder::new().permissions(mode).tempfile_in(dir).map_err(Error::io(dir))?;
            sorted.write_all(&bytes).and_then(|()| sorted.as_file().sync_data()).map_err(Error::io(sorted.path()))?;
            sorted.persist(&store.path).map_err(|e| Error::Io { path: store.path.clone(), source: e.error })?;
            Ok(())
        })
    }

    /// Does something while no other process reads or writes the file, once what the others wrote is taken in.
    fn locked<T>(&mut self, work: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        let lock = |file: &File, path: &Path| file.lock().map_err(Error::io(path));
        lock(&self.file, &self.path)?;
        // Another process may have put the file in order and so replaced it.
        while !lock::is_current(&self.file, &self.path) {
            self.file = lock::open(&self.path)?;
            lock(&self.file, &self.path)?;
            (self.length, self.ordered) = (0, true);
            self.done.clear();
        }
        let done = self.take_in().and_then(|()| work(self));
        self.file.unlock().map_err(Error::io(&self.path))?;
        done
    }

    /// Reads what was appended since the last time. Nobody writes now, so half a line is what a crash has left.
    fn take_in(&mut self) -> Result<()> {
        let mut text = Vec::new();
        self.file.seek(SeekFrom::Start(self.length)).map_err(Error::io(&self.path))?;
        self.file.read_to_end(&mut text).map_err(Error::io(&self.path))?;
        let whole = whole_lines(&text);
        let end = self.length + whole as u64;
        if whole < text.len() {
            tracing::warn!("{}: dropped a torn last line", self.path.display());
            self.file.set_len(end).map_err(Error::io(&self.path))?;
            self.file.seek(SeekFrom::Start(end)).map_err(Error::io(&self.path))?;
        }
        let before = if self.length == 0 { 0 } else { self.done.len() };
        parse(&self.path, &text[..whole], before)?.into_iter().for_each(|prediction| self.keep(prediction));
        self.length = end;
        Ok(())
    }

    fn keep(&mut self, prediction: Prediction) {
        let last = self.done.last_key_value().map(|(index, _)| *index);
        self.ordered &= last.is_none_or(|last| last < prediction.index);
        self.done.insert(prediction.index, prediction);
    }
}

/// The predictions of a file in the order of the samples, without locking or changing it.
pub fn read(path: &Path) -> Result<Vec<Prediction>> {
    let text = std::fs::read(path).map_err(Error::io(path))?;
    let lines = parse(path, &text[..whole_lines(&text)], 0)?;
    let sorted: BTreeMap<u32, Prediction> = lines.into_iter().map(|p| (p.index, p)).collect();
    Ok(sorted.into_values().collect())
}

fn whole_lines(text: &[u8]) -> usize {
    text.iter().rposition(|b| *b == b'\n').map_or(0, |newline| newline + 1)
}

/// The predictions of lines that come after so many others.
fn parse(path: &Path, text: &[u8], before: usize) -> Result<Vec<Prediction>> {
    text.split(|b| *b == b'\n')
        .enumerate()
        .filter(|(_, line)| !line.is_empty())
        .map(|(number, line)| {
            serde_json::from_slice(line).map_err(|e| {
                let place = format!("{}:{}", path.display(), before + number + 1);
                Error::invalid(
                    place,
                    format!("no prediction ({e}); delete the line to have the sample predicted again"),
                )
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prediction(index: u32) -> Prediction {
        Prediction { index, sample: format!("s{index}"), logits: vec![0.1, -2.5], ..Default::default() }
    }

    fn file_of(indices: &[u32]) -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().expect("temporary directory");
        let path = dir.path().join("predictions.jsonl");
        let mut store = Store::open(&path).expect("opens");
        for index in indices {
            store.append(vec![prediction(*index)]).expect("appends");
        }
        store.finish().expect("finishes");
        (dir, path)
    }

    #[test]
    fn a_file_cut_at_any_byte_keeps_every_whole_line_and_ends_with_the_same_bytes() {
        let (_dir, path) = file_of(&[0, 1, 2]);
        let whole = std::fs::read(&path).expect("readable");
        for cut in 0..=whole.len() {
            std::fs::write(&path, &whole[..cut]).expect("writable");
            let mut store = Store::open(&path).expect("resumes");
            assert_eq!(store.done().len(), whole[..cut].iter().filter(|b| **b == b'\n').count());
            let missing = (0..3).filter(|i| !store.done().contains_key(i)).map(prediction).collect();
            store.append(missing).expect("appends");
            store.finish().expect("finishes");
            drop(store);
            assert_eq!(std::fs::read(&path).expect("readable"), whole, "cut at byte {cut}");
        }
    }

    #[test]
    fn answers_out_of_order_end_in_the_order_of_the_samples() {
        let (_a, sorted) = file_of(&[0, 1, 2]);
        let (_b, shuffled) = file_of(&[2, 0, 1]);
        assert_eq!(std::fs::read(sorted).expect("readable"), std::fs::read(shuffled).expect("readable"));
    }

    #[test]
    fn a_broken_line_in_the_middle_is_an_error_with_its_number() {
        let (_dir, path) = file_of(&[0, 1]);
        let text = std::fs::read_to_string(&path).expect("readable").replacen("\"sample\"", "\"simple\"", 1);
        std::fs::write(&path, text).expect("writable");
        let error = Store::open(&path).err().expect("refused").to_string();
        assert!(error.contains("predictions.jsonl:1: no prediction"), "{error}");
    }

    #[test]
    fn several_processes_fill_one_file_without_a_line_twice() {
        let (_dir, path) = file_of(&[0, 1, 2, 3, 4, 5]);
        let whole = std::fs::read(&path).expect("readable");
        std::fs::remove_file(&path).expect("removed");
        let mut stores: Vec<Store> = (0..3).map(|_| Store::open(&path).expect("opens")).collect();
        stores[0].append(vec![prediction(5), prediction(2)]).expect("appends");
        stores[1].append(vec![prediction(2), prediction(0)]).expect("appends");
        // A crash in the middle of a line, as of a fourth process.
        let torn = [std::fs::read(&path).expect("readable"), b"{\"index\": 3".to_vec()].concat();
        std::fs::write(&path, torn).expect("writable");
        stores[2].append(vec![prediction(1), prediction(4)]).expect("appends");
        stores[2].finish().expect("puts in order");
        stores[0].append((0..6).map(prediction).collect()).expect("appends to the ordered file");
        stores[1].refresh().expect("reads");
        assert!(stores.iter_mut().all(|store| store.refresh().is_ok() && store.done().len() == 6));
        stores[1].finish().expect("puts in order");
        assert_eq!(std::fs::read(&path).expect("readable"), whole);
    }
}
