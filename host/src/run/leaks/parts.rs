//! The splits that are compared: what may be learnt from, and what is evaluated.

use std::{
    collections::{BTreeMap, BTreeSet, btree_map::Entry},
    path::Path,
};

use crate::{
    config::Suite,
    dataset::{Dataset, ImageRef, Manifest},
    error::{Error, Result},
    ids::{Task, Usage, digest},
    run::{Catalogs, Plan},
};

/// Names of splits that may be learnt from, whole or after a `-`.
const TRAINING: [&str; 3] = ["train", "validation", "dev"];

/// One split of a local copy.
pub struct Part {
    /// `dataset.split`.
    pub name: String,
    /// Whether it may be learnt from; else it is evaluated.
    pub training: bool,
    /// The local copy.
    pub dataset: Dataset,
    /// Digest of what its prints depend on.
    pub fingerprint: String,
    /// Its images, each once.
    pub images: Vec<Item>,
    /// Number of samples of each patient.
    pub patients: BTreeMap<String, usize>,
}

/// An image with the samples that show it.
pub struct Item {
    /// Where it is.
    pub image: ImageRef,
    /// The same relative to the copy's root.
    pub name: String,
    /// Names of the samples.
    pub samples: Vec<String>,
}

/// A split that could not be read, and why.
pub type Skipped = (String, String);

impl Part {
    fn open(
        manifest: &Manifest,
        root: Option<&Path>,
        split: &str,
        tasks: &[Task],
        limit: u32,
        files: Option<&String>,
    ) -> Result<Self> {
        let dataset = Dataset::open(manifest, root)?;
        let files = files.map_or_else(|| dataset.fingerprint(split), |files| Ok(files.clone()))?;
        let mut images: BTreeMap<ImageRef, BTreeSet<String>> = BTreeMap::new();
        let mut patients: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for task in tasks {
            let mut samples = dataset.samples(split, *task)?;
            samples.truncate(if limit > 0 { limit as usize } else { usize::MAX });
            for sample in samples {
                for image in sample.images {
                    images.entry(image).or_default().insert(sample.id.clone());
                }
                if let Some(patient) = sample.patient {
                    patients.entry(patient).or_default().insert(sample.id);
                }
            }
        }
        let root = format!("{}/", dataset.root().display());
        let item = |(image, samples): (ImageRef, BTreeSet<String>)| {
            let name = image.to_string();
            let name = name.strip_prefix(&root).unwrap_or(&name).to_string();
            Item { image, name, samples: samples.into_iter().collect() }
        };
        Ok(Self {
            name: format!("{}.{split}", manifest.id),
            training: false,
            fingerprint: digest(format!("{}\n{files}", manifest.digest).as_bytes()),
            images: images.into_iter().map(item).collect(),
            patients: patients.into_iter().map(|(patient, samples)| (patient, samples.len())).collect(),
            dataset,
        })
    }

    /// Whether a patient's name means the same person here and there: two datasets that were made from one publication
    /// name its patients alike, others may use a name by chance.
    pub fn shares_patients_with(&self, other: &Self) -> bool {
        self.dataset.manifest().citation == other.dataset.manifest().citation
    }
}

/// What the adapters of a plan are fitted on, and everything that the plan evaluates; nothing where it fits none.
pub fn of_plan(plan: &Plan) -> Result<Vec<Part>> {
    let mut parts: BTreeMap<(bool, String), Part> = BTreeMap::new();
    if plan.cells.iter().all(|cell| cell.id.usage == Usage::ZeroShot) {
        return Ok(Vec::new());
    }
    for cell in &plan.cells {
        let mut add = |training: bool, split: &str, key: &str| {
            let id = (training, format!("{}.{split}", cell.manifest.id));
            if let Entry::Vacant(vacant) = parts.entry(id) {
                let (root, files) = (cell.evaluation.root.as_deref(), cell.fingerprint.get(key));
                let limit = if training { 0 } else { plan.suite.limit };
                let part = Part::open(&cell.manifest, root, split, &[cell.id.task], limit, files)?;
                vacant.insert(Part { training, ..part });
            }
            Ok::<(), Error>(())
        };
        add(false, &cell.id.split, "dataset.files")?;
        if cell.id.usage != Usage::ZeroShot {
            let evaluation = &cell.evaluation;
            add(true, evaluation.training_split(), "dataset.train_files")?;
            if let Some(split) = evaluation.validation_split(cell.manifest.splits.keys()) {
                add(true, split, "dataset.validation_files")?;
            }
        }
    }
    Ok(parts.into_values().collect())
}

/// What the datasets of a suite can be learnt from, and everything that the suite evaluates.
pub fn of_suite(suite: &Suite, catalogs: &Catalogs) -> Result<(Vec<Part>, Vec<Skipped>)> {
    let mut named: BTreeMap<(bool, String), Named<'_>> = BTreeMap::new();
    for evaluation in &suite.datasets {
        let manifest = catalogs.datasets.get(&evaluation.id)?;
        manifest.split(&evaluation.split)?;
        let learnt = [Some(evaluation.training_split()), evaluation.validation_split(manifest.splits.keys())];
        let learnt = learnt.into_iter().flatten().filter(|split| manifest.splits.contains_key(*split));
        for (training, split) in learnt.map(|split| (true, split)).chain([(false, evaluation.split.as_str())]) {
            let named = named.entry((training, format!("{}.{split}", manifest.id))).or_insert_with(|| Named {
                manifest,
                root: evaluation.root.as_deref(),
                split,
                tasks: BTreeSet::new(),
                limit: if training { 0 } else { suite.limit },
            });
            named.tasks.extend(evaluation.task.map_or_else(|| manifest.tasks(), |task| vec![task]));
        }
    }
    Ok(open_all(named))
}

/// The parts of datasets and splits by name: `dataset` for its splits to learn from and its `test`, or `dataset.split`.
pub fn of_names(
    names: &[String],
    roots: &BTreeMap<String, std::path::PathBuf>,
    catalogs: &Catalogs,
) -> Result<(Vec<Part>, Vec<Skipped>)> {
    let mut named = BTreeMap::new();
    for name in names {
        let (id, split) = name.split_once('.').map_or((name.as_str(), None), |(id, split)| (id, Some(split)));
        let manifest = catalogs.datasets.get(id)?;
        let mut splits: Vec<&str> = split.into_iter().collect();
        match split {
            Some(split) => {
                manifest.split(split)?;
            }
            None => splits.extend(
                learnt_from(manifest).chain(manifest.splits.keys().map(String::as_str).filter(|s| *s == "test")),
            ),
        }
        for split in splits {
            let training = TRAINING.iter().any(|end| split == *end || split.ends_with(&format!("-{end}")));
            let root = roots.get(id).map(std::path::PathBuf::as_path);
            let tasks = manifest.tasks().into_iter().collect();
            named.insert((training, format!("{id}.{split}")), Named { manifest, root, split, tasks, limit: 0 });
        }
    }
    Ok(open_all(named))
}

/// A part that is still to be opened.
struct Named<'a> {
    manifest: &'a Manifest,
    root: Option<&'a Path>,
    split: &'a str,
    tasks: BTreeSet<Task>,
    limit: u32,
}

fn learnt_from(manifest: &Manifest) -> impl Iterator<Item = &str> {
    manifest.splits.keys().map(String::as_str).filter(|split| *split == "train" || *split == "validation")
}

fn open_all(named: BTreeMap<(bool, String), Named<'_>>) -> (Vec<Part>, Vec<Skipped>) {
    let (mut parts, mut skipped) = (Vec::new(), Vec::new());
    for ((training, name), Named { manifest, root, split, tasks, limit }) in named {
        match Part::open(manifest, root, split, &tasks.into_iter().collect::<Vec<_>>(), limit, None) {
            Ok(part) => parts.push(Part { training, ..part }),
            Err(e) => skipped.push((name, e.to_string())),
        }
    }
    (parts, skipped)
}
