//! Calibration: whether a stated probability is the share that comes true.

/// Predictions whose probability lies in `(low, high]`; the first bin includes 0.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bin {
    /// Lower edge.
    pub low: f64,
    /// Upper edge.
    pub high: f64,
    /// Number of predictions, never 0.
    pub count: usize,
    /// Mean probability.
    pub confidence: f64,
    /// Share that came true.
    pub accuracy: f64,
}

/// Sorts predictions into `bins` equal steps of 0 to 1 and leaves out the empty ones.
///
/// `labels` says for each probability whether it came true: the positive class of a binary task, or a correct
/// answer where the probability is the confidence in the predicted class. Equals
/// `sklearn.calibration.calibration_curve` with uniform bins. NaN is left out.
pub fn calibration(probabilities: &[f64], labels: &[bool], bins: usize) -> Vec<Bin> {
    let bins = bins.max(1);
    let edge = |k: usize| k as f64 / bins as f64;
    let mut sums = vec![(0_usize, 0.0_f64, 0_usize); bins];
    for (&p, &came_true) in probabilities.iter().zip(labels).filter(|(p, _)| !p.is_nan()) {
        let k = (1..bins).take_while(|&k| edge(k) < p).count();
        sums[k].0 += 1;
        sums[k].1 += p;
        sums[k].2 += usize::from(came_true);
    }
    (0..bins)
        .filter(|&k| sums[k].0 > 0)
        .map(|k| {
            let (count, total, hits) = sums[k];
            let n = count as f64;
            Bin { low: edge(k), high: edge(k + 1), count, confidence: total / n, accuracy: hits as f64 / n }
        })
        .collect()
}

/// Expected calibration error: mean distance of confidence and accuracy, weighted by the size of the bins
/// (Guo et al., *On Calibration of Modern Neural Networks*, 2017). `None` without predictions.
pub fn expected_calibration_error(bins: &[Bin]) -> Option<f64> {
    let total: usize = bins.iter().map(|b| b.count).sum();
    let weighted = |b: &Bin| b.count as f64 / total as f64 * (b.accuracy - b.confidence).abs();
    (total > 0).then(|| bins.iter().map(weighted).sum())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bins_equal_scikit_learn() {
        let probabilities = [
            0.35, 0.24, 0.0, 1.0, 0.64, 0.0, 0.19, 0.16, 0.01, 0.06, 0.97, 0.41, 0.64, 0.57, 0.12, 0.27, 0.33, 0.32,
            0.0, 0.32, 1.0, 0.19, 0.56, 0.69,
        ];
        let labels = [0, 0, 0, 1, 1, 0, 1, 0, 0, 0, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 1, 1, 0, 1].map(|l| l == 1);
        let bins = calibration(&probabilities, &labels, 5);
        assert_eq!(bins.iter().map(|b| b.count).collect::<Vec<_>>(), [9, 6, 3, 3, 3]);
        let accuracy = [0.2222222222222222, 0.0, 0.3333333333333333, 1.0, 1.0];
        let confidence = [0.0811111111111111, 0.305, 0.5133333333333333, 0.6566666666666666, 0.9899999999999999];
        for (bin, (accuracy, confidence)) in bins.iter().zip(accuracy.into_iter().zip(confidence)) {
            assert!((bin.accuracy - accuracy).abs() < 1e-15, "{bin:?}");
            assert!((bin.confidence - confidence).abs() < 1e-15, "{bin:?}");
        }
        let error = expected_calibration_error(&bins).expect("predictions");
        assert!((error - 0.19583333333333336).abs() < 1e-15, "{error}");
    }

    #[test]
    fn a_probability_on_an_edge_belongs_below_it() {
        let bins = calibration(&[0.0, 0.2, 0.4, f64::NAN], &[false, true, true, true], 5);
        assert_eq!(bins.iter().map(|b| (b.low, b.count)).collect::<Vec<_>>(), [(0.0, 2), (0.2, 1)]);
    }

    #[test]
    fn nothing_has_no_error() {
        assert_eq!(expected_calibration_error(&calibration(&[], &[], 10)), None);
    }
}
