//! Frozen features, extracted once: an append-only file of rows by the digest of the pixels they were made from, which
//! several processes may fill.

use std::{
    collections::HashMap,
    fs::{File, OpenOptions},
    io::{self, Read, Write},
    path::{Path, PathBuf},
};

use crate::error::{Error, Result};

/// Bytes of a digest, as in predictions: 32 hexadecimal digits.
const DIGEST: usize = 32;

/// The features of one model, which the file's name identifies.
pub struct FeatureStore {
    path: PathBuf,
    file: File,
    columns: usize,
    rows: HashMap<String, Vec<f32>>,
}

impl FeatureStore {
    /// Opens or creates the file.
    pub fn open(path: &Path, columns: usize) -> Result<Self> {
        if let Some(dir) = path.parent() {
            std::fs::create_dir_all(dir).map_err(Error::io(dir))?;
        }
        let mut file = OpenOptions::new().read(true).append(true).create(true).open(path).map_err(Error::io(path))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(Error::io(path))?;
        let size = DIGEST + 4 * columns;
        let whole = bytes.len() / size * size;
        let row = |bytes: &[u8]| {
            let (digest, values) = bytes.split_at(DIGEST);
            let value = |c: &[u8]| f32::from_le_bytes([c[0], c[1], c[2], c[3]]);
            (String::from_utf8_lossy(digest).into_owned(), values.chunks_exact(4).map(value).collect())
        };
        let rows = bytes[..whole].chunks_exact(size).map(row).collect();
        Ok(Self { path: path.into(), file, columns, rows })
    }

    /// The features of an image.
    pub fn get(&self, digest: &str) -> Option<&[f32]> {
        self.rows.get(digest).map(Vec::as_slice)
    }

    /// Appends rows in one write.
    pub fn append(&mut self, rows: Vec<(String, Vec<f32>)>) -> Result<()> {
        let mut bytes = Vec::new();
        for (digest, values) in &rows {
            if digest.len() != DIGEST || values.len() != self.columns {
                return Err(Error::failed(format!(
                    "{}: features of {} columns where {} are expected",
                    self.path.display(),
                    values.len(),
                    self.columns
                )));
            }
            bytes.extend_from_slice(digest.as_bytes());
            bytes.extend(values.iter().flat_map(|v| v.to_le_bytes()));
        }
        self.file.lock().map_err(Error::io(&self.path))?;
        let written = self.cut_torn_row().and_then(|()| self.file.write_all(&bytes));
        self.file.unlock().and(written).map_err(Error::io(&self.path))?;
        self.rows.extend(rows);
        Ok(())
    }

    /// Cuts off the part of a row that a crash has left; nobody else writes meanwhile.
    fn cut_torn_row(&self) -> io::Result<()> {
        let length = self.file.metadata()?.len();
        match length % (DIGEST + 4 * self.columns) as u64 {
            0 => Ok(()),
            torn => self.file.set_len(length - torn),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_survive_a_crash_in_the_middle_of_a_row() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let path = dir.path().join("features/model");
        let name = |i: usize| format!("{i:032}");
        let mut store = FeatureStore::open(&path, 2).expect("opens");
        store.append(vec![(name(0), vec![1.0, 2.0]), (name(1), vec![3.0, -4.0])]).expect("appends");
        assert!(store.append(vec![(name(2), vec![1.0])]).is_err());
        drop(store);
        let bytes = std::fs::read(&path).expect("readable");
        std::fs::write(&path, &bytes[..bytes.len() - 3]).expect("writable");
        let mut store = FeatureStore::open(&path, 2).expect("resumes");
        assert_eq!((store.get(&name(0)), store.get(&name(1))), (Some(&[1.0, 2.0][..]), None));
        store.append(vec![(name(1), vec![3.0, -4.0])]).expect("appends");
        assert_eq!(std::fs::read(&path).expect("readable"), bytes);
    }
}
