//! What cells would take: disk, memory and time, before any of it is spent.
//!
//! Time is what the model took last on this machine, where a cell measured it; otherwise it is reckoned from the number of
//! parameters and from round figures of what devices do, which is right to a factor of a few.

use std::{fs, path::PathBuf, thread, time::Duration};

use serde::Serialize;

use crate::{
    error::Result,
    ids::{Task, Usage, digest},
    prediction,
    run::{Cell, Plan, Settings, cache_dir, predict, write_atomically},
};

/// What one cell would take.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Estimate {
    /// The cell.
    pub cell: String,
    /// Samples of the split.
    pub samples: usize,
    /// Samples without a prediction.
    pub missing: usize,
    /// Bytes that the run directory grows by.
    pub disk: u64,
    /// Bytes of memory for the weights and what is computed with them, on the device where there is one.
    pub memory: u64,
    /// Seconds of one process.
    pub seconds: f64,
    /// Whether the time is measured.
    pub measured: bool,
}

/// Bytes of a prediction with its scores, and of one more class.
const PREDICTION: [u64; 2] = [900, 40];
/// Bytes of a row of features, of a usual width.
const FEATURES: u64 = 32 + 4 * 1024;
/// Bytes of a sample in the report: most are its picture.
const REPORTED: u64 = 6_000;
/// Beside the weights: the program, images, activations.
const WORKING: u64 = 400 << 20;
/// Tokens that go through a model for an image and a question, and tokens of an answer.
const TOKENS: [f64; 2] = [700.0, 48.0];
/// Tokens for an image alone.
const PATCHES: f64 = 250.0;
/// Seconds of an answer over a network, with sixteen on their way.
const REMOTE: f64 = 0.2;

/// The cells of a plan.
pub fn estimate(plan: &Plan) -> Result<Vec<Estimate>> {
    let mut all = Vec::new();
    for (cell, samples) in plan.cells.iter().zip(predict::totals(plan)?) {
        let file = cell.dir(&plan.dir).join(predict::FILE);
        let done = if file.exists() { prediction::read(&file)?.len() } else { 0 };
        let missing = samples.saturating_sub(done);
        let parameters = parameters(cell);
        let width = if plan.settings.dtype == "f32" { 4 } else { 2 };
        let known = measured(cell, &plan.settings);
        let each = known.unwrap_or_else(|| reckoned(cell, &plan.settings, parameters as f64, width as f64));
        let load = if missing == 0 { 0.0 } else { (parameters * width) as f64 / 1e9 };
        all.push(Estimate {
            cell: cell.id.to_string(),
            samples,
            missing,
            disk: missing as u64 * disk(cell),
            memory: parameters * width * 11 / 10 + WORKING,
            seconds: load + missing as f64 * each,
            measured: known.is_some(),
        });
    }
    Ok(all)
}

/// Notes how long a cell's predictions took, where there is a cache to note it in.
pub fn measure(cell: &Cell, settings: &Settings, samples: usize, time: Duration) {
    // A few samples say more about loading the model than about the model.
    if let Some(path) = path(cell, settings).filter(|_| samples >= 16) {
        let _ = write_atomically(&path, format!("{}\n", time.as_secs_f64() / samples as f64).as_bytes());
    }
}

fn measured(cell: &Cell, settings: &Settings) -> Option<f64> {
    fs::read_to_string(path(cell, settings)?).ok()?.trim().parse().ok().filter(|each: &f64| each.is_finite())
}

/// Where the seconds of a sample are kept: for a model, on a device, for a task.
fn path(cell: &Cell, settings: &Settings) -> Option<PathBuf> {
    let model: Vec<&String> =
        cell.fingerprint.iter().filter(|(key, _)| key.starts_with("model.")).map(|(_, value)| value).collect();
    let name = format!("{model:?} {} {} {} {}", settings.device, settings.dtype, cell.id.task, cell.id.usage);
    Some(cache_dir()?.join("pace").join(digest(name.as_bytes())))
}

fn disk(cell: &Cell) -> u64 {
    let features = if cell.id.usage == Usage::ZeroShot { 0 } else { FEATURES };
    PREDICTION[0] + PREDICTION[1] * cell.manifest.classes.len() as u64 + features + REPORTED
}

/// As the row says, else as the size of the checkpoint lets guess.
fn parameters(cell: &Cell) -> u64 {
    let Some(model) = &cell.model else { return 0 };
    if model.row.parameters > 0 {
        return model.row.parameters;
    }
    let files = model.weights.iter().filter_map(|dir| fs::read_dir(dir).ok()).flatten().flatten();
    files.filter_map(|file| file.metadata().ok()).map(|about| about.len()).sum::<u64>() / 2
}

/// Seconds of a sample by the arithmetic and the memory traffic of its tokens.
fn reckoned(cell: &Cell, settings: &Settings, parameters: f64, width: f64) -> f64 {
    if cell.model.as_ref().is_some_and(|model| model.row.is_remote()) {
        return REMOTE;
    }
    let threads = thread::available_parallelism().map_or(1, Into::into) as f64;
    let (arithmetic, traffic) = match settings.device.starts_with("cuda") {
        true => (if settings.dtype == "f32" { 4e13 } else { 2e14 }, 1.5e12),
        false => (2.5e10 * threads, 8e9 * threads.min(8.0)),
    };
    match cell.id.task {
        Task::Diagnosis => 2.0 * parameters * PATCHES / arithmetic,
        Task::Vqa | Task::Caption => {
            let together = settings.batch_size.clamp(1, 16) as f64;
            2.0 * parameters * TOKENS[0] / arithmetic + TOKENS[1] * parameters * width / traffic / together
        }
    }
}
