//! A few samples of each cell, predicted again where dataset and weights are: rule 801.

use std::{collections::BTreeSet, fs};

use super::{coverage::Known, opened::Opened, verify::Options};
use crate::{
    config::Evaluation,
    error::{Error, Result},
    prediction::{self, Prediction, Store},
    run::{Cell, Filter, Plan, crew, plan, predict},
    submission::{Rule, Violation},
};

/// How far logits may be apart, relative to the larger one or absolutely: f32, and shorter types.
const TOLERANCES: [f32; 2] = [1e-3, 5e-2];

/// Predicts `options.rerun` samples of a cell again, chosen by the digest of the archive so that nobody can know them before
/// it is packed. Tells what kept it from doing so.
pub fn rerun(
    opened: &Opened,
    cell: &Cell,
    known: &Known,
    predictions: &[Prediction],
    options: &Options,
    archive: &blake3::Hash,
    violations: &mut Vec<Violation>,
) -> Result<std::result::Result<usize, String>> {
    let plan = match here(opened, cell, options) {
        Ok(plan) => plan,
        Err(Error::Interrupted) => return Err(Error::Interrupted),
        Err(e) => return Ok(Err(e.to_string())),
    };
    let Some(own) = plan.cells.iter().find(|own| own.id == cell.id) else {
        return Ok(Err("the model is not here".into()));
    };
    let other = own.fingerprint.iter().find(|(key, value)| cell.fingerprint.get(*key) != Some(*value));
    if let Some((key, _)) = other {
        return Ok(Err(format!("what is here differs from what was used ({key})")));
    }
    let (Some(shown), true) = (known.reveal(predictions), known.samples.is_some()) else {
        return Ok(Err("the dataset is not here".into()));
    };
    let chosen = choose(&cell.id.to_string(), shown.len(), options.rerun, archive);
    // The other predictions are there already, so that a run goes on with the chosen ones alone.
    let dir = own.dir(&plan.dir);
    fs::create_dir_all(&dir).map_err(Error::io(&dir))?;
    let kept = shown.iter().filter(|prediction| !chosen.contains(&prediction.index));
    let path = dir.join(predict::FILE);
    let mut store = Store::open(&path)?;
    store.append(kept.cloned().collect())?;
    drop(store);
    crew::predict(&plan, None, &*options.observer)?;
    let again = prediction::read(&path)?;
    let tolerance = TOLERANCES[usize::from(opened.record.dtype != "f32")];
    for (old, new) in shown.iter().zip(&again).filter(|(old, _)| chosen.contains(&old.index)) {
        if let Some(what) = differs(old, new, tolerance) {
            let what = format!("sample {}: predicted again, {what}", old.index);
            violations.push(Violation::new(Rule::Rerun, cell.id.to_string(), what));
        }
    }
    Ok(Ok(chosen.len()))
}

/// The plan of one cell on this machine.
fn here(opened: &Opened, cell: &Cell, options: &Options) -> Result<Plan> {
    let mut suite = opened.record.suite.clone();
    let remote = opened.record.remotes.iter().find(|remote| remote.id == cell.id.model);
    if remote.is_some() {
        return Err(Error::usage("the model is behind an endpoint, which is not asked again"));
    }
    suite.models = vec![cell.id.model.clone()];
    suite.usages = vec![cell.id.usage];
    suite.seeds = vec![cell.id.seed];
    suite.datasets = vec![Evaluation {
        models: Vec::new(),
        usages: Vec::new(),
        task: Some(cell.id.task),
        root: options.roots.iter().find(|(id, _)| *id == cell.id.dataset).map(|(_, root)| root.clone()),
        ..cell.evaluation.clone()
    }];
    // Options are those of scorers, and a scorer that is not used may have none.
    let used: Vec<&str> = cell.scorers.iter().map(|source| source.id.as_str()).collect();
    suite.options.retain(|id, _| used.contains(&id.as_str()));
    suite.weights = options.weights.iter().filter(|(model, _)| *model == cell.id.model).cloned().collect();
    let mut settings = options.settings.clone();
    settings.device.clone_from(&opened.record.device);
    settings.dtype.clone_from(&opened.record.dtype);
    let dir = opened.dir.path().join("again");
    let plan = plan::plan(suite, options.catalogs, settings, dir, &Filter::default())?;
    plan.check_ready()?;
    Ok(plan)
}

/// Distinct positions among `count`, the same for the same archive.
fn choose(cell: &str, count: usize, wanted: usize, archive: &blake3::Hash) -> BTreeSet<u32> {
    let mut reader = blake3::Hasher::new_keyed(archive.as_bytes()).update(cell.as_bytes()).finalize_xof();
    let mut chosen = BTreeSet::new();
    while chosen.len() < wanted.min(count) {
        let mut bytes = [0; 8];
        reader.fill(&mut bytes);
        chosen.insert((u64::from_le_bytes(bytes) % count as u64) as u32);
    }
    chosen
}

/// How two predictions of one sample differ.
fn differs(old: &Prediction, new: &Prediction, tolerance: f32) -> Option<String> {
    if old.failed() != new.failed() {
        return Some(if new.failed() { "it fails" } else { "it does not fail" }.into());
    }
    if old.text != new.text {
        return Some("the answer is another one".into());
    }
    let apart = |(a, b): (&f32, &f32)| (a - b).abs() > tolerance * a.abs().max(b.abs()).max(1.0);
    let pairs = || old.logits.iter().zip(&new.logits);
    (old.logits.len() != new.logits.len() || pairs().any(apart)).then(|| {
        let most = pairs().map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        format!("logits differ by up to {most}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_chosen_by_the_archive_and_never_twice() {
        let (a, b) = (blake3::hash(b"a"), blake3::hash(b"b"));
        assert_eq!(choose("cell", 1000, 20, &a), choose("cell", 1000, 20, &a));
        assert_ne!(choose("cell", 1000, 20, &a), choose("cell", 1000, 20, &b));
        assert_ne!(choose("cell", 1000, 20, &a), choose("other", 1000, 20, &a));
        assert_eq!(choose("cell", 3, 20, &a), BTreeSet::from([0, 1, 2]));
        assert!(choose("cell", 0, 20, &a).is_empty());
    }

    #[test]
    fn logits_may_differ_by_rounding_and_answers_not_at_all() {
        let logits = |first: f32| Prediction { logits: vec![first, 1.0], ..Prediction::default() };
        assert_eq!(differs(&logits(3.0), &logits(3.001), 1e-3), None);
        assert!(differs(&logits(3.0), &logits(3.1), 1e-3).is_some());
        let text = |text: &str| Prediction { text: Some(text.into()), ..Prediction::default() };
        assert!(
            differs(&text("yes"), &text("no"), 1.0).is_some() && differs(&text("yes"), &text("yes"), 0.0).is_none()
        );
        let failed = Prediction { error: Some("gone".into()), ..Prediction::default() };
        assert_eq!(differs(&text("yes"), &failed, 1.0).as_deref(), Some("it fails"));
    }
}
