//! How the cells of a suite stand in a run directory.

use std::{collections::BTreeMap, fs, io, path::PathBuf};

use serde::Serialize;

use crate::{
    error::{Error, Result},
    ids::CellId,
    prediction,
    run::{Cell, Plan, RunRecord, lease::Leases, predict, record, score, write_atomically},
};

/// How a cell stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// Predicted and scored.
    Done,
    /// Some samples are predicted, or all are and they are not scored.
    Partial,
    /// Some samples have no answer, or the last attempt to predict the cell ended with an error.
    Failed,
    /// Predicted from other inputs than the suite names now.
    Stale,
    /// Nothing is predicted.
    Missing,
    /// Nothing is predicted, and cannot be here.
    Blocked,
    /// The suite leaves it out.
    Excluded,
}

/// One cell of the grid.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Standing {
    /// The cell.
    #[serde(serialize_with = "as_text")]
    pub cell: CellId,
    /// How it stands.
    pub state: State,
    /// Samples with a prediction.
    pub done: usize,
    /// Samples of the split, where the dataset is at hand.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total: Option<usize>,
    /// Samples without an answer.
    pub failed: usize,
    /// Why it is not done; empty where the state says it all.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub why: String,
    /// The processes that work on it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub at_work: Vec<String>,
}

/// File name in a cell's directory: why the last attempt to predict it ended.
const FAILURE: &str = "failure.txt";

impl State {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::Done, Self::Partial, Self::Failed, Self::Stale, Self::Missing, Self::Blocked, Self::Excluded];

    /// Its name in filters and JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Partial => "partial",
            Self::Failed => "failed",
            Self::Stale => "stale",
            Self::Missing => "missing",
            Self::Blocked => "blocked",
            Self::Excluded => "excluded",
        }
    }
}

/// Every cell of a plan, in natural order. Nothing is changed, and no model is opened.
pub fn status(plan: &Plan) -> Result<Vec<Standing>> {
    let recorded = match RunRecord::read(&plan.dir) {
        Ok(record) => record.cells,
        Err(Error::Usage(_)) => BTreeMap::new(),
        Err(error) => return Err(error),
    };
    let holders = Leases::new(&plan.dir).holders();
    let mut all = Vec::new();
    for (cell, total) in plan.cells.iter().zip(predict::totals(plan)?) {
        let mut standing = of(&cell.id, plan, Some(total))?;
        let old = recorded.get(&cell.id.to_string());
        if let Some(old) = old.filter(|old| standing.done > 0 && **old != cell.fingerprint) {
            standing.state = State::Stale;
            standing.why = format!("changed: {}", record::changed(old, &cell.fingerprint).join(", "));
        } else if standing.state == State::Done
            && score::read_fresh(cell, &plan.dir, plan.suite.limit, &plan.suite.bootstrap)?.is_none()
        {
            (standing.state, standing.why) = (State::Partial, "not scored".into());
        }
        all.push(standing);
    }
    for (cell, error) in &plan.blocked {
        let mut standing = of(cell, plan, None)?;
        if standing.done == 0 {
            standing.state = State::Blocked;
        }
        standing.why = error.to_string();
        all.push(standing);
    }
    for (cell, reason) in &plan.excluded {
        all.push(Standing { state: State::Excluded, why: reason.clone(), ..of(cell, plan, None)? });
    }
    for standing in &mut all {
        let name = standing.cell.to_string();
        let own = |lease: &str| lease.strip_prefix(&name).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
        standing.at_work = holders.iter().filter(|(lease, _)| own(lease)).map(|(_, who)| who.clone()).collect();
        standing.at_work.sort();
        standing.at_work.dedup();
    }
    all.sort_by(|a, b| a.cell.cmp(&b.cell));
    Ok(all)
}

/// Notes why a cell could not be predicted.
pub fn record_failure(plan: &Plan, cell: &Cell, error: &Error) -> Result<()> {
    write_atomically(&failure(plan, &cell.id), format!("{error}\n").as_bytes())
}

/// Takes the note away, once the cell is predicted.
pub fn forget_failure(plan: &Plan, cell: &Cell) -> Result<()> {
    let path = failure(plan, &cell.id);
    match fs::remove_file(&path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(Error::Io { path, source: e }),
        _ => Ok(()),
    }
}

/// How a cell stands by its files alone; a total that is not known is that of the last scoring.
fn of(id: &CellId, plan: &Plan, total: Option<usize>) -> Result<Standing> {
    let dir = plan.dir.join(id.to_string());
    let file = dir.join(predict::FILE);
    let predictions = if file.exists() { prediction::read(&file)? } else { Vec::new() };
    let (done, failed) = (predictions.len(), predictions.iter().filter(|p| p.failed()).count());
    let total = total.or_else(|| score::read(&dir).map(|metrics| metrics.expected));
    let failure = fs::read_to_string(failure(plan, id)).unwrap_or_default().trim().to_string();
    let state = match done {
        _ if !failure.is_empty() => State::Failed,
        0 => State::Missing,
        _ if total.is_none_or(|total| done < total) => State::Partial,
        _ if failed > 0 => State::Failed,
        _ => State::Done,
    };
    Ok(Standing { cell: id.clone(), state, done, total, failed, why: failure, at_work: Vec::new() })
}

fn failure(plan: &Plan, id: &CellId) -> PathBuf {
    plan.dir.join(id.to_string()).join(FAILURE)
}

fn as_text<S: serde::Serializer>(cell: &CellId, serializer: S) -> std::result::Result<S::Ok, S::Error> {
    serializer.collect_str(cell)
}
