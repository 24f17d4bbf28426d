//! Statistics of resamples: lists of positions that may repeat.

use crate::SampleScore;

/// Mean of what `value` makes of the scores in a resample; missing values are left out, and it is none if all are
/// missing.
pub fn mean(scores: &[SampleScore], resample: &[u32], value: impl Fn(&SampleScore) -> Option<f64>) -> Option<f64> {
    let (sum, count) = resample
        .iter()
        .filter_map(|&position| value(&scores[position as usize]))
        .fold((0.0, 0u32), |(sum, count), value| (sum + value, count + 1));
    (count > 0).then(|| sum / f64::from(count))
}

/// A value of a score; none where it is missing, or where the scorer does not apply to the sample.
pub fn value(score: &SampleScore, number: usize) -> Option<f64> {
    score.values.get(number).copied().flatten()
}

/// How often a resample holds each of `count` positions.
pub fn weights(resample: &[u32], count: usize) -> Vec<u32> {
    let mut weights = vec![0; count];
    for &position in resample {
        weights[position as usize] += 1;
    }
    weights
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeated_positions_count_and_missing_values_do_not() {
        let scores: Vec<SampleScore> = [vec![Some(1.0)], vec![None], vec![Some(0.0)], vec![]]
            .into_iter()
            .zip(0..)
            .map(|(values, index)| SampleScore { index, values, statistics: vec![], note: None })
            .collect();
        let first = |score: &SampleScore| value(score, 0);
        assert_eq!(mean(&scores, &[0, 1, 2], first), Some(0.5));
        assert_eq!(mean(&scores, &[0, 0, 0, 2], first), Some(0.75));
        assert_eq!(mean(&scores, &[1, 1, 3], first), None);
        assert_eq!(mean(&scores, &[], first), None);
        assert_eq!(weights(&[2, 0, 2], 4), [1, 0, 2, 0]);
    }
}
