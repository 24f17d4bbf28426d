//! MedVLMBench's `run_eval.py` in this program's words: flags to a suite of one cell, and a finished run to its files.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use serde_json::json;

use crate::{
    dataset::Dataset,
    error::{Error, Result},
    ids::{CellId, Task, Usage, digest},
    model::Row,
    run::{Catalogs, write_atomically},
};

mod files;
pub mod names;

pub use files::write;

/// What the flags ask for.
#[derive(Debug, Clone)]
pub struct Request {
    /// The task.
    pub task: Task,
    /// How the model is used.
    pub usage: Usage,
    /// The dataset, by its name in MedVLMBench or here.
    pub dataset: String,
    /// The split.
    pub split: String,
    /// Directory of the dataset, or of its images in it.
    pub image_path: Option<PathBuf>,
    /// Directory of all results.
    pub exp_path: PathBuf,
    /// The model, by its name in MedVLMBench or here.
    pub model: String,
    /// Its checkpoint: a directory, or the name on the hub that the model has anyway.
    pub model_path: Option<String>,
    /// The seed.
    pub seed: u64,
    /// At most this many samples; 0 for all.
    pub limit: u32,
}

/// A request in this program's words.
#[derive(Debug, Clone)]
pub struct Evaluation {
    /// The one cell.
    pub cell: CellId,
    /// Its run directory, which is the original's directory of results.
    pub dir: PathBuf,
    /// The suite, as TOML.
    pub suite: String,
    /// A trained adapter, where the checkpoint is one.
    pub adapter: Option<PathBuf>,
    /// What a user of the original should know.
    pub notes: Vec<String>,
    /// Names as the original writes them.
    labels: Labels,
}

/// Names that go into the original's files.
#[derive(Debug, Clone)]
struct Labels {
    dataset: String,
    model: String,
    checkpoint: String,
    kind: &'static str,
}

/// What the original takes for the checkpoint that a model has anyway.
const PRETRAINED: &str = "original_pretrained";

/// Its form of the questions, which tells the model where the answer is yes or no.
const TEMPLATE: &str = "medvlmbench";

/// Translates the flags.
///
/// # Errors
/// A name that means nothing here, with the nearest that does; a split that the dataset lacks.
pub fn translate(request: &Request, catalogs: &Catalogs) -> Result<Evaluation> {
    let dataset = names::dataset(&request.dataset, Some(request.task), &catalogs.datasets)?;
    let (model, kind) = names::model(&request.model, request.task, &catalogs.models)?;
    let manifest = catalogs.datasets.get(&dataset)?;
    let (row, _) = catalogs.models.find(&model)?;
    let mut notes = Vec::new();
    if request.split == "all" && !manifest.splits.contains_key("all") {
        let splits: Vec<&str> = manifest.splits.keys().map(String::as_str).collect();
        return Err(Error::usage(format!(
            "--split all mixes what is learnt from with what is evaluated: name one of {}, or a suite with several",
            splits.join(", ")
        )));
    }
    let root = request.image_path.as_ref().map(|path| root(manifest, path)).transpose()?;
    let split = split(request, manifest, root.as_deref(), &mut notes)?;
    let (weights, adapter) = checkpoint(request, &row)?;
    let template = (request.task == Task::Vqa && manifest.templates.contains_key(TEMPLATE)).then_some(TEMPLATE);
    if template.is_some() {
        notes.push(
            "questions are asked as MedVLMBench asks them, so that the model is told where the answer is yes or no"
                .into(),
        );
    }
    let cell =
        CellId { model: model.clone(), dataset, split, task: request.task, usage: request.usage, seed: request.seed };
    let checkpoint = base_name(request, &row);
    let labels = Labels {
        dataset: request.dataset.clone(),
        model: request.model.clone(),
        checkpoint: request.model_path.clone().unwrap_or_else(|| checkpoint.clone()),
        kind,
    };
    let dir = request.exp_path.join(request.task.to_string()).join(&request.dataset).join(&request.model);
    let dir = dir.join(format!("eval_seed{}", request.seed)).join(checkpoint);
    let suite = suite(request, &cell, manifest, root, weights, template)?;
    Ok(Evaluation { cell, dir, suite, adapter, notes, labels })
}

fn suite(
    request: &Request,
    cell: &CellId,
    manifest: &crate::dataset::Manifest,
    root: Option<PathBuf>,
    weights: Option<PathBuf>,
    template: Option<&str>,
) -> Result<String> {
    let mut scorers = manifest.scorers.get(&cell.task).cloned().unwrap_or_default();
    let own: &[&str] = match cell.task {
        Task::Vqa => &["medvlmbench-compat"],
        Task::Diagnosis => &["accuracy", "auroc"],
        Task::Caption => &["bleu", "rouge", "meteor"],
    };
    for scorer in own.iter().filter(|id| !manifest.multi_label() || **id != "accuracy") {
        if !scorers.iter().any(|id| id == scorer) {
            scorers.push((*scorer).into());
        }
    }
    let absolute = |path: PathBuf| std::path::absolute(&path).map_err(Error::io(&path));
    let mut dataset = json!({ "id": cell.dataset, "split": cell.split, "task": cell.task });
    if let Some(root) = root {
        dataset["root"] = json!(absolute(root)?);
    }
    if let Some(template) = template {
        dataset["template"] = json!(template);
    }
    let mut suite = json!({
        "name": "eval",
        "title": format!("{} on {}", request.model, request.dataset),
        "models": [cell.model],
        "usages": [cell.usage],
        "seeds": [cell.seed],
        "scorers": scorers,
        "limit": request.limit,
    });
    if let Some(weights) = weights {
        suite["weights"] = json!(BTreeMap::from([(&cell.model, absolute(weights)?)]));
    }
    suite["dataset"] = json!([dataset]);
    toml::to_string(&suite).map_err(|e| Error::failed(e.to_string()))
}

/// `--image_path` is the root of some datasets and the folder of images of others.
fn root(manifest: &crate::dataset::Manifest, path: &Path) -> Result<PathBuf> {
    let opens = |dir: &&Path| Dataset::open(manifest, Some(dir)).is_ok();
    let parents = path.ancestors().take(3).filter(|dir| !dir.as_os_str().is_empty());
    match parents.clone().find(opens) {
        Some(root) => Ok(root.into()),
        None => Dataset::open(manifest, Some(path)).map(|_| path.into()),
    }
}

/// The split; that of the original where its files are at hand and no adapter would be fitted on another one.
fn split(
    request: &Request,
    manifest: &crate::dataset::Manifest,
    root: Option<&Path>,
    notes: &mut Vec<String>,
) -> Result<String> {
    let published = format!("paper-{}", request.split);
    if manifest.splits.contains_key(&published) {
        let there = || Dataset::open(manifest, root).is_ok_and(|copy| copy.samples(&published, request.task).is_ok());
        if request.usage == Usage::ZeroShot && there() {
            return Ok(published);
        }
        notes.push(format!("`{}` is this program's split of {}, not MedVLMBench's", request.split, manifest.id));
    }
    manifest.split(&request.split)?;
    Ok(request.split.clone())
}

/// The directory of the checkpoint, or of an adapter of this program.
fn checkpoint(request: &Request, row: &Row) -> Result<(Option<PathBuf>, Option<PathBuf>)> {
    let Some(named) = request.model_path.as_deref().filter(|path| *path != PRETRAINED) else {
        return Ok((None, None));
    };
    let dir = PathBuf::from(named);
    if dir.is_dir() {
        let adapter = request.usage != Usage::ZeroShot && dir.join("adapter_config.json").is_file();
        return Ok(if adapter { (None, Some(dir)) } else { (Some(dir), None) });
    }
    let own = row.weights.as_deref().unwrap_or_default();
    if own.strip_prefix("hf:") == Some(named) {
        return Ok((None, None));
    }
    let own = own.strip_prefix("hf:").map(|own| format!(", or `{own}`")).unwrap_or_default();
    Err(Error::usage(format!(
        "--model_path {named}: no such directory; name that of a checkpoint of `{}`{own}",
        row.id
    )))
}

/// The last part of the checkpoint's name, as the original names its directory of results.
fn base_name(request: &Request, row: &Row) -> String {
    let own = || row.weights.as_deref().unwrap_or(PRETRAINED).to_string();
    let named = request.model_path.clone().unwrap_or_else(own);
    let last = named.trim_end_matches('/').rsplit(['/', ':']).next().unwrap_or_default().to_string();
    if last.is_empty() { digest(named.as_bytes()) } else { last }
}

impl Evaluation {
    /// Writes the suite beside the results.
    pub fn write_suite(&self) -> Result<PathBuf> {
        let path = self.dir.join("eval.toml");
        write_atomically(&path, self.suite.as_bytes())?;
        Ok(path)
    }
}
