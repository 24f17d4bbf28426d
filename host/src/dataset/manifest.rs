//! The schema of `data/*.toml`: a closed vocabulary that says how the files of a dataset become samples.
//!
//! `data/README.md` explains every key to the authors of manifests.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use crate::{
    error::{Error, Result, parse_toml, suggest},
    ids::{Task, check_name, digest},
};

mod validate;
mod vocabulary;

pub use vocabulary::{
    ArrayRule, Caption, Class, Diagnosis, DicomRule, Download, Fields, Filter, Hub, Partition, PatientRule, Question,
    Rule, Split, Uncertain, Views,
};

/// Variant of the class prompts that is used when nobody names one.
pub const PUBLISHED: &str = "published";

/// Template of the questions that is used when nobody names one; a manifest without it has the raw question asked.
pub const DEFAULT: &str = "default";

/// A dataset as its TOML file describes it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// File name of the manifest without `.toml`.
    #[serde(skip)]
    pub id: String,
    /// The manifest's own file.
    #[serde(skip)]
    pub path: PathBuf,
    /// Digest of the manifest's text.
    #[serde(skip)]
    pub digest: String,
    /// One line for lists.
    pub title: String,
    /// The publication to cite.
    pub citation: String,
    /// Terms of use.
    pub licence: String,
    /// Who may have the data.
    pub access: Access,
    /// How to get a copy.
    pub obtain: String,
    /// Directory of a copy that travels with the manifest, relative to it.
    pub bundled: Option<PathBuf>,
    /// Format of the files.
    pub reader: Reader,
    /// Files of every split that names none itself, relative to the root; `*` stands for any run of characters.
    #[serde(default)]
    pub files: Vec<String>,
    /// As `files`, where only what the first that matches anything matches is read.
    #[serde(default)]
    pub any_of: Vec<String>,
    /// Published checksums by file, relative to the root.
    #[serde(default)]
    pub checksums: BTreeMap<String, Checksum>,
    /// Where a row keeps what every task needs.
    #[serde(default)]
    pub fields: Fields,
    /// Columns made from the file's own: minijinja templates by name.
    #[serde(default)]
    pub columns: BTreeMap<String, String>,
    /// Conditions on rows, all of which must hold.
    #[serde(default, rename = "where")]
    pub filters: Vec<Filter>,
    /// A row with a missing value in any column of its file gives no sample, as after pandas' `read_csv` and `dropna`.
    #[serde(default)]
    pub complete: bool,
    /// How to find the patient: the first rule that fits a row decides.
    #[serde(default, rename = "patient")]
    pub patient_rules: Vec<PatientRule>,
    /// Makes the dataset one of diagnosis.
    pub diagnosis: Option<Diagnosis>,
    /// Classes of the diagnosis, in the order of their indices.
    #[serde(default, rename = "class")]
    pub classes: Vec<Class>,
    /// Makes the dataset one of visual question answering: each row gives one sample per table.
    #[serde(default, rename = "question")]
    pub questions: Vec<Question>,
    /// Makes the dataset one of captioning.
    pub caption: Option<Caption>,
    /// How the rows are split where the publisher does not say.
    pub partition: Option<Partition>,
    /// The array of each image file, for the reader `npz-per-image`.
    pub array: Option<ArrayRule>,
    /// How DICOM files become 8-bit images.
    #[serde(default)]
    pub dicom: DicomRule,
    /// Files that anyone may download.
    #[serde(default, rename = "download")]
    pub downloads: Vec<Download>,
    /// The repository of the Hugging Face hub that holds the files.
    pub hub: Option<Hub>,
    /// Downloaded zip archives that are unpacked, with the directories that receive their members, relative to the root.
    #[serde(default)]
    pub unpack: BTreeMap<String, PathBuf>,
    /// Named forms of the question, as minijinja templates over `question`, `answer`, `options` and `closed`; the one
    /// named [`DEFAULT`] must not see the answer.
    #[serde(default)]
    pub templates: BTreeMap<String, String>,
    /// Splits by name.
    pub splits: BTreeMap<String, Split>,
    /// Scorers used when a suite names none.
    #[serde(default)]
    pub scorers: BTreeMap<Task, Vec<String>>,
}

/// Who may have the data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Access {
    /// Anyone.
    Open,
    /// People with a training certificate, as on PhysioNet; samples never leave the machine.
    Credentialed,
    /// People who signed an agreement; samples never leave the machine.
    Agreement,
}

/// Format of a dataset's files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reader {
    /// One array of objects, or an object that holds one under the split's `key`.
    Json,
    /// One object per line.
    Jsonl,
    /// Comma separated with a header; tab separated where the file ends in `.tsv`.
    Csv,
    /// Parquet with the image bytes inside (`struct<bytes, path>` as on the Hugging Face hub, or plain bytes).
    Parquet,
    /// NumPy archive of arrays `<key>_images` and `<key>_labels`, as MedMNIST has them.
    Npz,
    /// A table as of `csv`, whose image column names a NumPy archive for each image.
    NpzPerImage,
    /// Directories `<key>/<class>/<image>`.
    ImageFolder,
}

/// Checksums as a publisher gives them, in hexadecimal.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Checksum {
    /// MD5, the one that Zenodo and MedMNIST publish.
    pub md5: Option<String>,
    /// SHA-256, the one of the Hugging Face hub.
    pub sha256: Option<String>,
    /// BLAKE3.
    pub blake3: Option<String>,
}

impl Manifest {
    /// Reads and checks a manifest; its file name gives the id.
    ///
    /// Errors carry `path:line`; an unknown key names the nearest known one.
    pub fn load(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(Error::io(path))?;
        let id = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        check_name("dataset", id).map_err(|e| Error::invalid(path, e.to_string()))?;
        let mut manifest: Self = parse_toml(path, &text)?;
        manifest.id = id.into();
        manifest.path = path.into();
        manifest.digest = digest(text.as_bytes());
        manifest.validate().map_err(|message| Error::invalid(path, message))?;
        Ok(manifest)
    }

    /// The tasks that the manifest offers.
    pub fn tasks(&self) -> Vec<Task> {
        let offered = [
            (Task::Diagnosis, self.diagnosis.is_some()),
            (Task::Vqa, !self.questions.is_empty()),
            (Task::Caption, self.caption.is_some()),
        ];
        offered.into_iter().filter(|(_, there)| *there).map(|(task, _)| task).collect()
    }

    /// Whether any number of classes may apply to a sample, where else exactly one does.
    pub fn multi_label(&self) -> bool {
        self.diagnosis.as_ref().is_some_and(|rule| rule.multi_label)
    }

    /// The split of that name, or an error with the nearest name.
    pub fn split(&self, name: &str) -> Result<&Split> {
        self.splits.get(name).ok_or_else(|| {
            let hint = suggest(name, self.splits.keys().map(String::as_str));
            Error::usage(format!("dataset `{}` has no split `{name}`{hint}", self.id))
        })
    }

    /// Prompts of each class in a variant, [`PUBLISHED`] by default: `[classes][prompts]`.
    pub fn class_prompts(&self, variant: Option<&str>) -> Result<Vec<Vec<String>>> {
        let variant = variant.unwrap_or(PUBLISHED);
        if self.classes.is_empty() {
            return Err(Error::usage(format!("dataset `{}` has no classes, hence no class prompts", self.id)));
        }
        let prompts = self.classes.iter().map(|class| class.prompts.get(variant).cloned());
        prompts.collect::<Option<_>>().ok_or_else(|| {
            let known = self.classes.iter().flat_map(|class| class.prompts.keys().map(String::as_str));
            let hint = suggest(variant, known);
            Error::usage(format!("dataset `{}` has no class prompts `{variant}`{hint}", self.id))
        })
    }
}

#[cfg(test)]
mod tests;
