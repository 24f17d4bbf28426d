//! The cells of a plan, done by this process and whichever others work in the same directory.
//!
//! A process first takes cells that nobody works on, so that a model is loaded once; when there are none left it helps with
//! the others, shard by shard, and then waits for what is leased. So every process ends with the whole run done, and the
//! last one alive finishes what the others left.

use std::{
    thread,
    time::{Duration, Instant},
};

use crate::{
    error::{Error, Result},
    ids::CellId,
    run::{
        Cell, Granted, Observer, Plan, check_interrupt, estimate,
        lease::{Leases, Part},
        predict::{self, Predicting},
        score, status,
    },
    scorer::Engine,
};

/// Time between two looks at what other processes are doing.
const LOOK_EVERY: Duration = Duration::from_millis(300);

/// What became of the cells.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Samples without an answer.
    pub failed: usize,
    /// Samples that belong to other parts of the run.
    pub elsewhere: usize,
    /// Cells that could not be predicted, and why.
    pub errors: Vec<(CellId, Error)>,
}

/// Predicts all cells, or the part of them that is this machine's. A cell that cannot be predicted does not keep the
/// others from it.
///
/// # Errors
/// Interrupted, or a file could not be written.
pub fn predict(plan: &Plan, part: Option<Part>, observer: &dyn Observer) -> Result<Outcome> {
    let mut outcome = Outcome::default();
    let mut predicting = Predicting::new(plan, part, observer);
    let leases = Leases::new(&plan.dir);
    let mut rounds = Rounds::new(plan.cells.iter().collect(), observer);
    while let Some(cells) = rounds.next_round()? {
        for cell in cells {
            check_interrupt()?;
            let alone = leases.take(&cell.id.to_string())?;
            if alone.is_none() && !rounds.helping {
                rounds.later(cell);
                continue;
            }
            let start = Instant::now();
            let predicted = predicting.predict(cell);
            if let Ok(tally) = &predicted {
                estimate::measure(cell, &plan.settings, tally.made, start.elapsed());
            }
            match predicted {
                Ok(tally) if tally.missing == 0 => {
                    status::forget_failure(plan, cell)?;
                    outcome.failed += tally.failed;
                    outcome.elsewhere += tally.elsewhere;
                    rounds.moved = true;
                }
                Ok(tally) => {
                    rounds.moved |= tally.made > 0;
                    rounds.later(cell);
                }
                Err(error @ (Error::Interrupted | Error::Io { .. })) => return Err(error),
                Err(error) if plan.cells.len() == 1 => {
                    status::record_failure(plan, cell, &error)?;
                    return Err(error);
                }
                Err(error) => {
                    status::record_failure(plan, cell, &error)?;
                    observer.note(&format!("{}: {error}", cell.id));
                    outcome.errors.push((cell.id.clone(), error));
                }
            }
        }
    }
    Ok(outcome)
}

/// Scores every cell that has predictions; returns the number of requests that have no answer.
pub fn score(plan: &Plan, engine: &Engine, granted: &Granted, observer: &dyn Observer) -> Result<usize> {
    let leases = Leases::new(&plan.dir);
    let mut unanswered = 0;
    let mut rounds = Rounds::new(plan.cells.iter().collect(), observer);
    while let Some(cells) = rounds.next_round()? {
        for cell in cells {
            check_interrupt()?;
            if !cell.dir(&plan.dir).join(predict::FILE).exists() {
                observer.note(&format!("{}: nothing is predicted", cell.id));
                continue;
            }
            let Some(_alone) = leases.take(&format!("{}.score", cell.id))? else {
                rounds.later(cell);
                continue;
            };
            let metrics = score::score(cell, &plan.dir, plan.suite.limit, &plan.suite.bootstrap, engine, granted)?;
            rounds.moved = true;
            unanswered += metrics.unanswered();
            if metrics.samples < metrics.expected {
                let (id, done, all) = (&cell.id, metrics.samples, metrics.expected);
                observer.note(&format!("{id}: only {done} of {all} samples are predicted"));
            }
        }
    }
    leases.tidy();
    Ok(unanswered)
}

/// Rounds over the cells that are left, with a pause after one in which nothing moved.
struct Rounds<'a> {
    left: Vec<&'a Cell>,
    /// Whether cells that others work on are this process's business too.
    helping: bool,
    moved: bool,
    told: bool,
    observer: &'a dyn Observer,
}

impl<'a> Rounds<'a> {
    fn new(left: Vec<&'a Cell>, observer: &'a dyn Observer) -> Self {
        Self { left, helping: false, moved: true, told: false, observer }
    }

    fn later(&mut self, cell: &'a Cell) {
        self.left.push(cell);
    }

    fn next_round(&mut self) -> Result<Option<Vec<&'a Cell>>> {
        check_interrupt()?;
        if self.left.is_empty() {
            return Ok(None);
        }
        if !self.moved && self.helping {
            if !self.told {
                self.told = true;
                let (count, first) = (self.left.len(), &self.left[0].id);
                self.observer.note(&format!("other processes have what is left of {count} cells ({first}); waiting"));
            }
            thread::sleep(LOOK_EVERY);
        }
        self.helping |= !self.moved;
        self.moved = false;
        Ok(Some(std::mem::take(&mut self.left)))
    }
}
