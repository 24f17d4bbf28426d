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

/// Variant of the class prompts that is used when nobody names one.
pub const PUBLISHED: &str = "published";

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
    /// As `files`, where the first that exists is the only one read.
    #[serde(default)]
    pub any_of: Vec<String>,
    /// Published checksums by file, relative to the root.
    #[serde(default)]
    pub checksums: BTreeMap<String, Checksum>,
    /// Where a row keeps what every task needs.
    #[serde(default)]
    pub fields: Fields,
    /// Conditions on rows, all of which must hold.
    #[serde(default, rename = "where")]
    pub filters: Vec<Filter>,
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
    /// Named forms of the question, as minijinja templates over `question`, `answer`, `options` and `closed`.
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
    /// Directories `<key>/<class>/<image>`.
    ImageFolder,
}

/// Checksums as a publisher gives them, in hexadecimal.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Checksum {
    /// MD5, the one that Zenodo and MedMNIST publish.
    pub md5: Option<String>,
    /// BLAKE3.
    pub blake3: Option<String>,
}

/// Columns that every task needs.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fields {
    /// Column with a name that is unique within a split; without it a sample is named by its file or row.
    pub id: Option<String>,
    /// Column with the image, or with its path, or with a list of paths.
    pub image: Option<String>,
    /// Directory of the image paths, relative to the root.
    #[serde(default)]
    pub image_folder: PathBuf,
    /// Columns to compare groups by, such as sex or age group.
    #[serde(default)]
    pub groups: Vec<String>,
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

/// Label rule.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Diagnosis {
    /// Column whose value is one of a class's `values`, or a class index.
    pub label: String,
}

/// One class of a diagnosis.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Class {
    /// Name in tables.
    pub name: String,
    /// Values of the label column that mean this class; without any, the class's index does.
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
    /// Columns with the options of a multiple-choice question.
    #[serde(default)]
    pub options: Vec<String>,
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
    /// Directory (image-folder), array prefix (npz) or member (json) of this split; the split's name without it.
    pub key: Option<String>,
    /// Further conditions on rows.
    #[serde(default, rename = "where")]
    pub filters: Vec<Filter>,
    /// Expected number of samples per task.
    #[serde(default)]
    pub counts: BTreeMap<Task, u64>,
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

    fn validate(&self) -> std::result::Result<(), String> {
        if self.tasks().is_empty() {
            return Err("no task: add [diagnosis], [[question]] or [caption]".into());
        }
        if self.splits.is_empty() {
            return Err("no split: add [splits.test]".into());
        }
        if self.diagnosis.is_some() != (self.classes.len() >= 2) {
            return Err("[diagnosis] and at least two [[class]] tables go together".into());
        }
        if !self.files.is_empty() && !self.any_of.is_empty() {
            return Err("`files` and `any_of` exclude each other".into());
        }
        if self.questions.len() > 1 && self.questions.iter().any(|question| question.name.is_none()) {
            return Err("with several [[question]] tables each needs a `name`".into());
        }
        if !matches!(self.reader, Reader::Npz | Reader::ImageFolder) && self.fields.image.is_none() {
            return Err("no image: add `image` to [fields]".into());
        }
        let variants = |class: &Class| class.prompts.keys().cloned().collect::<Vec<_>>();
        for class in &self.classes {
            if !class.prompts.contains_key(PUBLISHED) || class.prompts.values().any(Vec::is_empty) {
                return Err(format!("class `{}` needs prompts, at least of the variant `{PUBLISHED}`", class.name));
            }
            if variants(class) != variants(&self.classes[0]) {
                return Err(format!(
                    "class `{}` has other variants of prompts than `{}`",
                    class.name, self.classes[0].name
                ));
            }
        }
        let needs_files = self.reader != Reader::ImageFolder && self.files.is_empty() && self.any_of.is_empty();
        for (name, split) in &self.splits {
            check_name("split", name).map_err(|e| e.to_string())?;
            if needs_files && split.files.is_empty() {
                return Err(format!("split `{name}` has no files: add `files` to it or to the manifest"));
            }
            if let Some(task) = split.counts.keys().find(|task| !self.tasks().contains(task)) {
                return Err(format!("split `{name}` counts samples of `{task}`, which the manifest does not offer"));
            }
        }
        self.templates.iter().try_for_each(|(name, source)| {
            let checked = minijinja::Environment::new().template_from_str(source).map(|_| ());
            checked.map_err(|e| format!("template `{name}`: {e}"))
        })
    }
}

#[cfg(test)]
mod tests;
