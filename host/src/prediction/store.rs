//! `predictions.jsonl`: append-only, flushed per batch, resumable at any byte.

use std::{
    collections::BTreeMap,
    fs::{File, OpenOptions, TryLockError},
    io::{Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    time::Duration,
};

use crate::{
    error::{Error, Result},
    prediction::Prediction,
};

/// An open predictions file, locked against other processes.
pub struct Store {
    path: PathBuf,
    file: File,
    /// Bytes that hold whole lines.
    length: u64,
    done: BTreeMap<u32, Prediction>,
    ordered: bool,
}

impl Store {
    /// Opens or creates the file. A torn last line, left by a crash, is cut off.
    pub fn open(path: &Path) -> Result<Self> {
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .map_err(Error::io(path))?;
        lock(&file).map_err(|e| match e {
            TryLockError::WouldBlock => {
                Error::failed(format!("{}: another process is filling this cell; wait for it", path.display()))
            }
            TryLockError::Error(source) => Error::Io { path: path.into(), source },
        })?;
        let mut text = Vec::new();
        file.read_to_end(&mut text).map_err(Error::io(path))?;
        let length = whole_lines(&text);
        if length < text.len() {
            tracing::warn!("{}: dropped a torn last line", path.display());
            file.set_len(length as u64).map_err(Error::io(path))?;
        }
        file.seek(SeekFrom::Start(length as u64)).map_err(Error::io(path))?;
        let lines = parse(path, &text[..length])?;
        let ordered = lines.is_sorted_by_key(|p| p.index);
        let done = lines.into_iter().map(|p| (p.index, p)).collect();
        Ok(Self { path: path.into(), file, length: length as u64, done, ordered })
    }

    /// The predictions on disk, by index.
    pub fn done(&self) -> &BTreeMap<u32, Prediction> {
        &self.done
    }

    /// Appends predictions in one write. When the disk is full the file is cut back to whole lines.
    pub fn append(&mut self, predictions: Vec<Prediction>) -> Result<()> {
        let mut bytes = Vec::new();
        for prediction in &predictions {
            serde_json::to_writer(&mut bytes, prediction).map_err(|e| Error::failed(e.to_string()))?;
            bytes.push(b'\n');
        }
        if let Err(source) = self.file.write_all(&bytes) {
            // Best effort: on resume, a torn line is cut off anyway.
            let _ = self.file.set_len(self.length);
            return Err(Error::Io { path: self.path.clone(), source });
        }
        self.length += bytes.len() as u64;
        for prediction in predictions {
            let last = self.done.last_key_value().map(|(index, _)| *index);
            self.ordered &= last.is_none_or(|last| last < prediction.index);
            self.done.insert(prediction.index, prediction);
        }
        Ok(())
    }

    /// Makes the file durable, and rewrites it in the order of the samples if answers came out of order.
    pub fn finish(&mut self) -> Result<()> {
        if self.ordered {
            return self.file.sync_data().map_err(Error::io(&self.path));
        }
        let mut bytes = Vec::new();
        for prediction in self.done.values() {
            serde_json::to_writer(&mut bytes, prediction).map_err(|e| Error::failed(e.to_string()))?;
            bytes.push(b'\n');
        }
        let dir = self.path.parent().unwrap_or(Path::new("."));
        let mode = self.file.metadata().map_err(Error::io(&self.path))?.permissions();
        let mut sorted = tempfile::Builder::new().permissions(mode).tempfile_in(dir).map_err(Error::io(dir))?;
        sorted.write_all(&bytes).and_then(|()| sorted.as_file().sync_data()).map_err(Error::io(sorted.path()))?;
        self.file = sorted.persist(&self.path).map_err(|e| Error::Io { path: self.path.clone(), source: e.error })?;
        self.length = bytes.len() as u64;
        self.ordered = true;
        Ok(())
    }
}

/// The predictions of a file in the order of the samples, without locking or changing it.
pub fn read(path: &Path) -> Result<Vec<Prediction>> {
    let text = std::fs::read(path).map_err(Error::io(path))?;
    let lines = parse(path, &text[..whole_lines(&text)])?;
    let sorted: BTreeMap<u32, Prediction> = lines.into_iter().map(|p| (p.index, p)).collect();
    Ok(sorted.into_values().collect())
}

fn whole_lines(text: &[u8]) -> usize {
    text.iter().rposition(|b| *b == b'\n').map_or(0, |newline| newline + 1)
}

fn parse(path: &Path, text: &[u8]) -> Result<Vec<Prediction>> {
    text.split(|b| *b == b'\n')
        .enumerate()
        .filter(|(_, line)| !line.is_empty())
        .map(|(number, line)| {
            serde_json::from_slice(line).map_err(|e| {
                let place = format!("{}:{}", path.display(), number + 1);
                Error::invalid(
                    place,
                    format!("no prediction ({e}); delete the line to have the sample predicted again"),
                )
            })
        })
        .collect()
}

/// A child that this process has just forked holds its locks until it becomes another program, so one refusal says little.
fn lock(file: &File) -> std::result::Result<(), TryLockError> {
    for _ in 0..20 {
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => std::thread::sleep(Duration::from_millis(10)),
            outcome => return outcome,
        }
    }
    file.try_lock()
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
    fn two_processes_cannot_fill_one_file() {
        let (_dir, path) = file_of(&[0]);
        let _held = Store::open(&path).expect("opens");
        assert!(Store::open(&path).err().expect("locked").to_string().contains("another process"));
    }
}
