//! Precision and recall of a binary score.

/// The classifier "positive when the score is at least a threshold", one for each distinct score.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Operating {
    /// Share of the positives that are called positive.
    pub recall: f64,
    /// Share of those called positive that are.
    pub precision: f64,
}

/// The curve from recall 0 at precision 1 to recall 1, thresholds falling.
///
/// Equals `sklearn.metrics.precision_recall_curve` in reverse. Empty where it is undefined: no positive, or a score is NaN.
pub fn precision_recall_curve(scores: &[f64], labels: &[bool]) -> Vec<Operating> {
    let mut ranked: Vec<(f64, bool)> = scores.iter().copied().zip(labels.iter().copied()).collect();
    let positives = labels.iter().filter(|label| **label).count() as f64;
    if positives == 0.0 || ranked.iter().any(|(score, _)| score.is_nan()) {
        return Vec::new();
    }
    ranked.sort_by(|a, b| b.0.total_cmp(&a.0));
    let mut curve = vec![Operating { recall: 0.0, precision: 1.0 }];
    let (mut called, mut hits) = (0.0, 0.0);
    for ties in ranked.chunk_by(|a, b| a.0 == b.0) {
        called += ties.len() as f64;
        hits += ties.iter().filter(|(_, label)| *label).count() as f64;
        curve.push(Operating { recall: hits / positives, precision: hits / called });
    }
    curve
}

/// Average precision: the precisions of the curve, weighted by the steps of recall that they are reached with. Equals
/// `sklearn.metrics.average_precision_score`. `None` for no curve.
pub fn average_precision(curve: &[Operating]) -> Option<f64> {
    (curve.len() > 1).then(|| curve.windows(2).map(|pair| (pair[1].recall - pair[0].recall) * pair[1].precision).sum())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::vectors::{close, vectors};

    #[test]
    fn the_curve_equals_scikit_learn() {
        let cases = vectors().precision_recall;
        assert!(cases.len() >= 3);
        for case in cases {
            let labels: Vec<bool> = case.labels.iter().map(|l| *l == 1).collect();
            let curve = precision_recall_curve(&case.scores, &labels);
            assert_eq!(curve.len(), case.recall.len(), "{}", case.name);
            for (point, (recall, precision)) in curve.iter().zip(case.recall.iter().zip(&case.precision)) {
                close(&case.name, point.recall, *recall);
                close(&case.name, point.precision, *precision);
            }
            close(&case.name, average_precision(&curve).expect("defined"), case.average);
        }
    }

    #[test]
    fn a_curve_without_positives_is_undefined() {
        assert!(precision_recall_curve(&[0.1, 0.2], &[false, false]).is_empty());
        assert!(precision_recall_curve(&[0.1, f64::NAN], &[true, false]).is_empty());
        assert_eq!(average_precision(&[]), None);
    }
}
