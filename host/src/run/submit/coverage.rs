//! Every sample is there once and predicted once, and both are what they say: rules 401 to 405.

use std::{collections::HashSet, fs, path::Path};

use super::{
    conceal::{self, Seal},
    samples,
    verify::Options,
};
use crate::{
    dataset::{Access, Dataset, Sample, Target},
    error::{Error, Result},
    ids::{Task, digest},
    prediction::Prediction,
    run::{Cell, predict},
    submission::{Rule, Violation},
};

/// Violations that are told in one sentence of a kind.
const TOLD: usize = 3;

/// The samples of a split as far as they are known.
#[derive(Default)]
pub struct Known {
    /// How many the archive lists.
    pub count: usize,
    /// The samples: from the archive, or where their texts are not in it, from the dataset.
    pub samples: Option<Vec<Sample>>,
    /// Where texts are concealed and the dataset is here.
    pub seal: Option<Seal>,
    /// Whether they were compared with the dataset.
    pub compared: bool,
}

impl Known {
    /// Predictions with the words of the dataset; none where they name what it does not have.
    pub fn reveal(&self, predictions: &[Prediction]) -> Option<Vec<Prediction>> {
        match &self.seal {
            Some(seal) => predictions.iter().map(|prediction| seal.reveal(prediction)).collect(),
            None => Some(predictions.to_vec()),
        }
    }
}

/// Reads the samples of a cell's split, and compares them with the dataset where it is.
pub fn samples(cell: &Cell, path: &Path, options: &Options, violations: &mut Vec<Violation>) -> Result<Known> {
    let place = super::opened::samples_of(&cell.id);
    let mut wrong = |rule, what: String| violations.push(Violation::new(rule, &place, what));
    let Some(lines) = whole_lines(path)? else {
        wrong(Rule::Samples, "is no text of whole lines".into());
        return Ok(Known::default());
    };
    let open = cell.manifest.access == Access::Open;
    let mut known = Known { count: lines.len(), ..Known::default() };
    if open {
        match read_open(cell, &lines) {
            Ok(samples) => known.samples = Some(samples),
            Err(what) => wrong(Rule::Samples, what),
        }
    } else if let Some(line) = (0..lines.len()).find(|line| !is_concealed(&lines[*line], *line)) {
        wrong(Rule::Samples, format!("line {}: is no digest of the sample at this position", line + 1));
    }
    let counts = cell.manifest.split(&cell.id.split).ok().and_then(|split| split.counts.get(&cell.id.task));
    if let Some(count) = counts.filter(|count| **count as usize != lines.len()) {
        wrong(Rule::Counts, format!("lists {} samples, the manifest says {count}", lines.len()));
    }
    let Some((dataset, local)) = local(cell, options)? else { return Ok(known) };
    known.compared = true;
    if cell.fingerprint.get("dataset.files") != Some(&dataset.fingerprint(&cell.id.split)?) {
        wrong(Rule::SameData, format!("the copy of the dataset in {} is another one", dataset.root().display()));
    }
    let expected = match open {
        true => samples::lines(&local)?,
        false => {
            let seal = Seal::of(cell, &dataset, &local)?;
            let lines = String::from_utf8_lossy(&seal.samples()).lines().map(String::from).collect();
            known.samples = Some(local);
            known.seal = Some(seal);
            lines
        }
    };
    if let Some(line) = (0..lines.len().max(expected.len())).find(|line| lines.get(*line) != expected.get(*line)) {
        wrong(Rule::SameData, format!("line {}: is not that sample of the dataset", line + 1));
    }
    Ok(known)
}

/// Reads the predictions of a cell. None where they are not those of the samples.
pub fn predictions(
    cell: &Cell,
    dir: &Path,
    known: &Known,
    violations: &mut Vec<Violation>,
) -> Result<Option<Vec<Prediction>>> {
    let before = violations.len();
    let path = dir.join(predict::FILE);
    let place = cell.id.to_string();
    let mut wrong = |rule, what: String| violations.push(Violation::new(rule, &place, what));
    let Some(lines) = whole_lines(&path)? else {
        wrong(Rule::Predictions, format!("{} is no text of whole lines", predict::FILE));
        return Ok(None);
    };
    let mut predictions = Vec::with_capacity(lines.len());
    for (number, line) in lines.iter().enumerate() {
        match serde_json::from_str::<Prediction>(line) {
            Ok(read) if serde_json::to_string(&read).ok().as_ref() == Some(line) => predictions.push(read),
            Ok(_) => wrong(Rule::Predictions, format!("line {} is not written as packing writes it", number + 1)),
            Err(e) => wrong(Rule::Predictions, format!("line {} is no prediction: {e}", number + 1)),
        }
    }
    covered(known, &predictions).into_iter().for_each(|what| wrong(Rule::Coverage, what));
    let shapes = predictions.iter().filter_map(|p| Some((p.index, misfit(cell, known, p)?)));
    several(shapes).into_iter().for_each(|what| wrong(Rule::Predictions, what));
    Ok((violations.len() == before).then_some(predictions))
}

/// What is wrong with the positions and names of predictions.
fn covered(known: &Known, predictions: &[Prediction]) -> Vec<String> {
    let mut times = vec![0usize; known.count];
    let mut found = Vec::new();
    for prediction in predictions {
        match times.get_mut(prediction.index as usize) {
            Some(times) => *times += 1,
            None => found.push((prediction.index, "is no position of the samples")),
        }
    }
    for (position, times) in times.iter().enumerate().filter(|(_, times)| **times != 1) {
        let what = if *times == 0 { "is not predicted" } else { "is predicted more than once" };
        found.push((position as u32, what));
    }
    let mut names = HashSet::new();
    for prediction in predictions {
        let sample = known.samples.as_ref().and_then(|samples| samples.get(prediction.index as usize));
        let right = match (&known.seal, sample) {
            (_, None) => true,
            (None, Some(sample)) => sample.id == prediction.sample,
            (Some(seal), Some(sample)) => seal.reveal(prediction).is_some_and(|shown| shown.sample == sample.id),
        };
        if !right || !names.insert(&prediction.sample) {
            found.push((prediction.index, "does not name the sample at this position"));
        }
    }
    if found.is_empty() && !predictions.is_sorted_by_key(|prediction| prediction.index) {
        return vec!["predictions are not in the order of the samples".into()];
    }
    several(found.into_iter().map(|(index, what)| (index, what.to_string())))
}

/// Why a prediction does not fit its task or its sample.
fn misfit(cell: &Cell, known: &Known, prediction: &Prediction) -> Option<String> {
    let (logits, text) = (prediction.logits.as_slice(), prediction.text.as_deref());
    if prediction.failed() {
        return (!logits.is_empty() || text.is_some()).then(|| "has both an answer and an error".into());
    }
    let fits = match cell.id.task {
        Task::Diagnosis => {
            text.is_none() && logits.len() == cell.manifest.classes.len() && logits.iter().all(|l| l.is_finite())
        }
        Task::Vqa | Task::Caption => text.is_some() && logits.is_empty(),
    };
    if !fits {
        return Some(format!("is no answer of the task `{}`", cell.id.task));
    }
    let asked = match cell.id.task {
        Task::Diagnosis => cell.fingerprint.get("dataset.prompts").cloned(),
        Task::Vqa | Task::Caption => {
            let sample = known.samples.as_ref().and_then(|samples| samples.get(prediction.index as usize));
            sample.map(|sample| digest(sample.prompt.as_deref().unwrap_or_default().as_bytes()))
        }
    };
    let asked = match (cell.manifest.access, &known.seal) {
        (Access::Open, _) => asked,
        (_, Some(seal)) => asked.map(|digest| seal.digest(&digest)),
        (_, None) => None,
    };
    asked.filter(|asked| *asked != prediction.digests.prompt).map(|_| "was asked something else".into())
}

/// One sentence for each kind, with the first positions.
fn several(found: impl Iterator<Item = (u32, String)>) -> Vec<String> {
    let mut kinds: std::collections::BTreeMap<String, Vec<u32>> = std::collections::BTreeMap::new();
    found.for_each(|(index, what)| kinds.entry(what).or_default().push(index));
    let sentence = |(what, at): (String, Vec<u32>)| {
        let first: Vec<String> = at.iter().take(TOLD).map(ToString::to_string).collect();
        let more = if at.len() > TOLD { format!(" and {} more", at.len() - TOLD) } else { String::new() };
        format!("sample {}{more}: {what}", first.join(", "))
    };
    kinds.into_iter().map(sentence).collect()
}

fn read_open(cell: &Cell, lines: &[String]) -> std::result::Result<Vec<Sample>, String> {
    let mut samples = Vec::with_capacity(lines.len());
    let mut ids = HashSet::new();
    for (position, line) in lines.iter().enumerate() {
        let sample = samples::parse(line).map_err(|e| format!("line {}: {e}", position + 1))?;
        let classes = cell.manifest.classes.len();
        let fits = match (&sample.target, cell.id.task) {
            (Target::Labels(labels), Task::Diagnosis) => {
                labels.iter().all(|l| (*l as usize) < classes) && (cell.manifest.multi_label() || labels.len() == 1)
            }
            (Target::Answers(_), Task::Vqa | Task::Caption) => true,
            _ => false,
        };
        if sample.index as usize != position || !ids.insert(sample.id.clone()) || !fits {
            let what = "is out of its place, named twice, or has no target of the task";
            return Err(format!("line {}: {what}", position + 1));
        }
        samples.push(sample);
    }
    Ok(samples)
}

fn is_concealed(line: &str, position: usize) -> bool {
    let read: serde_json::Value = serde_json::from_str(line).unwrap_or_default();
    conceal::is_digest(line) && read["index"].as_u64() == Some(position as u64)
}

/// The dataset of a cell on this machine, with the samples of the split.
fn local(cell: &Cell, options: &Options) -> Result<Option<(Dataset, Vec<Sample>)>> {
    let root = options.roots.iter().find(|(id, _)| *id == cell.id.dataset).map(|(_, root)| root.as_path());
    let same = |manifest: &&crate::dataset::Manifest| manifest.digest == cell.manifest.digest;
    let Some(manifest) = options.catalogs.datasets.get(&cell.id.dataset).ok().filter(same) else {
        return Ok(None);
    };
    if !options.with_data {
        return Ok(None);
    }
    let read = |dataset: Dataset| Ok((predict::samples(cell, &dataset, 0)?, dataset));
    match Dataset::open(manifest, root).and_then(read) {
        Ok((samples, dataset)) => Ok(Some((dataset, samples))),
        Err(e) if root.is_some() => Err(e),
        Err(_) => Ok(None),
    }
}

/// The lines of a file; none where it is no UTF-8, or its last line is torn.
fn whole_lines(path: &Path) -> Result<Option<Vec<String>>> {
    let bytes = fs::read(path).map_err(Error::io(path))?;
    let Ok(text) = String::from_utf8(bytes) else { return Ok(None) };
    let Some(text) = text.strip_suffix('\n') else {
        return Ok(text.is_empty().then(Vec::new));
    };
    Ok(Some(text.split('\n').map(String::from).collect()))
}
