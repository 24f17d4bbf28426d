//! What each sample adds to the metrics.

use scorer_kit::{Diagnosis, argmax};

/// −ln ε, the logarithmic loss of a probability of zero.
pub(crate) const WORST_LOSS: f64 = 36.043_653_389_117_15;

/// A sample beside the truth.
pub(crate) struct Judged {
    pub(crate) brier: f64,
    pub(crate) log_loss: f64,
    /// None without an answer.
    decisions: Option<Vec<Decision>>,
}

/// A predicted class: one for each sample, or one for each label of a multi-label sample.
struct Decision {
    bin: usize,
    /// Confidence less whether it is right, as a share of the sample.
    gap: f64,
}

impl Judged {
    /// Judges a sample of `classes` classes, with `bins` bins for the confidence.
    pub(crate) fn new(sample: &Diagnosis, classes: usize, bins: u32) -> Self {
        let probabilities = sample.probabilities();
        if probabilities.is_empty() {
            let brier = if sample.multi_label || classes == 2 { 1.0 } else { 2.0 };
            return Self { brier, log_loss: WORST_LOSS, decisions: None };
        }
        let truth = |class: usize| f64::from(sample.is(class));
        let squares: f64 = probabilities.iter().enumerate().map(|(class, p)| (p - truth(class)).powi(2)).sum();
        let count = probabilities.len() as f64;
        if sample.multi_label {
            let labels = || probabilities.iter().enumerate().map(|(class, &p)| (p, sample.is(class)));
            let losses: f64 = labels().map(|(p, is)| surprise(if is { p } else { 1.0 - p })).sum();
            let decide = |(p, is): (f64, bool)| decision(p.max(1.0 - p), (p >= 0.5) == is, 1.0 / count, bins);
            let decisions = labels().map(decide).collect();
            return Self { brier: squares / count, log_loss: losses / count, decisions: Some(decisions) };
        }
        let predicted = argmax(&sample.logits).unwrap_or_default();
        let decision = decision(probabilities[predicted], sample.is(predicted), 1.0, bins);
        let log_loss = sample.labels.iter().map(|&label| surprise(probabilities[label as usize])).sum();
        let brier = if classes == 2 { (probabilities[1] - truth(1)).powi(2) } else { squares };
        Self { brier, log_loss, decisions: Some(vec![decision]) }
    }
}

/// The sum over the bins of the difference between the confidences and the right decisions within, and one for each
/// sample without an answer.
pub(crate) fn calibration_error<'a>(samples: impl Iterator<Item = &'a Judged>) -> f64 {
    let mut failed = 0.0;
    let mut gaps: Vec<f64> = Vec::new();
    for sample in samples {
        match &sample.decisions {
            None => failed += 1.0,
            Some(decisions) => {
                for Decision { bin, gap } in decisions {
                    if gaps.len() <= *bin {
                        gaps.resize(bin + 1, 0.0);
                    }
                    gaps[*bin] += gap;
                }
            }
        }
    }
    failed + gaps.into_iter().map(f64::abs).sum::<f64>()
}

fn decision(confidence: f64, right: bool, share: f64, bins: u32) -> Decision {
    let bin = (confidence * f64::from(bins)).ceil().clamp(1.0, f64::from(bins)) as usize - 1;
    Decision { bin, gap: share * (confidence - f64::from(right)) }
}

/// Negative natural logarithm of a probability, clipped.
fn surprise(probability: f64) -> f64 {
    -probability.clamp(f64::EPSILON, 1.0 - f64::EPSILON).ln()
}
