//! Variance of areas under ROC curves, and the test of two areas on the same samples.
//!
//! Sources: DeLong, DeLong and Clarke-Pearson, *Comparing the Areas under Two or More Correlated Receiver Operating
//! Characteristic Curves* (1988); for patients with several samples, Obuchowski, *Nonparametric Analysis of Clustered
//! ROC Curve Data* (1997), which is the same where every patient has one sample; midranks after Sun and Xu, *Fast
//! Implementation of DeLong's Algorithm* (2014).

use statrs::distribution::{ContinuousCDF, Normal};

use super::Clusters;

/// Areas under several curves on the same samples, with their covariance.
#[derive(Debug, Clone, PartialEq)]
pub struct Areas {
    /// Area under each curve; ties count one half.
    pub areas: Vec<f64>,
    /// Covariance of the areas, `[curves][curves]`.
    pub covariance: Vec<Vec<f64>>,
}

/// Test of the hypothesis that two areas are equal.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AreaTest {
    /// The first area minus the second.
    pub difference: f64,
    /// Standard error of the difference.
    pub standard_error: f64,
    /// Difference in standard errors.
    pub z: f64,
    /// Two-sided p value of the normal distribution.
    pub p: f64,
}

/// Areas of each list of scores, one score for each label, in O(n log n).
///
/// `None` where the areas or their variance are undefined: a score is NaN, or fewer than two clusters have a
/// positive, or a negative, sample.
pub fn delong(scores: &[&[f64]], labels: &[bool], clusters: &Clusters) -> Option<Areas> {
    let holding = |class: bool| {
        let has = |members: &&Vec<u32>| members.iter().any(|&p| labels[p as usize] == class);
        clusters.members().iter().filter(has).count() as f64
    };
    let (holding_positives, holding_negatives) = (holding(true), holding(false));
    if holding_positives < 2.0 || holding_negatives < 2.0 || scores.iter().any(|s| s.iter().any(|v| v.is_nan())) {
        return None;
    }
    let positives = labels.iter().filter(|l| **l).count() as f64;
    let negatives = labels.len() as f64 - positives;
    let curves: Vec<Curve> = scores.iter().map(|scores| Curve::new(scores, labels, clusters)).collect();
    let unbiased = |n: f64| n / (n - 1.0);
    let covariance = |a: &Curve, b: &Curve| {
        unbiased(holding_positives) * dot(&a.positives, &b.positives) / (positives * positives)
            + unbiased(holding_negatives) * dot(&a.negatives, &b.negatives) / (negatives * negatives)
            + unbiased(clusters.len() as f64) * (dot(&a.positives, &b.negatives) + dot(&a.negatives, &b.positives))
                / (positives * negatives)
    };
    Some(Areas {
        areas: curves.iter().map(|curve| curve.area).collect(),
        covariance: curves.iter().map(|a| curves.iter().map(|b| covariance(a, b)).collect()).collect(),
    })
}

impl Areas {
    /// Normal interval of one area, such as `level` 0.95, within 0 and 1.
    pub fn interval(&self, curve: usize, level: f64) -> (f64, f64) {
        let half = Normal::standard().inverse_cdf((1.0 + level) / 2.0) * self.covariance[curve][curve].sqrt();
        ((self.areas[curve] - half).max(0.0), (self.areas[curve] + half).min(1.0))
    }

    /// Tests whether two of the areas differ; `None` where the difference has no variance.
    pub fn test(&self, first: usize, second: usize) -> Option<AreaTest> {
        let of = &self.covariance;
        let variance = of[first][first] + of[second][second] - 2.0 * of[first][second];
        // Below this only rounding is left of the three terms.
        if variance <= 1e-14 * (of[first][first] + of[second][second]) {
            return None;
        }
        let difference = self.areas[first] - self.areas[second];
        let standard_error = variance.sqrt();
        let z = difference / standard_error;
        Some(AreaTest { difference, standard_error, z, p: 2.0 * Normal::standard().cdf(-z.abs()) })
    }
}

/// Structural components of one curve, summed over the positive and the negative samples of each cluster.
struct Curve {
    area: f64,
    positives: Vec<f64>,
    negatives: Vec<f64>,
}

impl Curve {
    fn new(scores: &[f64], labels: &[bool], clusters: &Clusters) -> Self {
        let of_class = |class| (0..labels.len()).filter(|&i| labels[i] == class).collect::<Vec<usize>>();
        let among = midranks(scores, &(0..labels.len()).collect::<Vec<_>>());
        // The share of the other class that a sample beats: a positive one from above, a negative one from below.
        let mut beats = vec![0.0; labels.len()];
        let mut area = 0.0;
        for class in [false, true] {
            let own = of_class(class);
            let others = (labels.len() - own.len()) as f64;
            for (&sample, rank) in own.iter().zip(midranks(scores, &own)) {
                let below = (among[sample] - rank) / others;
                beats[sample] = if class { below } else { 1.0 - below };
            }
            area = own.iter().map(|&sample| beats[sample]).sum::<f64>() / own.len() as f64;
        }
        let sum = |class: bool| {
            let of_class = |members: &Vec<u32>| {
                let own = members.iter().map(|&p| p as usize).filter(|&p| labels[p] == class);
                own.map(|p| beats[p] - area).sum()
            };
            clusters.members().iter().map(of_class).collect()
        };
        Self { area, positives: sum(true), negatives: sum(false) }
    }
}

/// Rank of each chosen score among the chosen ones, from 1; equal scores share the mean of their ranks.
fn midranks(scores: &[f64], chosen: &[usize]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..chosen.len()).collect();
    let score = |place: usize| scores[chosen[place]];
    order.sort_unstable_by(|&a, &b| score(a).total_cmp(&score(b)));
    let mut ranks = vec![0.0; chosen.len()];
    let mut before = 0;
    for ties in order.chunk_by(|&a, &b| score(a) == score(b)) {
        for &place in ties {
            ranks[place] = before as f64 + (ties.len() + 1) as f64 / 2.0;
        }
        before += ties.len();
    }
    ranks
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::vectors::{close, vectors};

    #[test]
    fn equals_the_formulas_of_delong_and_obuchowski() {
        let cases = vectors().delong;
        assert!(cases.len() >= 4);
        for case in cases {
            let labels: Vec<bool> = case.labels.iter().map(|l| *l == 1).collect();
            let areas = delong(&[&case.first, &case.second], &labels, &Clusters::new(&case.clusters)).expect("areas");
            for curve in [0, 1] {
                close(&case.name, areas.areas[curve], case.areas[curve]);
                let (low, high) = areas.interval(curve, 0.95);
                close(&case.name, low, case.intervals[curve].0);
                close(&case.name, high, case.intervals[curve].1);
                for other in [0, 1] {
                    close(&case.name, areas.covariance[curve][other], case.covariance[curve][other]);
                }
            }
            let test = areas.test(0, 1).expect("a test");
            close(&case.name, test.z, case.z);
            close(&case.name, test.p, case.p);
            close(&case.name, test.difference, case.areas[0] - case.areas[1]);
        }
    }

    #[test]
    fn what_has_no_variance_is_not_tested() {
        let labels = [true, true, false, false];
        let clusters = Clusters::new(&[0, 1, 2, 3]);
        let scores = [0.9, 0.4, 0.5, 0.1];
        let areas = delong(&[&scores, &scores], &labels, &clusters).expect("areas");
        assert_eq!((areas.areas[0], areas.test(0, 1)), (0.75, None));
    }

    #[test]
    fn areas_without_two_patients_of_each_class_are_undefined() {
        let scores: &[f64] = &[0.9, 0.4, 0.5, 0.1];
        let alone = Clusters::new(&[0, 1, 2, 3]);
        assert_eq!(delong(&[scores], &[true, false, false, false], &alone), None);
        assert_eq!(delong(&[scores], &[true, true, false, false], &Clusters::new(&[0, 0, 1, 2])), None);
        assert_eq!(delong(&[&[0.1, f64::NAN, 0.2, 0.3]], &[true, true, false, false], &alone), None);
        assert!(delong(&[scores], &[true, true, false, false], &alone).is_some());
    }
}
