//! Run directories of one suite, filled on several machines, to one.
//!
//! The outcome depends neither on the order of the directories nor on how often they are merged.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use crate::{
    config::Suite,
    error::{Error, Result},
    evidence,
    ids::CellId,
    prediction::{self, Prediction},
    run::{RunRecord, adapt, lease::Leases, predict, record, write_atomically},
};

/// Predictions of a cell after merging.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Merged {
    /// The cell.
    pub cell: CellId,
    /// Its predictions.
    pub predictions: usize,
}

/// Merges run directories into `out`, which counts as one of them where it exists already.
///
/// # Errors
/// The directories are of different suites, models or datasets, or two of them hold different answers for one sample.
pub fn merge(runs: &[PathBuf], out: &Path) -> Result<Vec<Merged>> {
    let mut runs: Vec<PathBuf> = runs.to_vec();
    if out.join(record::FILE).exists() && !runs.iter().any(|run| run == out) {
        runs.push(out.into());
    }
    let _alone = Leases::new(out).wait("run")?;
    let record = records(&runs)?;
    let mut merged = Vec::new();
    for cell in record.cells.keys() {
        let id: CellId = cell.parse()?;
        let dirs: Vec<PathBuf> = runs.iter().map(|run| run.join(cell)).filter(|dir| dir.is_dir()).collect();
        let predictions = predictions(&id, &dirs)?;
        if predictions.is_empty() {
            continue;
        }
        let dir = out.join(cell);
        let mut text = Vec::new();
        for prediction in predictions.values() {
            serde_json::to_writer(&mut text, prediction).map_err(|e| Error::failed(e.to_string()))?;
            text.push(b'\n');
        }
        write_atomically(&dir.join(predict::FILE), &text)?;
        evidence::merge(&dirs, &dir)?;
        adapter(&id, &dirs, &dir)?;
        merged.push(Merged { cell: id, predictions: predictions.len() });
    }
    record.save(out)?;
    Ok(merged)
}

/// The one record that all of them amount to.
fn records(runs: &[PathBuf]) -> Result<RunRecord> {
    let mut records = Vec::new();
    for run in runs {
        records.push((RunRecord::read(run)?, run));
    }
    // Which comes first must not depend on how they were named.
    records.sort_by_cached_key(|(record, _)| serde_json::to_string(record).unwrap_or_default());
    let mut records = records.into_iter();
    let (mut all, first) = records.next().ok_or_else(|| Error::usage("name the run directories to merge"))?;
    for (record, run) in records {
        if anywhere(&record.suite) != anywhere(&all.suite) {
            let (first, run) = (first.display(), run.display());
            return Err(Error::usage(format!("{first} and {run} are runs of different suites")));
        }
        for (cell, fingerprint) in record.cells {
            match all.cells.get(&cell) {
                Some(known) if *known != fingerprint => {
                    let changed = record::changed(known, &fingerprint).join(", ");
                    let (first, run) = (first.display(), run.display());
                    return Err(Error::usage(format!(
                        "{cell} was predicted from other inputs in {run} than in {first} (different: {changed})"
                    )));
                }
                _ => drop(all.cells.insert(cell, fingerprint)),
            }
        }
        all.scorers.extend(record.scorers);
        for (key, value) in record.environment {
            let known = all.environment.entry(key).or_default();
            let values: BTreeSet<&str> = known.split(", ").chain(value.split(", ")).filter(|v| !v.is_empty()).collect();
            *known = values.into_iter().collect::<Vec<_>>().join(", ");
        }
    }
    Ok(all)
}

/// A suite without the paths of one machine.
fn anywhere(suite: &Suite) -> Suite {
    let mut suite = Suite { weights: BTreeMap::new(), published: None, ..suite.clone() };
    suite.datasets.iter_mut().for_each(|dataset| dataset.root = None);
    suite
}

/// The predictions of a cell by sample. An answer counts more than a failure, which another machine may not have met.
fn predictions(cell: &CellId, dirs: &[PathBuf]) -> Result<BTreeMap<u32, Prediction>> {
    let mut all: BTreeMap<u32, Prediction> = BTreeMap::new();
    for dir in dirs {
        let file = dir.join(predict::FILE);
        for prediction in if file.exists() { prediction::read(&file)? } else { Vec::new() } {
            match all.get(&prediction.index) {
                Some(known) if !known.failed() && !prediction.failed() && *known != prediction => {
                    return Err(Error::usage(format!(
                        "{cell}: sample `{}` was answered differently in {}; which answer counts is for you to say: delete the \
                         other line",
                        prediction.sample,
                        dir.display()
                    )));
                }
                Some(known) if !known.failed() => {}
                Some(known) if prediction.failed() && known.error <= prediction.error => {}
                _ => drop(all.insert(prediction.index, prediction)),
            }
        }
    }
    Ok(all)
}

/// Copies the adapter that the predictions were made with.
fn adapter(cell: &CellId, dirs: &[PathBuf], out: &Path) -> Result<()> {
    let mut kept: Option<(BTreeMap<String, Vec<u8>>, &Path)> = None;
    for dir in dirs.iter().filter(|dir| dir.join(adapt::DIR).is_dir()) {
        let mut files = BTreeMap::new();
        let from = dir.join(adapt::DIR);
        for entry in fs::read_dir(&from).map_err(Error::io(&from))?.flatten() {
            let bytes = fs::read(entry.path()).map_err(Error::io(entry.path()))?;
            files.insert(entry.file_name().to_string_lossy().into_owned(), bytes);
        }
        match &kept {
            Some((known, first)) if *known != files => {
                return Err(Error::usage(format!(
                    "{cell} has different adapters in {} and {}: train it once, and give it to the other machines with --adapter",
                    first.display(),
                    dir.display()
                )));
            }
            _ => kept = Some((files, dir)),
        }
    }
    for (name, bytes) in kept.into_iter().flat_map(|(files, _)| files) {
        write_atomically(&out.join(adapt::DIR).join(name), &bytes)?;
    }
    Ok(())
}
