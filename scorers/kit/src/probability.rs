//! From a model's logits to probabilities and classes.

/// Softmax of finite logits, in f64.
pub fn softmax(logits: &[f64]) -> Vec<f64> {
    let max = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let exponentials: Vec<f64> = logits.iter().map(|logit| (logit - max).exp()).collect();
    let sum: f64 = exponentials.iter().sum();
    exponentials.into_iter().map(|e| e / sum).collect()
}

/// Logistic function of a finite logit; does not overflow.
pub fn sigmoid(logit: f64) -> f64 {
    let e = (-logit.abs()).exp();
    if logit >= 0.0 { 1.0 / (1.0 + e) } else { e / (1.0 + e) }
}

/// Position of the greatest logit, the first of equal ones; none for an empty list.
pub fn argmax(logits: &[f64]) -> Option<usize> {
    let mut positions = 0..logits.len();
    let first = positions.next()?;
    Some(positions.fold(first, |best, i| if logits[i] > logits[best] { i } else { best }))
}

/// Whether the logits can be ranked: there are some, and all are finite.
pub fn usable(logits: &[f64]) -> bool {
    !logits.is_empty() && logits.iter().all(|logit| logit.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn softmax_and_sigmoid_do_not_overflow() {
        assert_eq!(softmax(&[1000.0, 1000.0]), [0.5, 0.5]);
        assert_eq!(softmax(&[-1000.0, 0.0]), [0.0, 1.0]);
        assert_eq!((sigmoid(-1000.0), sigmoid(0.0), sigmoid(1000.0)), (0.0, 0.5, 1.0));
        // scipy.special.softmax([0.5, -1.25, 2.0]) and scipy.special.expit(-1.25)
        let expected = [0.176_820_182_107_444_27, 0.030_726_740_326_436_432, 0.792_453_077_566_119_3];
        for (actual, expected) in softmax(&[0.5, -1.25, 2.0]).into_iter().zip(expected) {
            assert!((actual - expected).abs() < 1e-15, "{actual} is not {expected}");
        }
        assert!((sigmoid(-1.25) - 0.222_700_138_825_308_84).abs() < 1e-15);
    }

    #[test]
    fn argmax_takes_the_first_of_equal_maxima() {
        assert_eq!(argmax(&[1.0, 3.0, 3.0]), Some(1));
        assert_eq!(argmax(&[]), None);
    }
}
