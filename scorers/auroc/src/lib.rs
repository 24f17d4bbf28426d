//! Area under the ROC curve of diagnoses.
//!
//! * Two classes: ranks by the softmax probability of class 1. Equals
//!   `sklearn.metrics.roc_auc_score(labels, softmax(logits)[:, 1])`.
//! * More classes, and multi-label (`"multi_label": true` in the sample's meta object): the mean over the classes of
//!   each class against the rest (`average="macro"`, `multi_class="ovr"`), by softmax, or by the logistic function of
//!   each logit for multi-label.
//!
//! Ties count one half (Mann-Whitney). A class is undefined without both a positive and a negative sample; the mean
//! is taken over the others, and there is no value when every class is undefined. A sample without an answer, or with a
//! logit that is not finite, ranks below all others for its true classes, and above all for the rest.

mod rank;

use rank::Ranking;
use scorer_kit::{
    Error, Metadata, Sample, SampleScore, Score, Scorer, bad_input, export_scorer, meta, metadata, serde::Deserialize,
    sigmoid, softmax, usable,
};

/// The scorer; it takes no configuration.
#[derive(Debug, Default, Deserialize)]
#[serde(crate = "scorer_kit::serde", deny_unknown_fields)]
pub struct Auroc {}

#[derive(Default, Deserialize)]
#[serde(crate = "scorer_kit::serde", default)]
struct Meta {
    multi_label: bool,
}

impl Scorer for Auroc {
    fn metadata() -> Metadata {
        metadata("auroc", "0.1.0", "area under the ROC curve; macro one-vs-rest for more than two classes")
            .tasks(["diagnosis"])
            .metric("auroc", 0.0, 1.0)
            .build()
    }

    fn score(&self, sample: &Sample) -> Result<Score, Error> {
        let multi_label = meta::<Meta>(sample)?.multi_label;
        if !multi_label && sample.labels.len() != 1 {
            let count = sample.labels.len();
            return Err(bad_input(sample, format!("{count} labels, but its dataset is not marked multi_label")));
        }
        let probabilities = match (usable(&sample.logits) && !sample.failed, multi_label) {
            (false, _) => Vec::new(),
            (true, false) => softmax(&sample.logits),
            (true, true) => sample.logits.iter().copied().map(sigmoid).collect(),
        };
        if let Some(label) =
            sample.labels.iter().find(|&&l| !probabilities.is_empty() && l as usize >= probabilities.len())
        {
            return Err(bad_input(sample, format!("label {label} of {} classes", probabilities.len())));
        }
        Ok(Score::of_statistics(Statistics { multi_label, probabilities, labels: sample.labels.clone() }.pack()))
    }

    fn aggregate(&self, scores: &[SampleScore], resamples: &[Vec<u32>]) -> Result<Vec<Vec<Option<f64>>>, Error> {
        let samples = scores.iter().map(Statistics::unpack).collect::<Result<Vec<_>, _>>()?;
        let classes = class_count(&samples)?;
        let multi_label = samples.iter().any(|sample| sample.multi_label);
        let ranked = if classes == 2 && !multi_label { 1..2 } else { 0..classes };
        let rankings: Vec<Ranking> = ranked.map(|class| ranking(&samples, class)).collect();
        let metric = |resample: &Vec<u32>| {
            let weights = rank::weights(resample, samples.len());
            let defined: Vec<f64> = rankings.iter().filter_map(|ranking| ranking.auroc(&weights)).collect();
            vec![(!defined.is_empty()).then(|| defined.iter().sum::<f64>() / defined.len() as f64)]
        };
        Ok(resamples.iter().map(metric).collect())
    }
}

/// What `score` hands to `aggregate`, as one list: multi-label flag, number of probabilities, these, labels.
struct Statistics {
    multi_label: bool,
    /// One for each class; empty for a sample without an answer.
    probabilities: Vec<f64>,
    labels: Vec<u32>,
}

impl Statistics {
    fn pack(self) -> Vec<f64> {
        let head = [f64::from(self.multi_label), self.probabilities.len() as f64];
        head.into_iter().chain(self.probabilities).chain(self.labels.into_iter().map(f64::from)).collect()
    }

    fn unpack(score: &SampleScore) -> Result<Self, Error> {
        let foreign = || Error::BadInput(format!("sample {}: these are not statistics of auroc", score.index));
        let [multi_label, count, rest @ ..] = &score.statistics[..] else { return Err(foreign()) };
        let (probabilities, labels) = rest.split_at_checked(*count as usize).ok_or_else(foreign)?;
        let labels = labels.iter().map(|&label| label as u32).collect();
        Ok(Self { multi_label: *multi_label != 0.0, probabilities: probabilities.into(), labels })
    }
}

/// The number of classes that the samples agree on; if none was answered, one more than the greatest label.
fn class_count(samples: &[Statistics]) -> Result<usize, Error> {
    let mut counts = samples.iter().map(|sample| sample.probabilities.len()).filter(|&count| count > 0);
    let Some(count) = counts.next() else {
        let greatest = samples.iter().flat_map(|sample| &sample.labels).max();
        return Ok(greatest.map_or(2, |&label| label as usize + 1).max(2));
    };
    match counts.find(|&other| other != count) {
        Some(other) => Err(Error::BadInput(format!("samples have {count} and {other} classes"))),
        None => Ok(count),
    }
}

/// The samples ranked by the probability of a class; −1 and 2 lie below and above every probability.
fn ranking(samples: &[Statistics], class: usize) -> Ranking {
    Ranking::new(samples.iter().map(|sample| {
        let positive = sample.labels.contains(&(class as u32));
        let worst = if positive { -1.0 } else { 2.0 };
        (sample.probabilities.get(class).copied().unwrap_or(worst), positive)
    }))
}

export_scorer!(Auroc);

#[cfg(test)]
mod tests;
