//! One of the two cells: its samples, its predictions, its scores.

use std::path::PathBuf;

use super::Place;
use crate::{
    config::Bootstrap,
    dataset::Sample,
    error::{Error, Result, suggest},
    ids::CellId,
    model,
    prediction::{self, Prediction},
    run::{
        Catalogs, Cell, RunRecord, Settings,
        plan::{self, ScorerSource},
        predict,
        score::{self, Metrics},
    },
};

/// A cell on disk.
pub(super) struct Side {
    pub place: Place,
    pub cell: Cell,
    pub dir: PathBuf,
    limit: u32,
    bootstrap: Bootstrap,
    metrics: Metrics,
    samples: Vec<Sample>,
    predictions: Vec<Prediction>,
}

impl Place {
    /// A cell of a run directory; its only one where none is named.
    pub fn new(run: PathBuf, cell: Option<String>) -> Result<Self> {
        let record = RunRecord::read(&run)?;
        let known = || record.cells.keys().map(String::as_str);
        match cell {
            Some(cell) if record.cells.contains_key(&cell) => Ok(Self { run, cell }),
            Some(cell) => {
                Err(Error::usage(format!("{}: has no cell `{cell}`{}", run.display(), suggest(&cell, known()))))
            }
            None if record.cells.len() == 1 => Ok(Self { cell: known().collect(), run }),
            None => {
                let cells = known().collect::<Vec<_>>().join(", ");
                Err(Error::usage(format!("{}: has several cells, so name one of {cells}", run.display())))
            }
        }
    }
}

impl Side {
    /// Reads a cell that has been scored.
    pub fn open(place: Place, roots: &[(String, PathBuf)], catalogs: &Catalogs) -> Result<Self> {
        let id: CellId = place.cell.parse()?;
        let mut record = RunRecord::read(&place.run)?;
        // No other dataset of the suite needs to be there.
        record.cells.retain(|cell, _| *cell == place.cell);
        record.suite.datasets.retain(|dataset| (&dataset.id, &dataset.split) == (&id.dataset, &id.split));
        for dataset in &mut record.suite.datasets {
            let root = roots.iter().find(|(id, _)| *id == dataset.id).map(|(_, root)| root.clone());
            dataset.root = root.or(dataset.root.take());
        }
        let settings = Settings {
            place: model::Place::InProcess,
            device: record.device.clone(),
            dtype: record.dtype.clone(),
            batch_size: 1,
            adapter: None,
        };
        let mut plan = plan::plan_scoring(&record, catalogs, settings, place.run.clone())?;
        let cell = plan.cells.pop().ok_or_else(|| {
            Error::usage(format!("{}: {} is no cell of the suite that was run last", place.run.display(), place.cell))
        })?;
        let dir = cell.dir(&place.run);
        let metrics = score::read(&dir).ok_or_else(|| must_score(&place, "has no scores"))?;
        let samples = predict::samples(&cell, &cell.dataset()?, plan.suite.limit)?;
        let predictions = prediction::read(&dir.join(predict::FILE))?;
        let (limit, bootstrap) = (plan.suite.limit, plan.suite.bootstrap);
        Ok(Self { place, cell, dir, limit, bootstrap, metrics, samples, predictions })
    }

    /// Name of the dataset.
    pub fn dataset(&self) -> &str {
        &self.cell.id.dataset
    }

    /// How the cell's own intervals were made.
    pub fn bootstrap(&self) -> &Bootstrap {
        &self.bootstrap
    }

    /// Names of its scorers.
    pub fn scorers(&self) -> Vec<&str> {
        self.metrics.scorers.iter().map(|scorer| scorer.id.as_str()).collect()
    }

    /// One of its scorers.
    pub fn scorer(&self, id: &str) -> Result<&ScorerSource> {
        let scorer = self.cell.scorers.iter().find(|known| known.id == id);
        scorer.ok_or_else(|| must_score(&self.place, "has scores of other scorers than its suite names"))
    }

    /// Each prediction with its sample, in the order of the samples.
    pub fn answered(&self) -> Result<Vec<(&Sample, &Prediction)>> {
        let mut answered = score::pair(&self.dir, &self.samples, &self.predictions)?;
        answered.sort_by_key(|(sample, _)| sample.index);
        Ok(answered)
    }

    /// Fails unless the scores were made from the predictions, dataset and scorers that are there now.
    pub fn check_fresh(&self) -> Result<()> {
        match score::read_fresh(&self.cell, &self.place.run, self.limit, &self.bootstrap)? {
            Some(_) => Ok(()),
            None => Err(must_score(&self.place, "has scores of other predictions, scorers or another medvlm")),
        }
    }

    fn version(&self, id: &str) -> Option<(&str, &str)> {
        let scorer = self.metrics.scorers.iter().find(|scorer| scorer.id == id)?;
        Some((&scorer.version, &scorer.component))
    }
}

/// Fails unless the same version of a scorer, to the bit, scored both cells.
pub(super) fn check_version(a: &Side, b: &Side, id: &str) -> Result<()> {
    let [ours, theirs] = [a, b].map(|side| side.version(id).unwrap_or_default());
    if ours == theirs {
        return Ok(());
    }
    let name = |(version, component): (&str, &str)| format!("{version} ({})", component.get(..8).unwrap_or(component));
    Err(Error::usage(format!(
        "{} was scored by {id} {} and {} by {id} {}; score both again with `medvlm score`",
        a.place.cell,
        name(ours),
        b.place.cell,
        name(theirs)
    )))
}

fn must_score(place: &Place, why: &str) -> Error {
    let run = place.run.display();
    Error::usage(format!("{run}: {} {why}; run `medvlm score {run}` first", place.cell))
}
