//! Datasets: a manifest says how files become samples, a [`Dataset`] is one local copy of them.
//!
//! ```text
//! data/*.toml ─► Catalog ─► Manifest ─┐
//!                  directory (root) ──┴─► Dataset ─► samples (metadata) ─► pixels (decoded when asked for)
//! ```

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use serde::Serialize;

use crate::{
    error::{Error, Result},
    ids::Task,
};

mod catalog;
mod check;
mod columns;
mod fetch;
mod files;
mod image;
mod manifest;
mod partition;
mod prompt;
mod reader;
mod root;
mod rows;

#[cfg(test)]
mod layouts;
#[cfg(test)]
mod real_data;

pub use catalog::Catalog;
pub use check::{CheckReport, Count, Skipped, check};
pub use fetch::{HubAccess, fetch};
pub use image::{Look, Looks, MAX_SIGNS, Pixels, Signs, decode_image};
pub use manifest::{
    Access, ArrayRule, Caption, Checksum, Class, DEFAULT, Diagnosis, DicomRule, Download, Fields, Filter, Hub,
    Manifest, PUBLISHED, Partition, PatientRule, Question, Reader, Rule, Split, Uncertain, Views,
};
pub use reader::ImageRef;
pub use root::for_download;

/// One unit of work for a model, without its pixels.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// Position in the split and task, from 0.
    pub index: u32,
    /// Name, unique within split and task.
    pub id: String,
    /// The images, at least one.
    pub images: Vec<ImageRef>,
    /// The raw question (vqa), or what is asked for a report (caption).
    pub question: Option<String>,
    /// The question as a model is asked it, in the form of a template.
    pub prompt: Option<String>,
    /// Whether a question is closed, where the dataset tells.
    pub closed: Option<bool>,
    /// Options of a multiple-choice question, in order.
    pub options: Vec<Choice>,
    /// What is right.
    pub target: Target,
    /// Indices of the classes whose truth is unknown for this sample; scores must leave them out.
    pub unknown: Vec<u32>,
    /// The patient, where the dataset tells.
    pub patient: Option<String>,
    /// Values of the manifest's group columns; a missing value has no entry.
    pub groups: BTreeMap<String, String>,
    /// Values of the manifest's further columns for scorers; a missing value has no entry.
    pub meta: BTreeMap<String, String>,
}

/// An option of a multiple-choice question.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Choice {
    /// `A` for the manifest's first option, and so on.
    pub letter: String,
    /// What it says.
    pub text: String,
}

/// What is right for a sample.
#[derive(Debug, Clone, PartialEq)]
pub enum Target {
    /// Indices of the classes that apply, ascending: one, or any number where the labels are multi-label.
    Labels(Vec<u32>),
    /// Accepted answers, or one report; for a multiple-choice question the letter of the right option, then its text.
    Answers(Vec<String>),
}

/// One local copy of a dataset. It may be shared between threads.
#[derive(Debug)]
pub struct Dataset {
    manifest: Manifest,
    root: PathBuf,
    images: reader::Images,
}

impl Dataset {
    /// Opens the copy in `root`, else the one bundled with the manifest, else `$MEDVLM_DATA/<id>`.
    ///
    /// # Errors
    /// Without a copy, how to obtain one and how to name its directory; for a directory that holds no split,
    /// the files that are missing.
    pub fn open(manifest: &Manifest, root: Option<&Path>) -> Result<Self> {
        let root = root::locate(manifest, root)?;
        let dataset = Self { manifest: manifest.clone(), root, images: reader::Images::new(manifest) };
        let found: Vec<Result<()>> = manifest.splits.keys().map(|split| dataset.probe(split)).collect();
        match found.into_iter().reduce(Result::or) {
            Some(Err(missing)) => Err(missing),
            _ => Ok(dataset),
        }
    }

    /// The manifest.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The directory of this copy.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The samples of a split for a task, always in the same order: metadata only, images are not opened.
    ///
    /// # Errors
    /// An unknown split or a task that the dataset does not offer; a missing or malformed file; a column that the
    /// manifest names and the file lacks; a label that is no class; two samples with one name.
    pub fn samples(&self, split: &str, task: Task) -> Result<Vec<Sample>> {
        let tasks = self.manifest.tasks();
        if !tasks.contains(&task) {
            let known = tasks.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            return Err(Error::usage(format!("dataset `{}` has no task `{task}` (it has: {known})", self.manifest.id)));
        }
        let tables = self.tables(split)?;
        skipped(&tables).for_each(|skipped| tracing::info!("{skipped}"));
        rows::samples(&self.manifest, split, task, &tables)
    }

    /// Decodes one image to 8-bit RGB, as Pillow's `Image.open(f).convert("RGB")` does.
    ///
    /// # Errors
    /// As [`decode_image`], or the file is missing.
    pub fn pixels(&self, image: &ImageRef) -> Result<Pixels> {
        self.images.pixels(image)
    }

    /// Digest over names and contents of the files that the split uses; a missing image counts as missing.
    pub fn fingerprint(&self, split: &str) -> Result<String> {
        let mut data = self.data_files(split)?;
        data.extend(partition::user_file(&self.manifest, &self.root));
        let rules = self.manifest.split(split)?;
        let mut tables = self.tables(split)?;
        tables.iter_mut().for_each(|table| table.rows.retain(|row| rows::accepts(&self.manifest, rules, row)));
        files::fingerprint(&self.root, &data, &tables)
    }

    /// Prompts of each class, `[classes][prompts]`, in a variant of the manifest ([`PUBLISHED`] by default).
    pub fn class_prompts(&self, variant: Option<&str>) -> Result<Vec<Vec<String>>> {
        self.manifest.class_prompts(variant)
    }

    /// The samples of a split for a task, with questions in a template of the manifest; without one in its template
    /// [`DEFAULT`], or raw where it has none.
    ///
    /// # Errors
    /// As [`Dataset::samples`]; a template that the manifest lacks.
    pub fn prompted(&self, split: &str, task: Task, template: Option<&str>) -> Result<Vec<Sample>> {
        let mut samples = self.samples(split, task)?;
        prompt::fill(&self.manifest, task, &mut samples, template)?;
        Ok(samples)
    }

    /// The files of a split of which rows were left out because they name an image that is not there.
    pub fn skipped(&self, split: &str) -> Result<Vec<Skipped>> {
        Ok(skipped(&self.tables(split)?).collect())
    }

    fn tables(&self, split: &str) -> Result<Vec<reader::Table>> {
        reader::read(&self.manifest, &self.root, split, &self.data_files(split)?)
    }

    fn data_files(&self, split: &str) -> Result<Vec<PathBuf>> {
        files::of_split(&self.manifest, &self.root, split)
    }

    fn probe(&self, split: &str) -> Result<()> {
        self.data_files(split).map(|_| ())
    }
}

fn skipped(tables: &[reader::Table]) -> impl Iterator<Item = Skipped> {
    tables.iter().filter(|table| table.skipped > 0).map(|table| Skipped {
        file: table.file.display().to_string(),
        rows: table.skipped,
        of: table.rows.len() + table.skipped,
    })
}
