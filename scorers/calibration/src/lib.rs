//! How far the probabilities of diagnoses can be believed. Lower is better.
//!
//! * `ece`: expected calibration error (Naeini et al. 2015, Guo et al. 2017). The samples are put into `bins` bins of
//!   equal width by the confidence, which is the probability of the predicted class, that of the greatest logit; bin
//!   `k` of `1..=bins` holds the confidences within `((k - 1) / bins, k / bins]`. The error is the mean over the
//!   samples of the difference between the mean confidence and the accuracy of their bin. `{"bins": 15}` is the
//!   default.
//! * `brier`: Brier score. Two classes: mean squared error of the probability of class 1, as
//!   `sklearn.metrics.brier_score_loss`; 0 to 1. More classes: mean of the sum of the squared errors of all classes, as
//!   `brier_score_loss(scale_by_half=False)`; 0 to 2.
//! * `log_loss`: mean negative natural logarithm of the probability of the true class, which is clipped to
//!   ε = 2.2e-16 and 1 − ε, as `sklearn.metrics.log_loss`.
//!
//! Probabilities are those of softmax. For multi-label (`"multi_label": true` in the sample's meta object) they are
//! those of the logistic function of each logit, and each label is a decision between two classes: `brier` and
//! `log_loss` are the means over the labels, and `ece` bins the decisions of all labels together.
//!
//! There is no value without samples. A sample without an answer, or with a logit that is not finite, counts as wrong
//! with all confidence: it adds an error of 1 to `ece`, in a bin of its own, the greatest Brier score, and −ln ε to
//! `log_loss`.

mod judged;

use std::num::NonZeroU16;

use judged::{Judged, WORST_LOSS, calibration_error};
use scorer_kit::{
    Diagnoses, Diagnosis, Error, Metadata, Sample, SampleScore, Score, Scorer, export_scorer, metadata,
    serde::Deserialize,
};

/// The scorer.
#[derive(Debug, Deserialize)]
#[serde(crate = "scorer_kit::serde", default, deny_unknown_fields)]
pub struct Calibration {
    /// Bins of the expected calibration error.
    bins: NonZeroU16,
}

impl Default for Calibration {
    fn default() -> Self {
        Self { bins: NonZeroU16::MIN.saturating_add(14) }
    }
}

impl Scorer for Calibration {
    fn metadata() -> Metadata {
        metadata("calibration", "0.1.0", "expected calibration error, Brier score and logarithmic loss")
            .tasks(["diagnosis"])
            .metric("ece", 0.0, 1.0)
            .lower_is_better()
            .metric("brier", 0.0, 2.0)
            .lower_is_better()
            .metric("log_loss", 0.0, WORST_LOSS)
            .lower_is_better()
            .config_schema(
                r#"{"type":"object","additionalProperties":false,"properties":{
                "bins":{"type":"integer","minimum":1,"maximum":65535,"default":15}}}"#,
            )
            .build()
    }

    fn score(&self, sample: &Sample) -> Result<Score, Error> {
        Ok(Score::of_statistics(Diagnosis::of(sample)?.statistics()))
    }

    fn aggregate(&self, scores: &[SampleScore], resamples: &[Vec<u32>]) -> Result<Vec<Vec<Option<f64>>>, Error> {
        let run = Diagnoses::read(scores)?;
        let bins = self.bins.get().into();
        let judged: Vec<Judged> = run.samples.iter().map(|sample| Judged::new(sample, run.classes, bins)).collect();
        let metrics = |resample: &Vec<u32>| {
            let drawn = || resample.iter().map(|&position| &judged[position as usize]);
            let mean = |sum: f64| (!resample.is_empty()).then(|| sum / resample.len() as f64);
            vec![
                mean(calibration_error(drawn())),
                mean(drawn().map(|sample| sample.brier).sum()),
                mean(drawn().map(|sample| sample.log_loss).sum()),
            ]
        };
        Ok(resamples.iter().map(metrics).collect())
    }
}

export_scorer!(Calibration);

#[cfg(test)]
mod tests {
    use super::*;
    use scorer_kit::vectors::{assert_vectors, diagnosis, metrics};

    fn of(samples: impl IntoIterator<Item = Sample>) -> Vec<Option<f64>> {
        metrics(&Calibration::default(), samples)
    }

    #[test]
    fn equals_scikit_learn_and_numpy_with_resamples() {
        assert_vectors::<Calibration>(include_str!("../vectors.json"));
    }

    #[test]
    fn a_failed_sample_is_wrong_with_all_confidence() {
        let worst = |brier| [Some(1.0), Some(brier), Some(WORST_LOSS)];
        assert_eq!(of([diagnosis(0, &[], &[1])]), worst(1.0));
        assert_eq!(of([diagnosis(0, &[], &[2])]), worst(2.0));
        let multi_label = Sample { meta: r#"{"multi_label":true}"#.into(), ..diagnosis(0, &[], &[2]) };
        assert_eq!(of([multi_label]), worst(1.0));
        let wrong = [diagnosis(0, &[0.0, 800.0], &[0])];
        assert_eq!(of(wrong), worst(1.0));
        // The bin of confidences near one has room for it: three right answers that were not sure.
        let unsure = (0..3).map(|i| diagnosis(i, &[0.0, 3.0], &[1]));
        let error = of(unsure.clone())[0].expect("defined");
        let with_failed = of(unsure.chain([diagnosis(3, &[], &[1])]))[0].expect("defined");
        assert!((with_failed - (3.0 * error + 1.0) / 4.0).abs() < 1e-15);
    }

    #[test]
    fn nothing_has_no_value() {
        assert_eq!(of([]), [None; 3]);
    }

    #[test]
    fn there_is_at_least_one_bin() {
        assert_eq!(Calibration::default().bins.get(), 15);
        assert!(serde_json::from_str::<Calibration>(r#"{"bins": 0}"#).is_err());
    }
}
