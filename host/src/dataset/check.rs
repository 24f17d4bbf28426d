//! Proves a local copy before it is used: files, counts, unreadable and duplicated images, patients across splits.

use std::collections::{BTreeMap, BTreeSet};

use rayon::prelude::*;
use serde::Serialize;

use super::{Dataset, ImageRef, Sample, files};
use crate::{error::Result, ids::Task};

/// Images that are decoded between two reports of progress.
const CHUNK: usize = 64;

/// What is in a local copy of a dataset and what is wrong with it.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct CheckReport {
    /// Missing or malformed files, and files that differ from their published checksum, one sentence each.
    pub files: Vec<String>,
    /// Files of which rows were left out because they name an image that is not there.
    pub skipped: Vec<Skipped>,
    /// Samples found and expected.
    pub counts: Vec<Count>,
    /// Number of images that the samples use.
    pub images: u64,
    /// Images that cannot be decoded, one sentence each.
    pub unreadable: Vec<String>,
    /// Images with the same pixels inside one split.
    pub duplicates_within: Vec<Duplicate>,
    /// Images with the same pixels in several splits.
    pub duplicates_across: Vec<Duplicate>,
    /// Patients that have samples in several splits, with those splits.
    pub patients_across: BTreeMap<String, Vec<String>>,
}

/// Number of samples of one split and task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Count {
    /// The split.
    pub split: String,
    /// The task.
    pub task: Task,
    /// What the manifest expects, where it says so.
    pub expected: Option<u64>,
    /// What is there; nothing where the split cannot be read.
    pub found: Option<u64>,
    /// Closed questions that the manifest expects, where it says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expected_closed: Option<u64>,
    /// Closed questions that are there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub found_closed: Option<u64>,
}

/// Rows of a file that were left out because they name an image that is not there.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Skipped {
    /// The file.
    pub file: String,
    /// Rows that were left out.
    pub rows: usize,
    /// Rows of the file.
    pub of: usize,
}

/// Images with the same decoded pixels.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Duplicate {
    /// The splits that use them.
    pub splits: Vec<String>,
    /// The images.
    pub images: Vec<String>,
}

/// Reads all splits and decodes each image once, on all cores; `progress` gets images done and in total.
///
/// # Errors
/// What is wrong with the copy is in the report; an error means that the check itself could not go on.
pub fn check(dataset: &Dataset, progress: &mut dyn FnMut(u64, u64)) -> Result<CheckReport> {
    let mut report = CheckReport { files: checksums(dataset)?, ..CheckReport::default() };
    let mut splits_of_image: BTreeMap<ImageRef, BTreeSet<String>> = BTreeMap::new();
    let mut splits_of_patient: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut skipped = BTreeSet::new();
    for (split, task) in cells(dataset) {
        if dataset.manifest().fields.skip_missing {
            skipped.extend(dataset.skipped(&split).unwrap_or_default());
        }
        let samples = dataset.samples(&split, task);
        report.counts.push(count(dataset, &split, task, samples.as_deref().ok())?);
        match samples {
            Ok(samples) => samples.into_iter().for_each(|sample| {
                for image in sample.images {
                    splits_of_image.entry(image).or_default().insert(split.clone());
                }
                if let Some(patient) = sample.patient {
                    splits_of_patient.entry(patient).or_default().insert(split.clone());
                }
            }),
            Err(e) if report.files.contains(&e.to_string()) => {}
            Err(e) => report.files.push(e.to_string()),
        }
    }
    report.skipped = skipped.into_iter().collect();
    compare_images(dataset, &splits_of_image, &mut report, progress);
    let shared = splits_of_patient.into_iter().filter(|(_, splits)| splits.len() > 1);
    report.patients_across = shared.map(|(patient, splits)| (patient, splits.into_iter().collect())).collect();
    Ok(report)
}

impl CheckReport {
    /// What keeps the copy from being the published dataset, one sentence each: files, counts, unreadable images.
    pub fn problems(&self) -> Vec<String> {
        let sentence = |split: &str, what: &str, expected: Option<u64>, found: Option<u64>| {
            let (expected, found) = expected.zip(found).filter(|(expected, found)| expected != found)?;
            Some(format!("split `{split}` has {found} {what}, expected {expected}"))
        };
        let counts = self.counts.iter().flat_map(|count| {
            let samples = sentence(&count.split, &format!("{} samples", count.task), count.expected, count.found);
            samples.into_iter().chain(sentence(
                &count.split,
                "closed questions",
                count.expected_closed,
                count.found_closed,
            ))
        });
        self.files.iter().cloned().chain(counts).chain(self.unreadable.iter().cloned()).collect()
    }

    /// What is left out, may leak from one split to another, or counts twice, one sentence each: rows without their
    /// image, duplicates and patients.
    pub fn warnings(&self) -> Vec<String> {
        let skipped = self.skipped.iter().map(ToString::to_string);
        let across = self.duplicates_across.iter().map(|Duplicate { splits, images }| {
            format!("the same image is in {}: {}", splits.join(", "), images.join(", "))
        });
        let within = self.duplicates_within.iter().map(|Duplicate { splits, images }| {
            format!("the same image is in {} {} times: {}", splits.join(", "), images.len(), images.join(", "))
        });
        let patients = self
            .patients_across
            .iter()
            .map(|(patient, splits)| format!("patient `{patient}` is in {}", splits.join(", ")));
        skipped.chain(across).chain(within).chain(patients).collect()
    }
}

impl std::fmt::Display for Skipped {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { file, rows, of } = self;
        write!(f, "{file}: {rows} of {of} rows name an image that is not there, and give no sample")
    }
}

fn cells(dataset: &Dataset) -> Vec<(String, Task)> {
    let tasks = dataset.manifest().tasks();
    let there = dataset.manifest().splits.iter().filter(|(name, split)| !split.optional || dataset.probe(name).is_ok());
    there.flat_map(|(split, _)| tasks.iter().map(move |task| (split.clone(), *task))).collect()
}

fn count(dataset: &Dataset, split: &str, task: Task, samples: Option<&[Sample]>) -> Result<Count> {
    let rules = dataset.manifest().split(split)?;
    let closed = |samples: &[Sample]| samples.iter().filter(|sample| sample.closed == Some(true)).count() as u64;
    let expected_closed = rules.closed.filter(|_| task == Task::Vqa);
    Ok(Count {
        split: split.into(),
        task,
        expected: rules.counts.get(&task).copied(),
        found: samples.map(|samples| samples.len() as u64),
        expected_closed,
        found_closed: expected_closed.and(samples).map(closed),
    })
}

fn checksums(dataset: &Dataset) -> Result<Vec<String>> {
    let mut differing = Vec::new();
    for (name, published) in &dataset.manifest().checksums {
        let path = dataset.root().join(name);
        if path.is_file() {
            differing.extend(files::verify(&path, published)?);
        }
    }
    Ok(differing)
}

fn compare_images(
    dataset: &Dataset,
    images: &BTreeMap<ImageRef, BTreeSet<String>>,
    report: &mut CheckReport,
    progress: &mut dyn FnMut(u64, u64),
) {
    let list: Vec<&ImageRef> = images.keys().collect();
    report.images = list.len() as u64;
    let mut by_pixels: BTreeMap<[u8; 32], Vec<&ImageRef>> = BTreeMap::new();
    let mut done = 0;
    for chunk in list.chunks(CHUNK) {
        let hashes: Vec<Result<blake3::Hash>> = chunk.par_iter().map(|image| hash(dataset, image)).collect();
        for (image, hash) in chunk.iter().zip(hashes) {
            match hash {
                Ok(hash) => by_pixels.entry(*hash.as_bytes()).or_default().push(image),
                Err(e) => report.unreadable.push(e.to_string()),
            }
        }
        done += chunk.len() as u64;
        progress(done, report.images);
    }
    for same in by_pixels.into_values() {
        let splits: BTreeSet<&String> = same.iter().filter_map(|image| images.get(image)).flatten().collect();
        let names: Vec<String> = same.iter().map(ToString::to_string).collect();
        let duplicate = Duplicate { splits: splits.iter().map(|split| split.to_string()).collect(), images: names };
        if splits.len() > 1 {
            report.duplicates_across.push(duplicate);
        } else if same.len() > 1 {
            report.duplicates_within.push(duplicate);
        }
    }
    report.duplicates_across.sort_by(|a, b| a.images.cmp(&b.images));
    report.duplicates_within.sort_by(|a, b| a.images.cmp(&b.images));
}

fn hash(dataset: &Dataset, image: &ImageRef) -> Result<blake3::Hash> {
    let pixels = dataset.pixels(image)?;
    let mut hasher = blake3::Hasher::new();
    hasher.update(&pixels.width.to_le_bytes()).update(&pixels.height.to_le_bytes()).update(&pixels.rgb);
    Ok(hasher.finalize())
}

#[cfg(test)]
mod tests;
