//! Prediction files of other programs to a run directory that is scored, reported and compared like any other.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use serde::Serialize;
use serde_json::json;

use crate::{
    config::Suite,
    error::{Error, Result},
    ids::{CellId, Task, Usage, check_model_name, digest},
    model::Place,
    prediction::{Digests, Prediction, Store},
    run::{Catalogs, Settings, plan, predict, record, to_json, write_atomically},
};

mod harness;
mod matching;
mod medvlmbench;
mod records;

pub use records::Format;
use records::{Record, Said};

/// The input of an imported cell that says which file it was imported from.
pub const FINGERPRINT: &str = "imported.file";

/// File name in a run directory: what became of the records.
pub const FILE: &str = "import.json";

/// What is imported, as what.
#[derive(Debug, Clone)]
pub struct Request {
    /// The file of predictions.
    pub file: PathBuf,
    /// Who wrote it; guessed when absent.
    pub format: Option<Format>,
    /// The dataset.
    pub dataset: String,
    /// Its local copy.
    pub root: Option<PathBuf>,
    /// The split.
    pub split: String,
    /// The task; that of the records when absent.
    pub task: Option<Task>,
    /// How the model was used.
    pub usage: Usage,
    /// Name of the model; it need not be one of this program's.
    pub model: String,
    /// The seed.
    pub seed: u64,
    /// The run directory.
    pub out: PathBuf,
    /// Put aside what the directory holds of the cell.
    pub redo: bool,
}

/// What became of the records.
#[derive(Debug, Clone, Serialize)]
pub struct Outcome {
    /// The cell that holds them now.
    pub cell: String,
    /// Who wrote the file.
    pub format: Format,
    /// Records of the file.
    pub records: usize,
    /// Samples of the split.
    pub samples: usize,
    /// Samples that have a prediction now.
    pub predicted: usize,
    /// Of those, samples without an answer.
    pub failed: usize,
    /// Records that repeat the answer of another one.
    pub repeated: usize,
    /// Records that belong to no sample for certain, and why.
    pub problems: Vec<Problem>,
}

/// A record that was not imported.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// Where it is in the file.
    pub place: String,
    /// Why.
    pub why: String,
}

/// Reads a file of predictions and makes, or fills, a run directory of one cell.
///
/// # Errors
/// A file that cannot be read as such; a dataset, split or task that there is not; a file of which no record belongs to the
/// split.
pub fn import(request: &Request, catalogs: &Catalogs) -> Result<Outcome> {
    check_model_name(&request.model)?;
    let bytes = std::fs::read(&request.file).map_err(Error::io(&request.file))?;
    let (format, records) = records::read(&request.file, &bytes, request.format)?;
    let settings = Settings {
        place: Place::InProcess,
        device: "elsewhere".into(),
        dtype: "unknown".into(),
        batch_size: 1,
        adapter: None,
    };
    let suite = suite(request, catalogs, &records)?;
    let mut plan = plan::plan_answers(suite, catalogs, settings, request.out.clone())?;
    let Some(cell) = plan.cells.first_mut() else { return Err(Error::failed("no cell")) };
    if cell.manifest.multi_label() && cell.id.task == Task::Diagnosis {
        return Err(Error::usage(format!(
            "`{}` has any number of labels a sample, a prediction file one",
            cell.id.dataset
        )));
    }
    cell.fingerprint.insert("imported.format".into(), format.to_string());
    cell.fingerprint.insert(FINGERPRINT.into(), digest(&bytes));
    let dataset = cell.dataset()?;
    let samples = predict::samples(cell, &dataset, 0)?;
    let matched = matching::pair(&records, &dataset, &cell.id, &samples)?;
    if matched.samples.is_empty() {
        return Err(no_match(&request.file, &cell.id, &matched.problems));
    }
    let mut predictions: BTreeMap<u32, Prediction> = BTreeMap::new();
    for (at, number) in &matched.samples {
        let sample = &samples[*at];
        predictions.insert(sample.index, prediction(&records[*number], sample.index, &sample.id));
    }
    let cell = &plan.cells[0];
    record::write(&plan, request.redo)?;
    let dir = cell.dir(&plan.dir);
    std::fs::create_dir_all(&dir).map_err(Error::io(&dir))?;
    let mut store = Store::open(&dir.join(predict::FILE))?;
    predictions.retain(|index, _| !store.done().contains_key(index));
    store.append(predictions.into_values().collect())?;
    store.finish()?;
    let outcome = Outcome {
        cell: cell.id.to_string(),
        format,
        records: records.len(),
        samples: samples.len(),
        predicted: store.done().len(),
        failed: store.done().values().filter(|p| p.failed()).count(),
        repeated: matched.repeated,
        problems: matched.problems,
    };
    write_atomically(&plan.dir.join(FILE), &to_json(&outcome)?)?;
    Ok(outcome)
}

/// The suite of one cell, with the dataset's own scorers and, for questions, those of the original.
fn suite(request: &Request, catalogs: &Catalogs, records: &[Record]) -> Result<Suite> {
    const COMPAT: &str = "medvlmbench-compat";
    let manifest = catalogs.datasets.get(&request.dataset)?;
    let offered = manifest.tasks();
    let told = records.iter().find_map(|record| record.task);
    let textual = || offered.iter().copied().find(|task| *task != Task::Diagnosis);
    let task = request.task.or(told).or_else(textual).ok_or_else(|| {
        Error::usage(format!("dataset `{}` asks no questions, and the file has answers: name a --task", manifest.id))
    })?;
    if let Some(told) = told.filter(|told| *told != task) {
        return Err(Error::usage(format!("--task {task}: {} holds records of `{told}`", request.file.display())));
    }
    let mut scorers = manifest.scorers.get(&task).cloned().unwrap_or_default();
    if task == Task::Vqa && !scorers.iter().any(|id| id == COMPAT) {
        scorers.push(COMPAT.into());
    }
    let suite = json!({
        "name": "imported",
        "title": format!("{} on {}, imported from {}", request.model, manifest.id, name_of(&request.file)),
        "models": [request.model],
        "usages": [request.usage],
        "seeds": [request.seed],
        "scorers": scorers,
        "dataset": [{
            "id": manifest.id,
            "split": request.split,
            "task": task,
            "root": request.root,
        }],
    });
    serde_json::from_value(suite).map_err(|e| Error::failed(e.to_string()))
}

fn name_of(file: &Path) -> String {
    file.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn prediction(record: &Record, index: u32, sample: &str) -> Prediction {
    let prompt = record.asked.first().map(|asked| digest(asked.as_bytes())).unwrap_or_default();
    let mut prediction = Prediction {
        index,
        sample: sample.into(),
        digests: Digests { prompt, ..Digests::default() },
        ..Prediction::default()
    };
    match &record.said {
        Said::Text(text) => prediction.text = Some(text.clone()),
        Said::Logits(logits) => prediction.logits.clone_from(logits),
        Said::Failed(why) => prediction.error = Some(why.clone()),
        Said::Unusable(_) => {}
    }
    prediction
}

fn no_match(file: &Path, cell: &CellId, problems: &[Problem]) -> Error {
    let first = problems.first().map(|p| format!(" ({}: {})", p.place, p.why)).unwrap_or_default();
    let split = format!("split `{}` of `{}`", cell.split, cell.dataset);
    Error::invalid(file, format!("none of its records is of {split}{first}: name another --dataset or --split"))
}
