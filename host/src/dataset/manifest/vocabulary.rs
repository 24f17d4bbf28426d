//! The tables of a manifest.

use std::{collections::BTreeMap, path::PathBuf};

use serde::Deserialize;

use crate::ids::Task;

/// Columns that every task needs.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fields {
    /// Column with a name that is unique within a split; without it a sample is named by its file or row.
    pub id: Option<String>,
    /// Column with the image, or with its path, or with a list of paths.
    pub image: Option<String>,
    /// Directories of the image paths, relative to the root; of several the first that holds the image counts.
    #[serde(default)]
    pub image_folders: Vec<PathBuf>,
    /// How many of a row's images make its sample.
    #[serde(default)]
    pub images: Views,
    /// Rows that name an image file which is not there are left out and counted, where else they are errors.
    #[serde(default)]
    pub skip_missing: bool,
    /// Columns to compare groups by, such as sex or age group.
    #[serde(default)]
    pub groups: Vec<String>,
    /// Further columns that scorers may see, such as the kind of a question.
    #[serde(default)]
    pub meta: Vec<String>,
}

/// How many of a row's images make its sample.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Views {
    /// All, in their order.
    #[default]
    All,
    /// The first.
    First,
}

/// A condition on one column. Values compare as text without surrounding space and without regard to ASCII case;
/// a missing value is the empty text.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Filter {
    /// The column.
    pub column: String,
    /// The value is this.
    pub equals: Option<String>,
    /// The value is one of these.
    #[serde(rename = "in")]
    pub one_of: Option<Vec<String>>,
    /// The value is none of these.
    pub not: Option<Vec<String>>,
    /// The value starts with this.
    pub starts: Option<String>,
}

/// Fits a row whose column starts with `starts`; the patient is the text up to the first `until` after that.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PatientRule {
    /// The column.
    pub column: String,
    /// What the text has to start with.
    #[serde(default)]
    pub starts: String,
    /// Mark that ends the patient's name; without it the whole text is the name.
    pub until: Option<String>,
}

/// Label rule: one column for all classes, or one for each.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Diagnosis {
    /// Column whose value is one of a class's `values`, or a class index, or a list of these.
    pub label: Option<String>,
    /// Any number of classes may apply to a sample; without it exactly one does.
    #[serde(default)]
    pub multi_label: bool,
    /// Values of the classes' own columns that leave the truth open.
    #[serde(default)]
    pub uncertain_values: Vec<String>,
    /// What such a value means.
    #[serde(default)]
    pub uncertain: Uncertain,
}

/// What an uncertain label means.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Uncertain {
    /// The class does not apply.
    #[default]
    Zeros,
    /// The class applies.
    Ones,
    /// The truth of this class is unknown for the sample.
    Ignore,
}

/// One class of a diagnosis.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Class {
    /// Name in tables.
    pub name: String,
    /// Column of this class alone, where the labels have no common one.
    pub column: Option<String>,
    /// Values of the label column that mean this class; without any, the class's index does, or `1` in its own column.
    /// The empty text stands for a missing value.
    #[serde(default)]
    pub values: Vec<String>,
    /// Zero-shot prompts by variant.
    pub prompts: BTreeMap<String, Vec<String>>,
}

/// One question of a row.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Question {
    /// Ends the sample's name where a row has several questions.
    pub name: Option<String>,
    /// Column with the question; a row without one gives no sample.
    pub question: String,
    /// Column with the answer, or with a list of accepted answers; a row without one gives no sample.
    pub answer: String,
    /// Whether these questions are closed.
    pub closed: Option<bool>,
    /// Closed are the questions of the rows that meet this condition.
    pub closed_when: Option<Filter>,
    /// Columns with the options of a multiple-choice question: A, B and so on; an empty one is no option.
    #[serde(default)]
    pub options: Vec<String>,
    /// The answer is the letter of an option, where else it is its text.
    #[serde(default)]
    pub letter: bool,
}

/// Captioning.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Caption {
    /// Column with the report; a row without one gives no sample.
    pub report: String,
    /// What the model is asked.
    pub prompt: String,
}

/// One split.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Split {
    /// As the manifest's own `files`.
    #[serde(default)]
    pub files: Vec<String>,
    /// As the manifest's own `any_of`.
    #[serde(default)]
    pub any_of: Vec<String>,
    /// Directory (image-folder), array prefix (npz) or member (json) of this split; the split's name without it.
    pub key: Option<String>,
    /// Further conditions on rows.
    #[serde(default, rename = "where")]
    pub filters: Vec<Filter>,
    /// Columns made from those of this split's own files, in place of the manifest's of the same names.
    #[serde(default)]
    pub columns: BTreeMap<String, String>,
    /// Directories of this split's images: a row whose image is in none of them belongs to another split.
    #[serde(default)]
    pub image_folders: Vec<PathBuf>,
    /// Overrides `fields.images`.
    pub images: Option<Views>,
    /// Overrides `diagnosis.uncertain`.
    pub uncertain: Option<Uncertain>,
    /// The split comes from files that only some copies hold. A copy without them is complete, and columns that only
    /// groups, patients and the manifest's own conditions need may be missing from them.
    #[serde(default)]
    pub optional: bool,
    /// Expected number of samples per task.
    #[serde(default)]
    pub counts: BTreeMap<Task, u64>,
    /// Expected number of closed questions.
    pub closed: Option<u64>,
}

/// A split of the rows where the publisher gives none. It adds the column `part`, for the conditions of the splits.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Partition {
    /// How the rows are divided.
    pub rule: Rule,
    /// Column whose rows of equal value stay together: a patient, a file.
    pub unit: String,
    /// FairMedFM: column of the groups that get equal test sets. Seeded: column whose values are divided alike.
    pub group: Option<String>,
    /// Share of each part, summing to 1.
    pub parts: BTreeMap<String, f64>,
    /// Another seed, another split.
    #[serde(default)]
    pub seed: u32,
}

/// How rows are divided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rule {
    /// Parts `train` and `test` as FairMedFM makes them with scikit-learn.
    #[serde(rename = "fairmedfm")]
    FairMedFm,
    /// Parts `test` and `train` as Python's `random.Random(seed).shuffle` of the units in their order makes them: the
    /// first ones are the test part.
    Python,
    /// By the order of a seeded digest of each unit.
    Seeded,
}

/// The array that each image file of the reader `npz-per-image` holds: `(x + add) / divide * times`, cut to 8 bits.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ArrayRule {
    /// Name of the array, of shape [H, W] or [H, W, 3].
    pub key: String,
    /// First added.
    #[serde(default)]
    pub add: f64,
    /// Then divided by.
    #[serde(default = "one")]
    pub divide: f64,
    /// Then multiplied with.
    #[serde(default = "one")]
    pub times: f64,
}

/// How DICOM files become 8-bit images.
#[derive(Debug, Clone, Copy, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DicomRule {
    /// Centre and width instead of the file's own window.
    pub window: Option<(f64, f64)>,
    /// Which of the file's windows, from 0.
    #[serde(default)]
    pub window_index: usize,
    /// Which frame of a file with several, from 0.
    pub frame: Option<u32>,
}

/// A file that anyone may download.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Download {
    /// Where it goes, relative to the root; its checksum is in `checksums`.
    pub file: String,
    /// Where it is.
    pub url: String,
    /// Edge length of the images, where the dataset comes in several; the first listed is the default.
    pub size: Option<u32>,
}

/// A dataset repository of the Hugging Face hub, whose files match `files`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hub {
    /// `owner/name`.
    pub repo: String,
    /// Commit, branch or tag.
    pub revision: String,
    /// Further files, such as archives of images.
    #[serde(default)]
    pub files: Vec<String>,
}

impl Split {
    /// Whether the split names files of its own.
    pub fn has_files(&self) -> bool {
        !self.files.is_empty() || !self.any_of.is_empty()
    }
}

fn one() -> f64 {
    1.0
}
