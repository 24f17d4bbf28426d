//! A submission to a verdict: every violation, not only the first.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::Arc,
};

use serde::Serialize;

use super::{
    coverage::{self, Known},
    division,
    opened::{Opened, samples_of},
    rerun, rescore,
};
use crate::{
    config::Suite,
    error::Result,
    prediction::Prediction,
    run::{Asking, Catalogs, Cell, EmbedSource, Granted, Observer, Plan, Settings, check_interrupt, score::Metrics},
    submission::{self, Archive, Division, Index, Rule, SIGNATURE, Violation},
};

/// What verifying needs beside the archive.
pub struct Options<'a> {
    /// The manifests and scorers of this machine: the official ones, and where data and weights are.
    pub catalogs: &'a Catalogs,
    /// The official suites.
    pub officials: Vec<Suite>,
    /// Directories of datasets, by name.
    pub roots: Vec<(String, PathBuf)>,
    /// Directories of checkpoints, by model.
    pub weights: Vec<(String, PathBuf)>,
    /// Whether samples are compared with the datasets of this machine.
    pub with_data: bool,
    /// How many samples of each cell are predicted again.
    pub rerun: usize,
    /// Where models run.
    pub settings: Settings,
    /// A public key that must have signed.
    pub key: Option<String>,
    /// Hears of progress.
    pub observer: Arc<dyn Observer + Send>,
}

/// What verifying found.
#[derive(Debug, Serialize)]
pub struct Verdict {
    /// Digest of the archive.
    pub archive: String,
    /// Whether it breaks no rule.
    pub valid: bool,
    /// Its division, where its index can be read.
    pub division: Option<Division>,
    /// Who submits.
    pub submitter: String,
    /// How to reach them.
    pub contact: String,
    /// What they say.
    pub note: String,
    /// Name of the suite.
    pub suite: String,
    /// Trusted comment of the signature, where one was checked.
    pub signed: Option<String>,
    /// The cells.
    pub cells: Vec<CellVerdict>,
    /// Every rule that is broken, and where.
    pub violations: Vec<Violation>,
    /// What could not be checked, and why.
    pub notes: Vec<String>,
}

/// A cell of a verdict.
#[derive(Debug, Clone, Serialize)]
pub struct CellVerdict {
    /// Its name.
    pub cell: String,
    /// Samples of the split.
    pub samples: usize,
    /// Of those, samples without an answer.
    pub failed: usize,
    /// How far its numbers were made again.
    pub checked: Checked,
    /// The scorers whose numbers were made again.
    pub rescored: BTreeSet<String>,
    /// Whether its samples were compared with the dataset.
    pub with_data: bool,
    /// Samples that were predicted again.
    pub rerun: usize,
    /// What the submission says of its metrics.
    #[serde(skip)]
    pub metrics: Option<Metrics>,
}

/// How far the numbers of a cell were made again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Checked {
    /// Not at all: the dataset is not here, and its words are not in the archive.
    HashesOnly,
    /// But for scorers whose evidence stays with the submitter.
    Partly,
    /// All of them.
    Rescored,
}

impl CellVerdict {
    /// Of a cell that was not scored yet.
    pub fn new(cell: &Cell, predictions: &[Prediction], metrics: Option<Metrics>) -> Self {
        Self {
            cell: cell.id.to_string(),
            samples: predictions.len(),
            failed: predictions.iter().filter(|prediction| prediction.failed()).count(),
            checked: Checked::HashesOnly,
            rescored: BTreeSet::new(),
            with_data: false,
            rerun: 0,
            metrics,
        }
    }
}

/// Checks a submission.
///
/// # Errors
/// The file cannot be read, a key is none, a directory that was named is no copy of its dataset, or the user stopped.
pub fn verify(path: &Path, options: &Options) -> Result<Verdict> {
    let (archive, index, violations) = submission::open(path)?;
    let digest = archive.digest()?;
    let mut verdict = Verdict::new(digest, index.as_ref(), violations);
    check_signature(path, options, &mut verdict)?;
    let whole = verdict.violations.iter().all(|violation| violation.rule == Rule::Signature);
    match index.filter(|_| whole) {
        Some(index) => check_content(&archive, index, digest, options, &mut verdict)?,
        None => verdict.notes.push("rules from 301 on were not looked into, because the archive is not whole".into()),
    }
    verdict.violations.sort();
    verdict.violations.dedup();
    verdict.valid = verdict.violations.is_empty();
    Ok(verdict)
}

impl Verdict {
    fn new(archive: blake3::Hash, index: Option<&Index>, violations: Vec<Violation>) -> Self {
        let text = |get: fn(&Index) -> &String| index.map(get).cloned().unwrap_or_default();
        Self {
            archive: archive.to_hex().to_string(),
            valid: false,
            division: index.map(|index| index.division),
            submitter: text(|index| &index.submitter),
            contact: text(|index| &index.contact),
            note: text(|index| &index.note),
            suite: String::new(),
            signed: None,
            cells: Vec::new(),
            violations,
            notes: Vec::new(),
        }
    }
}

fn check_signature(path: &Path, options: &Options, verdict: &mut Verdict) -> Result<()> {
    let mut signature = path.as_os_str().to_owned();
    signature.push(SIGNATURE);
    let signature = PathBuf::from(signature);
    match &options.key {
        Some(key) => match submission::check_signature(path, &signature, key)? {
            Ok(comment) => verdict.signed = Some(comment),
            Err(what) => verdict.violations.push(Violation::new(Rule::Signature, "", what)),
        },
        None if signature.exists() => {
            let what = format!("{} was not checked: no --key was given", signature.display());
            verdict.notes.push(what);
        }
        None => {}
    }
    Ok(())
}

fn check_content(
    archive: &Archive,
    index: Index,
    digest: blake3::Hash,
    options: &Options,
    verdict: &mut Verdict,
) -> Result<()> {
    let violations = &mut verdict.violations;
    let before = violations.len();
    let opened = Opened::new(archive, index, violations)?;
    let Some(opened) = opened.filter(|_| violations.len() == before) else {
        verdict.notes.push("rules from 401 on were not looked into, because it is not clear what was run".into());
        return Ok(());
    };
    verdict.suite.clone_from(&opened.record.suite.name);
    let granted =
        Granted::new(&plan(&opened, options), Asking { offline: true, ..Asking::default() }, options.observer.clone())?;
    let mut sides: BTreeMap<String, Known> = BTreeMap::new();
    for cell in &opened.cells {
        check_interrupt()?;
        let side = samples_of(&cell.id);
        if !sides.contains_key(&side) {
            let known = coverage::samples(cell, &opened.samples(cell), options, violations)?;
            sides.insert(side.clone(), known);
        }
        let known = &sides[&side];
        let Some(predictions) = coverage::predictions(cell, &cell.dir(&opened.run()), known, violations)? else {
            verdict.notes.push(format!("{}: not scored again, because its predictions are not valid", cell.id));
            continue;
        };
        options.observer.begin(&cell.id, "scoring again", predictions.len(), predictions.len());
        let mut checked = rescore::rescore(&opened, cell, known, &predictions, &granted, violations)?;
        checked.with_data = known.compared;
        options.observer.end(0);
        if options.rerun > 0 {
            match rerun::rerun(&opened, cell, known, &predictions, options, &digest, violations)? {
                Ok(count) => checked.rerun = count,
                Err(why) => verdict.notes.push(format!("{}: not predicted again: {why}", cell.id)),
            }
        }
        match checked.checked {
            Checked::Rescored => {}
            Checked::Partly => verdict.notes.push(format!(
                "{}: scorers that ask judges or encoders were not scored again, for their evidence stays with the submitter",
                cell.id
            )),
            Checked::HashesOnly => verdict.notes.push(format!(
                "{}: not scored again: `{}` is not here, and its terms keep its words out of the archive; name its \
                 directory with --root",
                cell.id, cell.id.dataset
            )),
        }
        verdict.cells.push(checked);
    }
    if opened.index.division == Division::Closed {
        division::check(&opened, &verdict.cells, options, violations)?;
    }
    Ok(())
}

/// What granting evidence looks into: nobody is asked.
fn plan(opened: &Opened, options: &Options) -> Plan {
    let recorded = opened.record.embed.clone();
    let nobody = || Err("a submission is scored from its evidence alone".into());
    Plan {
        suite: opened.record.suite.clone(),
        dir: opened.run(),
        settings: options.settings.clone(),
        cells: Vec::new(),
        blocked: Vec::new(),
        excluded: Vec::new(),
        judges: Vec::new(),
        embed: recorded.map(|record| EmbedSource { record, model: nobody() }),
        remotes: Vec::new(),
    }
}
