//! One scored cell: its samples, its predictions and its scores, which are read as they are asked for.

use std::{collections::BTreeMap, path::PathBuf};

use rayon::prelude::*;

use super::scores::Cursors;
use crate::{
    dataset::{Dataset, Manifest, Sample, Target},
    error::Result,
    ids::digest,
    prediction::{self, Prediction},
    report::{self, SampleReport},
    run::{Cell, cache_dir, plan::ScorerSource, predict, score},
    scorer::{Engine, Scorer},
};

/// The scorers of a run, by component and configuration.
pub(super) struct Scorers {
    loaded: BTreeMap<(PathBuf, String), Scorer>,
    values: Vec<String>,
}

impl Scorers {
    /// Loads the scorers of some cells.
    pub fn load<'a>(cells: impl Iterator<Item = &'a Cell>) -> Result<Self> {
        let engine = Engine::new(cache_dir().map(|dir| dir.join("scorers")))?;
        let mut scorers = Self { loaded: BTreeMap::new(), values: Vec::new() };
        for source in cells.flat_map(|cell| &cell.scorers) {
            let key = (source.component.clone(), source.config.clone());
            if !scorers.loaded.contains_key(&key) {
                scorers.loaded.insert(key.clone(), source.load(&engine)?);
            }
            for name in value_names(source, &scorers.loaded[&key]) {
                if !scorers.values.contains(&name) {
                    scorers.values.push(name);
                }
            }
        }
        Ok(scorers)
    }

    /// One of them.
    pub fn get(&self, source: &ScorerSource) -> Option<&Scorer> {
        self.loaded.get(&(source.component.clone(), source.config.clone()))
    }

    /// The names of all sample scores, `scorer.value`.
    pub fn values(&self) -> Vec<String> {
        self.values.clone()
    }

    fn names(&self, source: &ScorerSource) -> Vec<String> {
        self.get(source).map(|scorer| value_names(source, scorer)).unwrap_or_default()
    }
}

fn value_names(source: &ScorerSource, scorer: &Scorer) -> Vec<String> {
    scorer.metadata().values.iter().map(|value| format!("{}.{}", source.id, value.name)).collect()
}

/// The samples that several cells answer.
pub(super) struct Split {
    dataset: Dataset,
    samples: Vec<Sample>,
}

impl Split {
    /// Reads the samples of a cell's split, at most `limit` unless that is 0.
    pub fn open(cell: &Cell, limit: u32) -> Result<Self> {
        let dataset = cell.dataset()?;
        let samples = predict::samples(cell, &dataset, limit)?;
        Ok(Self { dataset, samples })
    }

    /// The manifest of the dataset.
    pub fn manifest(&self) -> &Manifest {
        self.dataset.manifest()
    }

    /// The samples, in order.
    pub fn samples(&self) -> &[Sample] {
        &self.samples
    }

    /// Positions that there are.
    pub fn length(&self) -> usize {
        self.samples.last().map_or(0, |sample| sample.index as usize + 1)
    }

    /// The sample at a position.
    pub fn get(&self, index: u32) -> Option<&Sample> {
        self.samples.binary_search_by_key(&index, |sample| sample.index).ok().map(|at| &self.samples[at])
    }

    /// Small pictures of some samples, of those before the position `end`.
    pub fn thumbnails(&self, samples: &[Sample], side: u32, end: u32) -> Vec<(u32, Option<Vec<u8>>)> {
        let picture = |sample: &Sample| {
            let pixels = self.dataset.pixels(sample.images.first()?).ok()?;
            report::thumbnail(pixels.width, pixels.height, &pixels.rgb, side)
        };
        samples.par_iter().filter(|sample| sample.index < end).map(|sample| (sample.index, picture(sample))).collect()
    }
}

/// A cell with what is known of its samples.
pub(super) struct Opened<'a> {
    pub cell: &'a Cell,
    pub metrics: &'a score::Metrics,
    pub split: &'a Split,
    pub dir: PathBuf,
    predictions: Vec<Prediction>,
    classes: Vec<String>,
    names: Vec<Vec<String>>,
}

impl<'a> Opened<'a> {
    /// Reads the predictions of a cell; those of samples that the dataset does not have are left out.
    pub fn read(
        cell: &'a Cell,
        metrics: &'a score::Metrics,
        split: &'a Split,
        run: &std::path::Path,
        scorers: &Scorers,
    ) -> Result<Self> {
        let dir = cell.dir(run);
        let mut predictions = prediction::read(&dir.join(predict::FILE))?;
        predictions.retain(|prediction| split.get(prediction.index).is_some());
        let classes = cell.manifest.classes.iter().map(|class| class.name.clone()).collect();
        let names = cell.scorers.iter().map(|source| scorers.names(source)).collect();
        Ok(Self { cell, metrics, split, dir, predictions, classes, names })
    }

    /// Names of the classes.
    pub fn classes(&self) -> &[String] {
        &self.classes
    }

    /// Number of predictions.
    pub fn len(&self) -> usize {
        self.predictions.len()
    }

    /// Each prediction with its sample, in the order of the split.
    pub fn pairs(&self) -> impl Iterator<Item = (&Sample, &Prediction)> {
        self.predictions.iter().filter_map(|prediction| Some((self.split.get(prediction.index)?, prediction)))
    }

    /// Hands over each sample with its prediction and its scores; without images and texts unless these are `shown`.
    pub fn samples(&self, shown: bool, mut take: impl FnMut(SampleReport) -> Result<()>) -> Result<()> {
        let mut cursors = Cursors::open(&self.dir, self.metrics)?;
        for (sample, prediction) in self.pairs() {
            let mut values = Vec::new();
            for (scorer, score) in cursors.at(sample.index)? {
                let names = self.cell.scorers.iter().position(|source| source.id == scorer).map(|at| &self.names[at]);
                let name =
                    |i: usize| names.and_then(|names| names.get(i).cloned()).unwrap_or_else(|| scorer.to_string());
                values.extend(score.values.iter().enumerate().map(|(i, value)| (name(i), *value)));
            }
            take(self.sample_report(sample, prediction, values, shown))?;
        }
        Ok(())
    }

    fn sample_report(
        &self,
        sample: &Sample,
        prediction: &Prediction,
        scores: Vec<(String, Option<f64>)>,
        shown: bool,
    ) -> SampleReport {
        let name = |class: usize| self.classes.get(class).cloned().unwrap_or_else(|| class.to_string());
        let multi_label = self.cell.manifest.multi_label();
        let probabilities = if multi_label { logistic(&prediction.logits) } else { softmax(&prediction.logits) };
        let predicted: Vec<usize> = if multi_label {
            (0..probabilities.len()).filter(|class| probabilities[*class] >= 0.5).collect()
        } else {
            first_maximum(&probabilities).into_iter().map(|(class, _)| class).collect()
        };
        let (target, correct) = match &sample.target {
            Target::Labels(labels) => {
                let names: Vec<String> = labels.iter().map(|label| name(*label as usize)).collect();
                let right = predicted.iter().map(|class| *class as u32).eq(labels.iter().copied());
                (names.join(", "), (!prediction.failed()).then_some(right))
            }
            Target::Answers(answers) => {
                let right = scores.iter().find_map(|(_, value)| *value).map(|value| value >= 0.5);
                let answers = if shown { answers.join(" | ") } else { String::new() };
                (answers, right.filter(|_| !prediction.failed()))
            }
        };
        let text = prediction.text.as_ref().map(|text| if shown { text.clone() } else { String::new() });
        let question = sample.prompt.as_ref().or(sample.question.as_ref());
        SampleReport {
            id: sample.id.clone(),
            index: sample.index,
            // What tells patients apart must not tell who they are.
            patient: sample
                .patient
                .as_ref()
                .map(|id| if shown { id.clone() } else { digest(id.as_bytes())[..8].into() }),
            pictured: shown && (sample.index as usize) < super::THUMBNAILS,
            withheld: !shown,
            question: question.filter(|_| shown).cloned(),
            target,
            prediction: text.unwrap_or_else(|| predicted.into_iter().map(name).collect::<Vec<_>>().join(", ")),
            probabilities,
            correct,
            error: prediction.error.clone(),
            scores,
            groups: sample.groups.clone().into_iter().collect(),
        }
    }
}

/// The class with the highest probability, the first of equals; none without probabilities.
pub(super) fn first_maximum(probabilities: &[f64]) -> Option<(usize, f64)> {
    probabilities.iter().copied().enumerate().reduce(|best, next| if next.1 > best.1 { next } else { best })
}

/// Probability of each label of its own.
fn logistic(logits: &[f32]) -> Vec<f64> {
    logits.iter().map(|l| 1.0 / (1.0 + (-f64::from(*l)).exp())).collect()
}

/// Probabilities of logits; empty for no logits.
pub(super) fn softmax(logits: &[f32]) -> Vec<f64> {
    let highest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let exponentials: Vec<f64> = logits.iter().map(|l| f64::from(l - highest).exp()).collect();
    let sum: f64 = exponentials.iter().sum();
    exponentials.iter().map(|e| e / sum).collect()
}
