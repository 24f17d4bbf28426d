//! Sensitivity at a fixed specificity of diagnoses of two classes, and specificity at a fixed sensitivity.
//!
//! A threshold calls a sample ill (class 1) if its softmax probability of class 1 is at least the threshold. The
//! thresholds are the probabilities of the samples, and one above all of them; nothing is interpolated:
//!
//! * `sensitivity_at_specificity`: the greatest sensitivity among the thresholds whose specificity is at least
//!   `specificity`.
//! * `specificity_at_sensitivity`: the greatest specificity among the thresholds whose sensitivity is at least
//!   `sensitivity`.
//!
//! The configuration `{"specificity": 0.9, "sensitivity": 0.9}` holds the defaults. The threshold is chosen on the
//! samples that it is judged by, so both are optimistic for few samples.
//!
//! Both are undefined without an ill or without a healthy sample, for more than two classes, and for multi-label.
//! A sample without an answer, or with a logit that is not finite, counts against the model at every threshold that
//! matters: if it is ill, only the threshold that calls all ill finds it, and if it is healthy, only the one that calls
//! none ill spares it.

mod curve;

use scorer_kit::{
    Diagnoses, Diagnosis, Error, Metadata, Sample, SampleScore, Score, Scorer, export_scorer, metadata,
    serde::Deserialize, weights,
};

/// The scorer.
#[derive(Debug, Deserialize)]
#[serde(crate = "scorer_kit::serde", default, deny_unknown_fields)]
pub struct OperatingPoint {
    /// The specificity at which the sensitivity is taken.
    specificity: Share,
    /// The sensitivity at which the specificity is taken.
    sensitivity: Share,
}

/// A number within 0 and 1.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(crate = "scorer_kit::serde", try_from = "f64")]
struct Share(f64);

impl TryFrom<f64> for Share {
    type Error = String;

    fn try_from(value: f64) -> Result<Self, String> {
        if (0.0..=1.0).contains(&value) { Ok(Self(value)) } else { Err(format!("{value} is not within 0 and 1")) }
    }
}

impl Default for OperatingPoint {
    fn default() -> Self {
        Self { specificity: Share(0.9), sensitivity: Share(0.9) }
    }
}

impl Scorer for OperatingPoint {
    fn metadata() -> Metadata {
        let summary = "sensitivity at a fixed specificity and specificity at a fixed sensitivity, for two classes";
        metadata("operating-point", "0.1.0", summary)
            .tasks(["diagnosis"])
            .metric("sensitivity_at_specificity", 0.0, 1.0)
            .metric("specificity_at_sensitivity", 0.0, 1.0)
            .config_schema(
                r#"{"type":"object","additionalProperties":false,"properties":{
                "specificity":{"type":"number","minimum":0,"maximum":1,"default":0.9},
                "sensitivity":{"type":"number","minimum":0,"maximum":1,"default":0.9}}}"#,
            )
            .build()
    }

    fn score(&self, sample: &Sample) -> Result<Score, Error> {
        Ok(Score::of_statistics(Diagnosis::of(sample)?.statistics()))
    }

    fn aggregate(&self, scores: &[SampleScore], resamples: &[Vec<u32>]) -> Result<Vec<Vec<Option<f64>>>, Error> {
        let run = Diagnoses::read(scores)?;
        if !run.binary() {
            return Ok(vec![vec![None, None]; resamples.len()]);
        }
        let ranking = run.rankings(None)?.remove(0);
        let metrics = |resample: &Vec<u32>| {
            let weights = weights(resample, scores.len());
            vec![
                curve::sensitivity_at(self.specificity.0, &ranking, &weights),
                curve::specificity_at(self.sensitivity.0, &ranking, &weights),
            ]
        };
        Ok(resamples.iter().map(metrics).collect())
    }
}

export_scorer!(OperatingPoint);

#[cfg(test)]
mod tests {
    use super::*;
    use scorer_kit::vectors::{assert_vectors, diagnosis, metrics};

    /// One sample for each logit of class 1, or none for a failed one.
    fn samples(classes: &[(Option<f64>, u32)]) -> Vec<Sample> {
        let sample = |(i, &(logit, label)): (u32, &(Option<f64>, u32))| {
            diagnosis(i, &logit.map(|logit| vec![0.0, logit]).unwrap_or_default(), &[label])
        };
        (0..).zip(classes).map(sample).collect()
    }

    #[test]
    fn equals_the_thresholds_of_scikit_learn() {
        assert_vectors::<OperatingPoint>(include_str!("../vectors.json"));
    }

    #[test]
    fn nothing_is_interpolated() {
        let scorer: OperatingPoint = configured(r#"{"specificity": 0.5, "sensitivity": 0.4}"#).expect("valid");
        let four = samples(&[(Some(3.0), 0), (Some(2.0), 1), (Some(1.0), 0), (Some(0.0), 1)]);
        assert_eq!(metrics(&scorer, four), [Some(0.5), Some(0.5)]);
        let tied = samples(&[(Some(1.0), 0), (Some(1.0), 1), (Some(1.0), 0), (Some(1.0), 1)]);
        assert_eq!(metrics(&scorer, tied), [Some(0.0), Some(0.0)]);
    }

    #[test]
    fn a_failed_sample_is_called_wrongly() {
        let mut perfect = vec![(Some(1.0), 1), (Some(2.0), 1), (Some(-1.0), 0), (Some(-2.0), 0)];
        assert_eq!(metrics(&OperatingPoint::default(), samples(&perfect)), [Some(1.0), Some(1.0)]);
        perfect.push((None, 1));
        assert_eq!(metrics(&OperatingPoint::default(), samples(&perfect)), [Some(2.0 / 3.0), Some(0.0)]);
        perfect.last_mut().expect("failed").1 = 0;
        assert_eq!(metrics(&OperatingPoint::default(), samples(&perfect)), [Some(0.0), Some(2.0 / 3.0)]);
    }

    #[test]
    fn undefined_without_two_classes() {
        let undefined = [None, None];
        assert_eq!(metrics(&OperatingPoint::default(), []), undefined);
        assert_eq!(metrics(&OperatingPoint::default(), samples(&[(Some(1.0), 1)])), undefined);
        let three = [diagnosis(0, &[0.0, 1.0, 2.0], &[0]), diagnosis(1, &[0.0, 1.0, 2.0], &[2])];
        assert_eq!(metrics(&OperatingPoint::default(), three), undefined);
    }

    #[test]
    fn a_target_is_a_share() {
        let error = configured(r#"{"specificity": 90}"#).expect_err("no share").to_string();
        assert!(error.starts_with("90 is not within 0 and 1"), "{error}");
    }

    fn configured(config: &str) -> Result<OperatingPoint, serde_json::Error> {
        serde_json::from_str(config)
    }
}
