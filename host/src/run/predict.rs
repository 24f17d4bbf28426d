//! Cells to `predictions.jsonl`: what is missing on disk is decoded, predicted in batches, and appended.
//!
//! The samples of a cell are divided into shards, whoever predicts them: batches do not cross shards, so that answers do
//! not depend on how many processes share the work. A process leases a shard before it decodes it.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    path::Path,
    sync::{Mutex, PoisonError},
};

use plugin_api::Open;

use crate::{
    dataset::{Dataset, Sample},
    error::{Error, Result},
    ids::Usage,
    model::Model,
    prediction::Store,
    run::{
        Cell, Observer, Plan, Settings, adapt,
        lease::{Leases, Part},
        plan::ModelSource,
    },
};

mod batch;
mod generate;
mod shard;

use batch::{Head, Predictor, Work};
use shard::{Shard, Shards};

/// How a cell stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tally {
    /// Samples without a prediction, on which other processes work.
    pub missing: usize,
    /// Samples without a prediction that other parts of the run have.
    pub elsewhere: usize,
    /// Samples that were predicted now.
    pub made: usize,
    /// Samples without an answer.
    pub failed: usize,
}

/// File name in a cell's directory.
pub const FILE: &str = "predictions.jsonl";

/// Samples that one process predicts at a time; a multiple of every usual batch.
pub const SHARD: usize = 256;

/// What predicts cell after cell: the settings, what other processes are told, and the model that was opened last.
pub struct Predicting<'a> {
    run: &'a Path,
    limit: u32,
    settings: &'a Settings,
    leases: Leases,
    part: Option<Part>,
    observer: &'a dyn Observer,
    open: Option<(String, Model)>,
}

impl<'a> Predicting<'a> {
    /// For the cells of a plan, or a part of their shards.
    pub fn new(plan: &'a Plan, part: Option<Part>, observer: &'a dyn Observer) -> Self {
        let Plan { dir, settings, suite, .. } = plan;
        Self { run: dir, limit: suite.limit, settings, leases: Leases::new(dir), part, observer, open: None }
    }

    /// Predicts those samples of a cell that are not on disk yet and that no other process works on.
    pub fn predict(&mut self, cell: &Cell) -> Result<Tally> {
        let dir = cell.dir(self.run);
        std::fs::create_dir_all(&dir).map_err(Error::io(&dir))?;
        let dataset = cell.dataset()?;
        let samples = samples(cell, &dataset, self.limit)?;
        let store = Mutex::new(Store::open(&dir.join(FILE))?);
        let before = locked(&store).done().len();
        let leases = self.leases.clone();
        let mut shards = Shards::new(&cell.id, &samples, &leases, self.part, &store).peekable();
        if shards.peek().is_some() {
            // A model that failed may be half dead; the next cell shall not inherit it.
            self.fill(cell, &dataset, samples.len(), &store, shards).inspect_err(|_| self.open = None)?;
        } else {
            self.observer.begin(&cell.id, "predictions", before, samples.len());
        }
        let mut store = store.into_inner().unwrap_or_else(PoisonError::into_inner);
        store.refresh()?;
        let open = samples.iter().enumerate().filter(|(_, sample)| !store.done().contains_key(&sample.index));
        let name = cell.id.to_string();
        let own = |position: usize| self.part.is_none_or(|part| part.has(&name, position / SHARD));
        let (missing, elsewhere): (Vec<usize>, Vec<usize>) =
            open.map(|(position, _)| position).partition(|position| own(*position));
        if missing.is_empty() && elsewhere.is_empty() {
            store.finish()?;
        }
        let failed = store.done().values().filter(|p| p.failed()).count();
        self.observer.end(failed);
        let made = store.done().len().saturating_sub(before);
        Ok(Tally { missing: missing.len(), elsewhere: elsewhere.len(), made, failed })
    }

    fn fill<'s>(
        &mut self,
        cell: &'s Cell,
        dataset: &'s Dataset,
        total: usize,
        store: &'s Mutex<Store>,
        shards: impl Iterator<Item = Result<Shard<'s>>> + Send,
    ) -> Result<()> {
        let source =
            cell.model.as_ref().ok_or_else(|| Error::failed(format!("{}: no model to predict with", cell.id)))?;
        let (run, settings, observer, leases) = (self.run, self.settings, self.observer, self.leases.clone());
        let model = self.model(cell, source)?;
        let head = match cell.id.usage {
            Usage::ZeroShot => None,
            _ if cell.dir(run).join(adapt::DIR).exists() => Some(head(cell, run, dataset, model, settings, observer)?),
            // One process trains; the others find the adapter on disk when they come back to the cell.
            _ => match leases.take(&format!("{}.adapter", cell.id))? {
                Some(_training) => Some(head(cell, run, dataset, model, settings, observer)?),
                None => return Ok(()),
            },
        };
        observer.begin(&cell.id, "predictions", locked(store).done().len(), total);
        let work = Work::new(cell, source, dataset, settings.batch_size)?;
        Predictor { work: &work, model, head, store, observer }.predict(shards)
    }

    /// The model of a cell; cells in a row that have the same one share it.
    fn model(&mut self, cell: &Cell, source: &ModelSource) -> Result<&mut Model> {
        let identity = |(key, value): (&String, &String)| key.starts_with("model.").then(|| format!("{key}={value}"));
        let identity = cell.fingerprint.iter().filter_map(identity).collect::<Vec<_>>().join(" ");
        let open = self.open.take().filter(|(of, _)| *of == identity);
        let model = match open {
            Some((_, model)) => model,
            None => open_model(source, self.settings)?,
        };
        Ok(&mut self.open.insert((identity, model)).1)
    }
}

/// The samples of a cell, in order, cut to the suite's limit, with questions in the suite's form.
pub fn samples(cell: &Cell, dataset: &Dataset, limit: u32) -> Result<Vec<Sample>> {
    let template = cell.evaluation.template.as_deref();
    let mut samples = known(dataset.prompted(&cell.id.split, cell.id.task, template)?)?;
    if limit > 0 {
        samples.truncate(limit as usize);
    }
    Ok(samples)
}

/// How many samples each cell of a plan has; cells of one split are counted once.
pub fn totals(plan: &Plan) -> Result<Vec<usize>> {
    let mut known = BTreeMap::new();
    let total = |cell: &Cell| match known.entry((cell.id.dataset.clone(), cell.id.split.clone(), cell.id.task)) {
        Entry::Occupied(entry) => Ok(*entry.get()),
        Entry::Vacant(entry) => Ok(*entry.insert(samples(cell, &cell.dataset()?, plan.suite.limit)?.len())),
    };
    plan.cells.iter().map(total).collect()
}

/// Samples of which every label is known: neither a scorer nor a probe could tell an unknown label from a negative one.
pub fn known(samples: Vec<Sample>) -> Result<Vec<Sample>> {
    match samples.iter().find(|sample| !sample.unknown.is_empty()) {
        Some(sample) => Err(Error::usage(format!(
            "sample `{}` leaves the truth of {} classes open, which this version cannot leave out of scores: choose a split \
             that takes uncertain labels as zeros or ones",
            sample.id,
            sample.unknown.len()
        ))),
        None => Ok(samples),
    }
}

/// Opens a model as the settings say.
pub fn open_model(source: &ModelSource, settings: &Settings) -> Result<Model> {
    let open = Open {
        weights: source.weights.clone(),
        device: settings.device.clone(),
        dtype: settings.dtype.clone(),
        options: source.row.options.clone(),
    };
    Model::open(&source.plugin, &source.row.architecture, open, settings.place.clone())
}

/// The adapter that a usage calls for.
fn head(
    cell: &Cell,
    run_dir: &Path,
    dataset: &Dataset,
    model: &mut Model,
    settings: &Settings,
    observer: &dyn Observer,
) -> Result<Head> {
    let adapter = adapt::adapter(cell, run_dir, dataset, model, settings, observer)?;
    Ok(Head { adapter, features: adapt::store(cell, run_dir, model)? })
}

fn locked(store: &Mutex<Store>) -> std::sync::MutexGuard<'_, Store> {
    store.lock().unwrap_or_else(PoisonError::into_inner)
}
