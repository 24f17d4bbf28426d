//! What failed and what is missing: in full as `tables/failures.csv`, cut to what can be read on the page.

use std::{collections::BTreeMap, io::Write};

use super::Staged;
use crate::{
    error::{Error, Result},
    report::{CellReport, FailureReport, MissingReport, SampleReport, csv},
    run::score::Metrics,
};

/// The list of all failures of a run.
pub(super) struct Failures {
    file: Staged,
    out: std::io::BufWriter<std::fs::File>,
}

/// The failures of one cell.
pub(super) struct OfCell<'a> {
    cell: String,
    out: &'a mut std::io::BufWriter<std::fs::File>,
    reasons: BTreeMap<String, usize>,
    report: FailureReport,
}

const HEAD: [&str; 5] = ["cell", "sample", "index", "what", "reason"];
/// The reason of failures beyond those that are told apart.
const FURTHER: &str = "further reasons";

impl Failures {
    pub fn new(mut file: Staged) -> Result<Self> {
        let mut out = file.writer()?;
        write(&mut out, &csv::table(&HEAD, std::iter::empty())?)?;
        Ok(Self { file, out })
    }

    pub fn of(&mut self, cell: &CellReport) -> OfCell<'_> {
        OfCell { cell: cell.id.clone(), out: &mut self.out, reasons: BTreeMap::new(), report: FailureReport::default() }
    }

    pub fn keep(mut self) -> Result<()> {
        self.out.flush().map_err(Error::io(&self.file.path))?;
        self.file.keep()
    }
}

impl OfCell<'_> {
    pub fn push(&mut self, sample: &SampleReport) -> Result<()> {
        if let Some(reason) = &sample.error {
            self.line(sample, "prediction", reason)?;
            let known = self.reasons.contains_key(reason) || self.reasons.len() < FailureReport::REASONS;
            *self.reasons.entry(if known { reason.clone() } else { FURTHER.into() }).or_default() += 1;
            if self.report.listed.len() < FailureReport::LISTED {
                self.report.listed.push((sample.id.clone(), reason.clone()));
            }
        }
        for (name, _) in sample.scores.iter().filter(|(_, value)| value.is_none()) {
            self.line(sample, &format!("score {name}"), "missing")?;
            let (scorer, value) = name.split_once('.').unwrap_or((name, ""));
            let missing = &mut self.report.missing;
            let at = missing.iter().position(|m| (m.scorer.as_str(), m.value.as_str()) == (scorer, value));
            let at = at.unwrap_or_else(|| {
                let (scorer, value) = (scorer.into(), value.into());
                missing.push(MissingReport { scorer, value, samples: 0, unanswered: None, listed: Vec::new() });
                missing.len() - 1
            });
            missing[at].samples += 1;
            if missing[at].listed.len() < FailureReport::LISTED {
                missing[at].listed.push(sample.id.clone());
            }
        }
        Ok(())
    }

    pub fn finish(mut self, metrics: &Metrics) -> FailureReport {
        for missing in &mut self.report.missing {
            let scorer = metrics.scorers.iter().find(|scorer| scorer.id == missing.scorer);
            missing.unanswered =
                scorer.and_then(|scorer| scorer.evidence.as_ref()).map(|tally| (tally.missing, tally.needed));
        }
        self.report.reasons = self.reasons.into_iter().collect();
        self.report.reasons.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        self.report
    }

    fn line(&mut self, sample: &SampleReport, what: &str, reason: &str) -> Result<()> {
        let row = [self.cell.as_str(), &sample.id, &sample.index.to_string(), what, reason].map(String::from);
        let text = csv::table(&HEAD, std::iter::once(row.to_vec()))?;
        write(self.out, text.split_once('\n').map_or("", |(_, row)| row))
    }
}

fn write(out: &mut impl Write, text: &str) -> Result<()> {
    out.write_all(text.as_bytes()).map_err(|e| Error::failed(format!("the list of failures: {e}")))
}
