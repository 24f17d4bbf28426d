//! Receiver operating characteristic of a binary score.

/// The classifier "positive when the score is at least `threshold`".
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point {
    /// The threshold; infinite for the first point, which calls nothing positive.
    pub threshold: f64,
    /// Share of the negatives that are called positive.
    pub false_positive_rate: f64,
    /// Share of the positives that are called positive.
    pub true_positive_rate: f64,
}

/// The curve from (0, 0) to (1, 1), without points that lie on a straight line between their neighbours.
///
/// Equals `sklearn.metrics.roc_curve` with `drop_intermediate`. Empty where the curve is undefined: a class is
/// absent or a score is NaN.
pub fn roc_curve(scores: &[f64], labels: &[bool]) -> Vec<Point> {
    let mut ranked: Vec<(f64, bool)> = scores.iter().copied().zip(labels.iter().copied()).collect();
    let positives = ranked.iter().filter(|(_, label)| *label).count();
    let negatives = ranked.len() - positives;
    if positives == 0 || negatives == 0 || ranked.iter().any(|(score, _)| score.is_nan()) {
        return Vec::new();
    }
    ranked.sort_by(|a, b| b.0.total_cmp(&a.0));
    let mut counts = vec![(f64::INFINITY, 0_i64, 0_i64)];
    for ties in ranked.chunk_by(|a, b| a.0 == b.0) {
        let (_, fp, tp) = counts[counts.len() - 1];
        let hits = ties.iter().filter(|(_, label)| *label).count() as i64;
        counts.push((ties[0].0, fp + ties.len() as i64 - hits, tp + hits));
    }
    let last = counts.len() - 1;
    let bends = |i: usize| {
        let ((_, fp0, tp0), (_, fp1, tp1), (_, fp2, tp2)) = (counts[i - 1], counts[i], counts[i + 1]);
        (fp2 - fp1, tp2 - tp1) != (fp1 - fp0, tp1 - tp0)
    };
    (0..=last)
        // The first threshold survives too: scikit-learn drops points before it puts (0, 0) in front.
        .filter(|&i| i <= 1 || i == last || bends(i))
        .map(|i| Point {
            threshold: counts[i].0,
            false_positive_rate: counts[i].1 as f64 / negatives as f64,
            true_positive_rate: counts[i].2 as f64 / positives as f64,
        })
        .collect()
}

/// Area under the curve by the trapezoidal rule; `None` for an undefined curve.
pub fn area_under(curve: &[Point]) -> Option<f64> {
    let trapezoid = |p: &[Point]| {
        (p[1].false_positive_rate - p[0].false_positive_rate) * (p[0].true_positive_rate + p[1].true_positive_rate)
            / 2.0
    };
    (!curve.is_empty()).then(|| curve.windows(2).map(trapezoid).sum())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCORES: [f64; 24] = [
        0.35, 0.24, 0.0, 1.0, 0.64, 0.0, 0.19, 0.16, 0.01, 0.06, 0.97, 0.41, 0.64, 0.57, 0.12, 0.27, 0.33, 0.32, 0.0,
        0.32, 1.0, 0.19, 0.56, 0.69,
    ];
    const LABELS: [u8; 24] = [0, 0, 0, 1, 1, 0, 1, 0, 0, 0, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 1, 1, 0, 1];

    /// `sklearn.metrics.roc_curve(LABELS, SCORES)` of scikit-learn 1.9.1.
    const CURVE: [(f64, f64, f64); 12] = [
        (f64::INFINITY, 0.0, 0.0),
        (1.0, 0.0, 0.2222222222222222),
        (0.69, 0.0, 0.4444444444444444),
        (0.64, 0.0, 0.6666666666666666),
        (0.56, 0.13333333333333333, 0.6666666666666666),
        (0.41, 0.13333333333333333, 0.7777777777777778),
        (0.33, 0.26666666666666666, 0.7777777777777778),
        (0.32, 0.4, 0.7777777777777778),
        (0.24, 0.5333333333333333, 0.7777777777777778),
        (0.19, 0.5333333333333333, 1.0),
        (0.01, 0.8, 1.0),
        (0.0, 1.0, 1.0),
    ];

    #[test]
    fn the_curve_equals_scikit_learn() {
        let curve = roc_curve(&SCORES, &LABELS.map(|l| l == 1));
        let got: Vec<_> = curve.iter().map(|p| (p.threshold, p.false_positive_rate, p.true_positive_rate)).collect();
        assert_eq!(got, CURVE);
        let area = area_under(&curve).expect("defined");
        assert!((area - 0.8666666666666667).abs() < 1e-15, "{area}");
    }

    #[test]
    fn a_curve_without_both_classes_is_undefined() {
        assert!(roc_curve(&[0.1, 0.2], &[true, true]).is_empty());
        assert!(roc_curve(&[0.1, f64::NAN], &[true, false]).is_empty());
        assert_eq!(area_under(&[]), None);
    }
}
