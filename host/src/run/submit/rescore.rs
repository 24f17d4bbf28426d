//! Scores and metrics, made again from predictions and evidence with the components of the archive, and compared byte by
//! byte: rules 501 to 503.

use std::{collections::BTreeSet, fs};

use super::{
    conceal,
    coverage::Known,
    opened::Opened,
    verify::{CellVerdict, Checked},
};
use crate::{
    dataset::Access,
    error::{Error, Result},
    evidence,
    prediction::Prediction,
    run::{
        Cell, Granted,
        score::{self, Metrics},
        to_json,
    },
    submission::{Rule, Violation},
};

/// Scores a cell anew. `predictions` are those of the archive.
pub fn rescore(
    opened: &Opened,
    cell: &Cell,
    known: &Known,
    predictions: &[Prediction],
    granted: &Granted,
    violations: &mut Vec<Violation>,
) -> Result<CellVerdict> {
    let dir = cell.dir(&opened.run());
    let place = cell.id.to_string();
    let open = cell.manifest.access == Access::Open;
    let mut wrong = |rule, what: String| violations.push(Violation::new(rule, &place, what));
    let recorded =
        [score::SCORES, score::METRICS].map(|file| fs::read(dir.join(file)).map_err(Error::io(dir.join(file))));
    let [recorded_scores, recorded_bytes] = recorded;
    let (recorded_scores, recorded_bytes) = (recorded_scores?, recorded_bytes?);
    let recorded: Option<Metrics> = serde_json::from_slice(&recorded_bytes).ok();
    let mut verdict = CellVerdict::new(cell, predictions, recorded.clone());
    if recorded.as_ref().map(to_json).transpose()?.as_ref() != Some(&recorded_bytes) {
        wrong(Rule::Metrics, format!("{} is not written as packing writes it", score::METRICS));
    }
    if !open {
        for file in [score::SCORES, evidence::FILE] {
            let text = fs::read_to_string(dir.join(file)).unwrap_or_default();
            if !text.lines().all(conceal::is_digest) {
                let rule = if file == score::SCORES { Rule::Scores } else { Rule::Evidence };
                wrong(rule, format!("{file} holds more than digests, and the terms of the dataset forbid that"));
            }
        }
        if dir.join(evidence::NUMBERS).exists() {
            wrong(Rule::Evidence, format!("{} is made of what the terms of the dataset forbid", evidence::NUMBERS));
        }
    } else if let Some(what) = evidence::check(&dir)? {
        wrong(Rule::Evidence, what);
        return Ok(verdict);
    }
    let inputs =
        score::inputs(cell, &dir, opened.record.suite.limit, &opened.record.suite.bootstrap, &opened.index.medvlm)?;
    let Some(samples) = &known.samples else {
        // Nobody can score again without the dataset; that the metrics are of these files can be seen.
        if recorded.as_ref().is_some_and(|recorded| recorded.inputs != inputs) {
            wrong(Rule::Metrics, "were not made from the files of the archive".into());
        }
        return Ok(verdict);
    };
    let Some(shown) = known.reveal(predictions) else { return Ok(verdict) };
    // The evidence of a concealed cell stays with the submitter, and so does what rests on it.
    let mut own = cell.clone();
    if !open {
        own.scorers.retain(|source| source.capabilities.is_empty());
    }
    let bootstrap = &opened.record.suite.bootstrap;
    let made = score::compute(&own, &dir, samples, &shown, bootstrap, &opened.engine, granted);
    let (scores, mut metrics) = match made {
        Ok(made) => made,
        Err(Error::Interrupted) => return Err(Error::Interrupted),
        Err(e) => {
            wrong(Rule::Scores, format!("cannot be scored again: {e}"));
            return Ok(verdict);
        }
    };
    metrics.inputs = inputs;
    verdict.checked = if own.scorers.len() == cell.scorers.len() { Checked::Rescored } else { Checked::Partly };
    verdict.rescored = own.scorers.iter().map(|source| source.id.clone()).collect();
    let scores = match &known.seal {
        Some(seal) => seal.lines(&scores),
        None => scores,
    };
    let recorded_scores = of_scorers(&recorded_scores, &verdict.rescored, verdict.checked);
    if let Some(line) = first_difference(&recorded_scores, &scores) {
        wrong(Rule::Scores, format!("{} line {line}: scoring again gives another line", score::SCORES));
    }
    let Some(recorded) = recorded else { return Ok(verdict) };
    if let Some(what) = compare(&recorded, &metrics, verdict.checked) {
        wrong(Rule::Metrics, what);
    }
    Ok(verdict)
}

/// The lines of some scorers.
fn of_scorers(bytes: &[u8], scorers: &BTreeSet<String>, checked: Checked) -> Vec<u8> {
    if checked == Checked::Rescored {
        return bytes.to_vec();
    }
    let own = |line: &&[u8]| {
        let read: serde_json::Value = serde_json::from_slice(line).unwrap_or_default();
        read["scorer"].as_str().is_some_and(|scorer| scorers.contains(scorer))
    };
    bytes.split_inclusive(|b| *b == b'\n').filter(own).flatten().copied().collect()
}

/// Number of the first line that differs.
fn first_difference(a: &[u8], b: &[u8]) -> Option<usize> {
    if a == b {
        return None;
    }
    let lines = |bytes: &'_ [u8]| bytes.split(|b| *b == b'\n').map(<[u8]>::to_vec).collect::<Vec<_>>();
    let (a, b) = (lines(a), lines(b));
    (0..a.len().max(b.len())).find(|line| a.get(*line) != b.get(*line)).map(|line| line + 1)
}

/// What differs between metrics that were recorded and made.
fn compare(recorded: &Metrics, made: &Metrics, checked: Checked) -> Option<String> {
    let mut recorded = recorded.clone();
    if checked == Checked::Partly {
        recorded.scorers.retain(|scorer| made.scorers.iter().any(|other| other.id == scorer.id));
        // Their place among lines of scorers that are left out is not known here.
        for (recorded, made) in recorded.scorers.iter_mut().zip(&made.scorers) {
            if recorded.lines.1.checked_sub(recorded.lines.0) == made.lines.1.checked_sub(made.lines.0) {
                recorded.lines = made.lines;
            }
        }
    }
    if to_json(&recorded).ok() == to_json(made).ok() {
        return None;
    }
    for (recorded, made) in recorded.scorers.iter().zip(&made.scorers).filter(|(a, b)| a.id == b.id) {
        if let Some((a, b)) = recorded.metrics.iter().zip(&made.metrics).find(|(a, b)| a != b) {
            let say = |metric: &score::Metric| format!("{:?} in {:?} to {:?}", metric.value, metric.low, metric.high);
            let (id, name) = (&recorded.id, &a.name);
            return Some(format!("{name} of scorer `{id}` is recorded as {}, scoring again gives {}", say(a), say(b)));
        }
    }
    let differs = |(name, differs): (&'static str, bool)| differs.then_some(name);
    let parts = [
        ("cell", recorded.cell != made.cell),
        ("number of samples", (recorded.expected, recorded.samples) != (made.expected, made.samples)),
        ("number of failed samples", recorded.failed != made.failed),
        ("number of patients", recorded.patients != made.patients),
        ("bootstrap", recorded.bootstrap != made.bootstrap),
        ("scorers", recorded.scorers != made.scorers),
        ("digest of what they depend on", recorded.inputs != made.inputs),
    ];
    let parts: Vec<&str> = parts.into_iter().filter_map(differs).collect();
    Some(format!(
        "scoring again gives other metrics (different: {}); `medvlm score` brings a run up to date",
        parts.join(", ")
    ))
}
