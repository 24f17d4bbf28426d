//! The samples that two cells share, which must be all that either has.

use std::collections::BTreeMap;

use super::Side;
use crate::{
    dataset::{Sample, Target},
    error::{Error, Result},
    ids::Task,
    prediction::Prediction,
    run::score,
    scorer::SampleScore,
    stats::Clusters,
};

/// The samples of both cells, in the order of the first.
pub(super) struct Pairs {
    /// Positions in the split, of each side.
    indices: Vec<[u32; 2]>,
    /// The patient of each sample, or its own name.
    patients: Vec<String>,
    /// The classes of each sample, where draws keep their numbers.
    strata: Option<Vec<Vec<u32>>>,
    /// The samples of each patient.
    pub clusters: Clusters,
    /// What a ROC curve is drawn from, for diagnoses with two classes.
    pub binary: Option<Binary>,
}

/// Two classes, and the probability of the second one.
pub(in crate::run) struct Binary {
    pub labels: Vec<bool>,
    pub probabilities: [Vec<f64>; 2],
}

impl Pairs {
    /// Pairs by the name of the sample. Fails if one has no partner, or a partner with another target or patient.
    pub fn new(a: &Side, b: &Side, stratified: bool) -> Result<Self> {
        let (ours, theirs) = (a.answered()?, b.answered()?);
        let mut partners: BTreeMap<&str, (&Sample, &Prediction)> =
            theirs.into_iter().map(|answer| (answer.0.id.as_str(), answer)).collect();
        let mut pairs = Vec::new();
        let mut alone = Vec::new();
        for answer in ours {
            match partners.remove(answer.0.id.as_str()) {
                Some(partner) => pairs.push([answer, partner]),
                None => alone.push(answer.0.id.as_str()),
            }
        }
        if let Some(example) = alone.first().or(partners.keys().next()) {
            let (count, holder) = (alone.len() + partners.len(), if alone.is_empty() { b } else { a });
            return Err(Error::usage(format!(
                "{} and {} do not answer the same samples: {count} differ, such as `{example}`, which only {} in {} answers",
                a.place.cell,
                b.place.cell,
                holder.place.cell,
                holder.place.run.display()
            )));
        }
        let known = |sample: &Sample| (sample.target.clone(), sample.patient.clone());
        if let Some([(sample, _), _]) = pairs.iter().find(|[a, b]| known(a.0) != known(b.0)) {
            return Err(Error::usage(format!(
                "sample `{}` has another target or patient in {} than in {}",
                sample.id, a.place.cell, b.place.cell
            )));
        }
        let patient = |[(sample, _), _]: &[Answer<'_>; 2]| sample.patient.clone().unwrap_or_else(|| sample.id.clone());
        let strata = if stratified { Some(classes(&pairs)?) } else { None };
        let binary = (a.cell.id.task == Task::Diagnosis && a.cell.manifest.classes.len() == 2).then(|| binary(&pairs));
        let indices = pairs.iter().map(|pair| pair.map(|(sample, _)| sample.index)).collect();
        Ok(Self::build(indices, pairs.iter().map(patient).collect(), strata, binary.flatten()))
    }

    fn build(
        indices: Vec<[u32; 2]>,
        patients: Vec<String>,
        strata: Option<Vec<Vec<u32>>>,
        binary: Option<Binary>,
    ) -> Self {
        let mut clusters = Clusters::new(&patients.iter().map(String::as_str).collect::<Vec<_>>());
        if let Some(classes) = &strata {
            clusters = clusters.stratified(&classes.iter().map(Vec::as_slice).collect::<Vec<_>>());
        }
        Self { indices, patients, strata, clusters, binary }
    }

    /// The pairs that a scorer with conditions is for: those that it scored on the first side.
    pub fn scored(&self, side: &Side, scorer: &str) -> Result<Self> {
        let lines = score::read_lines(&side.dir)?;
        let scored: Vec<bool> =
            self.indices.iter().map(|pair| lines.contains_key(&(scorer.to_string(), pair[0]))).collect();
        fn kept<T: Clone>(all: &[T], kept: &[bool]) -> Vec<T> {
            all.iter().zip(kept).filter(|(_, kept)| **kept).map(|(item, _)| item.clone()).collect()
        }
        let strata = self.strata.as_ref().map(|strata| kept(strata, &scored));
        let binary = self.binary.as_ref().map(|binary| Binary {
            labels: kept(&binary.labels, &scored),
            probabilities: [0, 1].map(|side| kept(&binary.probabilities[side], &scored)),
        });
        Ok(Self::build(kept(&self.indices, &scored), kept(&self.patients, &scored), strata, binary))
    }

    /// Number of samples.
    pub fn len(&self) -> usize {
        self.indices.len()
    }

    /// What a scorer gave the samples of one side (0 or 1), in the order of the pairs.
    pub fn scores(&self, side: &Side, scorer: &str, number: usize) -> Result<Vec<SampleScore>> {
        let mut lines = score::read_lines(&side.dir)?;
        let mut take = |index: u32| {
            lines.remove(&(scorer.to_string(), index)).ok_or_else(|| {
                Error::invalid(side.dir.join(score::SCORES), format!("has no score of {scorer} for sample {index}"))
            })
        };
        self.indices.iter().map(|pair| take(pair[number])).collect()
    }
}

type Answer<'a> = (&'a Sample, &'a Prediction);

fn classes(pairs: &[[Answer<'_>; 2]]) -> Result<Vec<Vec<u32>>> {
    let class = |[(sample, _), _]: &[Answer<'_>; 2]| match &sample.target {
        Target::Labels(labels) => Ok(labels.clone()),
        Target::Answers(_) => Err(Error::usage(
            "--stratified keeps the number of patients of each class; questions and captions have none",
        )),
    };
    pairs.iter().map(class).collect()
}

fn binary(pairs: &[[Answer<'_>; 2]]) -> Option<Binary> {
    let label = |[(sample, _), _]: &[Answer<'_>; 2]| match &sample.target {
        Target::Labels(labels) if labels.len() == 1 => Some(labels[0] == 1),
        _ => None,
    };
    let labels: Vec<bool> = pairs.iter().map(label).collect::<Option<_>>()?;
    let of_side =
        |side: usize| pairs.iter().zip(&labels).map(|(pair, label)| probability(pair[side].1, *label)).collect();
    Some(Binary { probabilities: [of_side(0), of_side(1)], labels })
}

/// Probability of class 1 by softmax; without an answer it is worse than every other.
pub(in crate::run) fn probability(prediction: &Prediction, label: bool) -> f64 {
    match prediction.logits[..] {
        [negative, positive] if !prediction.failed() && negative.is_finite() && positive.is_finite() => {
            let (negative, positive) = (f64::from(negative), f64::from(positive));
            let greatest = negative.max(positive);
            let [negative, positive] = [negative, positive].map(|logit| (logit - greatest).exp());
            positive / (negative + positive)
        }
        _ if label => -1.0,
        _ => 2.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_probability_is_the_softmax_of_two_logits_and_worst_without_an_answer() {
        let answer = |logits: &[f32]| Prediction { logits: logits.into(), ..Prediction::default() };
        // scipy.special.softmax([0.5, -1.25])[1]
        assert!((probability(&answer(&[0.5, -1.25]), true) - 0.148_047_198_031_689_36).abs() < 1e-15);
        assert_eq!(probability(&answer(&[1000.0, 1000.0]), true), 0.5);
        let failed = Prediction { error: Some("killed".into()), ..answer(&[0.0, 9.0]) };
        assert_eq!((probability(&failed, true), probability(&failed, false)), (-1.0, 2.0));
        assert_eq!(probability(&answer(&[f32::NAN, 0.0]), false), 2.0);
        assert_eq!(probability(&answer(&[]), true), -1.0);
    }
}
