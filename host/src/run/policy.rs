//! The data-use policy: samples of a credentialed or agreement-bound dataset do not leave the machine, unless the suite names
//! the place as approved. A refusal is recorded beside the run.

use std::{fs::OpenOptions, io::Write};

use serde::Serialize;

use crate::{
    dataset::Access,
    error::{Error, Result},
    run::{Plan, granted::JudgeRecord},
    scorer::JUDGE,
};

/// File name in a run directory.
pub const REFUSALS: &str = "refusals.jsonl";

#[derive(Serialize)]
struct Refusal<'a> {
    medvlm: &'a str,
    dataset: &'a str,
    scorer: &'a str,
    judge: &'a JudgeRecord,
    reason: &'a str,
}

/// Fails if a judge would be shown samples that it must not see.
pub fn check(plan: &Plan) -> Result<()> {
    for cell in plan.cells.iter().filter(|cell| cell.manifest.access != Access::Open) {
        let dataset = &cell.manifest.id;
        for scorer in cell.scorers.iter().filter(|scorer| scorer.capabilities.iter().any(|name| name == JUDGE)) {
            if let Some(judge) = plan.judges.iter().find(|judge| !judge.loopback && !judge.approved) {
                let reason = format!(
                    "samples of `{dataset}` must not leave this machine, but scorer `{}` would send them to the judge `{}` at {}: \
                     judge on this machine, or, where the terms of the dataset allow it, add approved = true to its [judge] table",
                    scorer.id, judge.model, judge.endpoint
                );
                record(
                    plan,
                    &Refusal { medvlm: env!("CARGO_PKG_VERSION"), dataset, scorer: &scorer.id, judge, reason: &reason },
                )?;
                return Err(Error::usage(reason));
            }
        }
    }
    Ok(())
}

fn record(plan: &Plan, refusal: &Refusal<'_>) -> Result<()> {
    let path = plan.dir.join(REFUSALS);
    let mut line = serde_json::to_vec(refusal).map_err(|e| Error::failed(e.to_string()))?;
    line.push(b'\n');
    std::fs::create_dir_all(&plan.dir).map_err(Error::io(&plan.dir))?;
    let mut file = OpenOptions::new().append(true).create(true).open(&path).map_err(Error::io(&path))?;
    file.write_all(&line).map_err(Error::io(&path))
}
