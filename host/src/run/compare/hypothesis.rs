//! The test that fits a metric.

use super::Binary;
use crate::{
    error::{Error, Result},
    run::scored::Scored,
    scorer::{SampleScore, Scorer},
    stats::{self, Clusters},
};

/// The hypothesis that two cells do not differ in one metric.
pub(in crate::run) struct Hypothesis<'a> {
    pub scorer: &'a Scorer,
    /// What the scorer gave the same samples of both cells.
    pub scores: [&'a [SampleScore]; 2],
    /// Position of the metric.
    pub column: usize,
    /// The metric of each side.
    pub values: [f64; 2],
    /// The samples of each patient.
    pub clusters: &'a Clusters,
    /// What a ROC curve is drawn from, for diagnoses with two classes.
    pub binary: Option<&'a Binary>,
}

/// Two computations of one number may differ by this.
const ROUNDING: f64 = 1e-9;

impl Hypothesis<'_> {
    /// The name of the test and its two-sided p value.
    ///
    /// DeLong's test for the area under a binary ROC curve, McNemar's for answers that are right or wrong if every
    /// patient has one sample, sign flips of whole patients for other means of sample values, and for everything else
    /// the exchange of the two models on whole patients.
    pub fn test(&self, permutations: u32, seed: u64) -> Result<Option<(&'static str, f64)>> {
        if let Some(found) = self.without_permutations() {
            return Ok(Some(found));
        }
        if let Some([a, b]) = self.means() {
            let differences: Vec<f64> = a.iter().zip(&b).map(|(a, b)| b - a).collect();
            let test = stats::sign_flip_test(&differences, self.clusters, permutations, seed);
            return Ok(Some(("sign flips of patients", test.p)));
        }
        let swapped = stats::swap_test(self.clusters, permutations, seed, |patterns| self.exchanged(patterns))?;
        Ok(swapped.map(|test| ("exchange of the models by patient", test.p)))
    }

    /// The name and p value of a test that takes no permutations, where one fits.
    pub fn without_permutations(&self) -> Option<(&'static str, f64)> {
        if let Some(found) = self.delong() {
            return Some(found);
        }
        let [a, b] = self.means().filter(|_| self.alone())?;
        let binary = a.iter().chain(&b).all(|value| *value == 0.0 || *value == 1.0);
        let right = |values: &[f64]| values.iter().map(|value| *value == 1.0).collect::<Vec<bool>>();
        binary.then(|| ("McNemar, exact", stats::mcnemar_exact(&right(&a), &right(&b)).p))
    }

    /// Whether every patient has one sample.
    fn alone(&self) -> bool {
        self.clusters.len() == self.scores[0].len()
    }

    /// Tests an area under the ROC curve, where the probabilities give the very area that the scorer found.
    fn delong(&self) -> Option<(&'static str, f64)> {
        let binary = self.binary.filter(|_| self.name() == "auroc")?;
        let [a, b] = &binary.probabilities;
        let areas = stats::delong(&[a, b], &binary.labels, self.clusters)?;
        let same = areas.areas.iter().zip(self.values).all(|(area, value)| (area - value).abs() < ROUNDING);
        let name = if self.alone() { "DeLong" } else { "DeLong, clustered by patient" };
        same.then(|| areas.test(0, 1)).flatten().map(|test| (name, test.p))
    }

    /// The samples' values of the metric's name, where all are there and their means are the metric.
    fn means(&self) -> Option<[Vec<f64>; 2]> {
        let value = self.scorer.metadata().values.iter().position(|info| info.name == self.name())?;
        let of_side = |side: usize| -> Option<Vec<f64>> {
            let values: Vec<f64> = self.scores[side]
                .iter()
                .map(|score| score.values.get(value).copied().flatten())
                .collect::<Option<_>>()?;
            let mean = values.iter().sum::<f64>() / values.len() as f64;
            ((mean - self.values[side]).abs() < ROUNDING).then_some(values)
        };
        Some([of_side(0)?, of_side(1)?])
    }

    /// B − A of the metric where some samples' scores are exchanged between the sides.
    fn exchanged(&self, patterns: &[Vec<bool>]) -> Result<Vec<f64>> {
        let count = self.scores[0].len() as u32;
        let both = self.scores.concat();
        let list = |pattern: &Vec<bool>, side: bool| -> Vec<u32> {
            (0..count).zip(pattern).map(|(i, exchanged)| if side == *exchanged { i } else { i + count }).collect()
        };
        let lists = patterns.iter().flat_map(|pattern| [list(pattern, false), list(pattern, true)]);
        let rows = Scored { scorer: self.scorer, scores: &both }.at(lists)?;
        let values: Vec<f64> = rows.iter().map(|row| row[self.column].unwrap_or(f64::NAN)).collect();
        let unexchanged = patterns.first().filter(|pattern| !pattern.contains(&true)).map(|_| &values[..2]);
        // A scorer whose metrics depend on more than the scores that it is asked for cannot be tested this way.
        if unexchanged.is_some_and(|v| v.iter().zip(self.values).any(|(v, value)| (v - value).abs() > ROUNDING)) {
            let id = &self.scorer.metadata().id;
            return Err(Error::failed(format!("scorer `{id}` aggregates part of its scores to other metrics")));
        }
        Ok(values.chunks(2).map(|pair| pair[1] - pair[0]).collect())
    }

    fn name(&self) -> &str {
        &self.scorer.metadata().metrics[self.column].name
    }
}
