//! Predictions to `scores.jsonl` and `metrics.json`. No model is needed, and the bytes are the same every time.

use std::{collections::BTreeMap, io::Write, path::Path};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    config::Bootstrap,
    dataset::{Choice, Dataset, Sample, Target},
    error::{Error, Result},
    evidence,
    ids::{Task, digest},
    prediction::{self, Prediction},
    run::{
        Cell, Granted, check_interrupt,
        granted::{CellGrants, Tally},
        plan::ScorerSource,
        predict,
        scored::Scored,
        subgroups::{self, SubgroupTable},
        to_json, write_atomically,
    },
    scorer::{self, Engine, SampleScore, Scorer},
    stats,
};

pub use super::scored::Metric;

/// `metrics.json` of a cell.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Metrics {
    /// The cell.
    pub cell: String,
    /// Samples of the split.
    pub expected: usize,
    /// Samples with a prediction.
    pub samples: usize,
    /// Of those, samples without an answer; they score the metric's worst.
    pub failed: usize,
    /// Clusters of the bootstrap: patients, or samples where the dataset names no patients.
    pub patients: usize,
    /// How the intervals were made.
    pub bootstrap: Bootstrap,
    /// Digest of everything that the numbers depend on.
    pub inputs: String,
    /// One entry for each scorer, in the order of the suite.
    pub scorers: Vec<ScorerMetrics>,
}

/// What one scorer made of a cell.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ScorerMetrics {
    /// Name of the scorer.
    pub id: String,
    /// Its version.
    pub version: String,
    /// Digest of its component.
    pub component: String,
    /// First and last line of `scores.jsonl` that the metrics come from: one for each sample that the suite selects.
    pub lines: (usize, usize),
    /// What it needed from judges and encoders; absent where it needs none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<Tally>,
    /// The metrics.
    pub metrics: Vec<Metric>,
    /// The same metrics on groups of the samples, one table for each group column of the dataset.
    pub subgroups: Vec<SubgroupTable>,
}

/// One line of `scores.jsonl`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ScoreLine {
    /// Name of the scorer.
    pub scorer: String,
    /// Id of the sample.
    pub sample: String,
    /// The score.
    #[serde(flatten)]
    pub score: SampleScore,
}

/// File names in a cell's directory.
pub const SCORES: &str = "scores.jsonl";
/// File names in a cell's directory.
pub const METRICS: &str = "metrics.json";

/// This program's.
pub(super) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Scores a cell, or answers from disk when nothing has changed since and nothing is missing that could still be asked for.
pub fn score(
    cell: &Cell,
    run_dir: &Path,
    limit: u32,
    bootstrap: &Bootstrap,
    engine: &Engine,
    granted: &Granted,
) -> Result<Metrics> {
    let dir = cell.dir(run_dir);
    let known = inputs(cell, &dir, limit, bootstrap, VERSION)?;
    if let Some(fresh) = fresh(&dir, &known).filter(|fresh| granted.is_offline() || fresh.unanswered() == 0) {
        return Ok(fresh);
    }
    let dataset = cell.dataset()?;
    let samples = predict::samples(cell, &dataset, limit)?;
    let predictions = prediction::read(&dir.join(predict::FILE))?;
    let (lines, mut metrics) = compute(cell, &dir, &samples, &predictions, bootstrap, engine, granted)?;
    // Answers that came in meanwhile are part of what the numbers depend on.
    metrics.inputs = inputs(cell, &dir, limit, bootstrap, VERSION)?;
    write_atomically(&dir.join(SCORES), &lines)?;
    write_atomically(&dir.join(METRICS), &to_json(&metrics)?)?;
    Ok(metrics)
}

/// The bytes of `scores.jsonl`, and the metrics but for their `inputs`; the evidence of the directory is used.
pub(super) fn compute(
    cell: &Cell,
    dir: &Path,
    samples: &[Sample],
    predictions: &[Prediction],
    bootstrap: &Bootstrap,
    engine: &Engine,
    granted: &Granted,
) -> Result<(Vec<u8>, Metrics)> {
    let paired = pair(dir, samples, predictions)?;
    let classes: Vec<&str> = cell.manifest.classes.iter().map(|c| c.name.as_str()).collect();
    let multi_label = cell.manifest.multi_label();
    let units: Vec<scorer::Sample> =
        paired.iter().map(|(s, p)| unit(s, p, &classes, multi_label)).collect::<Result<_>>()?;
    let grants = granted.open(cell, dir)?;
    let mut lines = Vec::new();
    let mut count = 0;
    let mut scorers = Vec::new();
    for source in &cell.scorers {
        let (id, scorer) = (&source.id, load(source, engine, grants.as_ref())?);
        let (paired, units) = selected(source, &paired, &units)?;
        if !source.conditions.is_empty() {
            granted.note(&format!("{}: scorer `{id}` is for {} of {} samples", cell.id, units.len(), samples.len()));
        }
        let scores = scorer.score(&units).map_err(|e| grants.as_ref().and_then(CellGrants::take_error).unwrap_or(e))?;
        check_interrupt()?;
        for ((sample, _), score) in paired.iter().zip(&scores) {
            let line = ScoreLine { scorer: id.clone(), sample: sample.id.clone(), score: score.clone() };
            serde_json::to_writer(&mut lines, &line).map_err(|e| Error::failed(e.to_string()))?;
            lines.write_all(b"\n").map_err(Error::io(dir))?;
        }
        let asking = grants.as_ref().filter(|_| !source.capabilities.is_empty());
        let evidence = asking.map(|grants| grants.take_tally(id));
        let scored = Scored { scorer: &scorer, scores: &scores };
        let clusters = clusters(&paired);
        let metrics = scored.metrics(&clusters, bootstrap)?;
        let groups: Vec<(&str, Vec<Option<&str>>)> =
            cell.manifest.fields.groups.iter().map(|column| (column.as_str(), group_values(&paired, column))).collect();
        scorers.push(ScorerMetrics {
            id: id.clone(),
            version: scorer.metadata().version.clone(),
            component: scorer.digest().into(),
            lines: (count + 1, count + scores.len()),
            subgroups: subgroups::tables(&scored, &metrics, &clusters, &groups, bootstrap)?,
            evidence,
            metrics,
        });
        count += scores.len();
        for line in scorer.log() {
            tracing::debug!(target: "scorer", "{id}: {line}");
        }
    }
    let metrics = Metrics {
        cell: cell.id.to_string(),
        expected: samples.len(),
        samples: paired.len(),
        failed: paired.iter().filter(|(_, p)| p.failed()).count(),
        patients: clusters(&paired).len(),
        bootstrap: bootstrap.clone(),
        inputs: String::new(),
        scorers,
    };
    Ok((lines, metrics))
}

impl Metrics {
    /// Requests to judges and encoders that have no answer.
    pub fn unanswered(&self) -> usize {
        self.scorers.iter().filter_map(|scorer| scorer.evidence.as_ref()).map(|tally| tally.missing).sum()
    }
}

/// Fails if a scorer's conditions name what is not known of the samples, or select none.
pub fn check_conditions(scorers: &[ScorerSource], dataset: &Dataset, split: &str, task: Task) -> Result<()> {
    if scorers.iter().all(|scorer| scorer.conditions.is_empty()) {
        return Ok(());
    }
    let (blank, manifest) = (Prediction::default(), dataset.manifest());
    let meta = |sample: &Sample| meta(&unit(sample, &blank, &[], manifest.multi_label())?);
    let metas: Vec<Value> = dataset.samples(split, task)?.iter().map(meta).collect::<Result<_>>()?;
    for ScorerSource { id, conditions, .. } in scorers {
        conditions.check(&metas).map_err(|e| Error::usage(format!("scorer `{id}`: {e}")))?;
        if !metas.iter().any(|meta| conditions.accept(meta)) {
            let message = format!("scorer `{id}`: no sample of `{}` meets its conditions", manifest.id);
            return Err(Error::usage(message));
        }
    }
    Ok(())
}

fn load(source: &ScorerSource, engine: &Engine, grants: Option<&CellGrants>) -> Result<Scorer> {
    let grants = grants.filter(|_| !source.capabilities.is_empty()).map(CellGrants::grants);
    source.load_with(engine, &grants.unwrap_or_default())
}

type Paired<'a> = Vec<(&'a Sample, &'a Prediction)>;

/// What a scorer's conditions select.
fn selected<'a>(
    source: &ScorerSource,
    paired: &Paired<'a>,
    units: &[scorer::Sample],
) -> Result<(Paired<'a>, Vec<scorer::Sample>)> {
    let mut kept = (Vec::new(), Vec::new());
    for (pair, unit) in paired.iter().zip(units) {
        if source.conditions.is_empty() || source.conditions.accept(&meta(unit)?) {
            kept.0.push(*pair);
            kept.1.push(unit.clone());
        }
    }
    Ok(kept)
}

fn meta(unit: &scorer::Sample) -> Result<Value> {
    serde_json::from_str(&unit.meta).map_err(|e| Error::failed(e.to_string()))
}

fn clusters(paired: &Paired<'_>) -> stats::Clusters {
    let patients: Vec<&str> = paired.iter().map(|(s, _)| s.patient.as_deref().unwrap_or(&s.id)).collect();
    stats::Clusters::new(&patients)
}

/// The metrics of a cell on disk.
pub fn read(dir: &Path) -> Option<Metrics> {
    serde_json::from_slice(&std::fs::read(dir.join(METRICS)).ok()?).ok()
}

/// The metrics of a cell, if they are on disk and were made from what is there now.
pub fn read_fresh(cell: &Cell, run_dir: &Path, limit: u32, bootstrap: &Bootstrap) -> Result<Option<Metrics>> {
    let dir = cell.dir(run_dir);
    Ok(fresh(&dir, &inputs(cell, &dir, limit, bootstrap, VERSION)?))
}

/// The lines of `scores.jsonl` of a cell, by scorer and sample.
pub fn read_lines(dir: &Path) -> Result<BTreeMap<(String, u32), SampleScore>> {
    let path = dir.join(SCORES);
    let text = std::fs::read_to_string(&path).map_err(Error::io(&path))?;
    text.lines()
        .enumerate()
        .map(|(number, line)| {
            let line: ScoreLine = serde_json::from_str(line)
                .map_err(|e| Error::invalid(format!("{}:{}", path.display(), number + 1), format!("no score: {e}")))?;
            Ok(((line.scorer, line.score.index), line.score))
        })
        .collect()
}

fn fresh(dir: &Path, inputs: &str) -> Option<Metrics> {
    read(dir).filter(|metrics| metrics.inputs == inputs && dir.join(SCORES).exists())
}

/// Digest of everything that the numbers of a cell's directory depend on, the version of the program that made them included.
pub(super) fn inputs(cell: &Cell, dir: &Path, limit: u32, bootstrap: &Bootstrap, version: &str) -> Result<String> {
    let file = |path: &Path| std::fs::read(path).map(|bytes| digest(&bytes)).map_err(Error::io(path));
    let mut parts = vec![
        version.to_string(),
        file(&dir.join(predict::FILE))?,
        serde_json::to_string(bootstrap).map_err(|e| Error::failed(e.to_string()))?,
        limit.to_string(),
    ];
    for key in ["dataset.manifest", "dataset.files"] {
        parts.push(cell.fingerprint.get(key).cloned().unwrap_or_default());
    }
    for scorer in &cell.scorers {
        parts.push(format!("{}={} {}", scorer.id, file(&scorer.component)?, scorer.config));
        if !scorer.conditions.is_empty() {
            parts.push(serde_json::to_string(&scorer.conditions).map_err(|e| Error::failed(e.to_string()))?);
        }
    }
    if cell.scorers.iter().any(|scorer| !scorer.capabilities.is_empty()) {
        parts.push(cell.granted.clone());
        parts.extend(evidence::fingerprint(dir)?);
    }
    Ok(digest(parts.join("\n").as_bytes()))
}

/// Each prediction with its sample, in the order of the predictions.
pub(super) fn pair<'a>(
    dir: &Path,
    samples: &'a [Sample],
    predictions: &'a [Prediction],
) -> Result<Vec<(&'a Sample, &'a Prediction)>> {
    let known: BTreeMap<u32, &Sample> = samples.iter().map(|s| (s.index, s)).collect();
    predictions
        .iter()
        .map(|p| match known.get(&p.index) {
            Some(sample) if sample.id == p.sample => Ok((*sample, p)),
            _ => Err(Error::invalid(
                dir.join(predict::FILE),
                format!(
                    "sample `{}` at position {} is not in the dataset copy: it was predicted on another one",
                    p.sample, p.index
                ),
            )),
        })
        .collect()
}

/// The value of a group column of each sample.
fn group_values<'a>(paired: &[(&'a Sample, &Prediction)], column: &str) -> Vec<Option<&'a str>> {
    paired.iter().map(|(sample, _)| sample.groups.get(column).map(String::as_str)).collect()
}

/// What a scorer is given of a sample and its prediction.
fn unit(sample: &Sample, prediction: &Prediction, classes: &[&str], multi_label: bool) -> Result<scorer::Sample> {
    let (labels, references) = match &sample.target {
        Target::Labels(labels) => {
            let names = labels.iter().map(|l| classes.get(*l as usize).unwrap_or(&"").to_string()).collect();
            (labels.clone(), names)
        }
        Target::Answers(answers) => (Vec::new(), answers.clone()),
    };
    let mut meta = serde_json::Map::new();
    meta.insert("question".into(), sample.question.clone().into());
    meta.insert("closed".into(), sample.closed.into());
    let choices = sample.options.iter().map(|choice| (choice.letter.clone(), choice.text.clone().into()));
    let choices: serde_json::Map<String, serde_json::Value> = choices.collect();
    meta.insert("choices".into(), Some(choices).filter(|choices| !choices.is_empty()).into());
    meta.insert("options".into(), Some(by_position(&sample.options)).filter(|texts| !texts.is_empty()).into());
    meta.insert("multi_label".into(), multi_label.then_some(true).into());
    meta.insert("groups".into(), serde_json::to_value(&sample.groups).map_err(|e| Error::failed(e.to_string()))?);
    for (column, value) in sample.groups.iter().chain(&sample.meta) {
        meta.entry(column.clone()).or_insert_with(|| value.clone().into());
    }
    meta.retain(|_, value| !value.is_null());
    Ok(scorer::Sample {
        index: sample.index,
        prediction: prediction.text.clone().unwrap_or_default(),
        logits: prediction.logits.iter().map(|l| f64::from(*l)).collect(),
        references,
        labels,
        failed: prediction.failed(),
        meta: serde_json::to_string(&meta).map_err(|e| Error::failed(e.to_string()))?,
    })
}

/// The texts of options, A first; a letter without an option has an empty one.
fn by_position(options: &[Choice]) -> Vec<String> {
    let mut texts = Vec::new();
    for (choice, letter) in options.iter().filter_map(|choice| Some((choice, choice.letter.bytes().next()?))) {
        texts.resize(usize::from(letter.saturating_sub(b'A')), String::new());
        texts.push(choice.text.clone());
    }
    texts
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn scorers_see_the_raw_question_the_choices_and_the_columns_of_the_manifest() {
        let column = |name: &str, value: &str| BTreeMap::from([(name.to_string(), value.to_string())]);
        let sample = Sample {
            index: 3,
            id: "s".into(),
            images: Vec::new(),
            question: Some("Which?".into()),
            prompt: Some("Which? Answer with a letter.".into()),
            closed: Some(false),
            options: [("A", "left"), ("C", "right")]
                .map(|(letter, text)| Choice { letter: letter.into(), text: text.into() })
                .into(),
            target: Target::Answers(vec!["A".into(), "left".into()]),
            unknown: Vec::new(),
            patient: None,
            groups: column("content_type", "Organ"),
            meta: column("answer_type", "OPEN")
                .into_iter()
                .chain(column("question", "a column of this name"))
                .collect(),
        };
        let unit = unit(&sample, &Prediction::default(), &[], false).expect("made");
        let meta: serde_json::Value = serde_json::from_str(&unit.meta).expect("JSON");
        let expected = json!({"question": "Which?", "closed": false, "choices": {"A": "left", "C": "right"}, "options": ["left", "", "right"], "groups": {"content_type": "Organ"},
                              "content_type": "Organ", "answer_type": "OPEN"});
        assert_eq!((meta, unit.references), (expected, vec!["A".into(), "left".into()]));
    }
}
