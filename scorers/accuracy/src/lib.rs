//! Accuracy of diagnoses.
//!
//! * One true class: the class of the greatest logit, the first of equal ones, is the label. Equals
//!   `sklearn.metrics.accuracy_score(labels, logits.argmax(axis=1))`.
//! * Multi-label (`"multi_label": true` in the sample's meta object): the classes with a probability of at least 0.5,
//!   by the logistic function of each logit, are exactly the labels. Equals `accuracy_score` on indicator matrices
//!   ("subset accuracy").
//!
//! A sample without an answer, or with a logit that is not finite, is wrong.

use scorer_kit::{
    Error, Metadata, Sample, Score, Scorer, argmax, bad_input, export_scorer, meta, metadata, serde::Deserialize,
    sigmoid, usable,
};

/// The scorer; it takes no configuration.
#[derive(Debug, Default, Deserialize)]
#[serde(crate = "scorer_kit::serde", deny_unknown_fields)]
pub struct Accuracy {}

#[derive(Default, Deserialize)]
#[serde(crate = "scorer_kit::serde", default)]
struct Meta {
    multi_label: bool,
}

impl Scorer for Accuracy {
    fn metadata() -> Metadata {
        metadata("accuracy", "0.1.0", "share of samples whose predicted class, or exact set of classes, is true")
            .tasks(["diagnosis"])
            .value("accuracy", 0.0, 1.0)
            .build()
    }

    fn score(&self, sample: &Sample) -> Result<Score, Error> {
        let multi_label = meta::<Meta>(sample)?.multi_label;
        if !multi_label && sample.labels.len() != 1 {
            let count = sample.labels.len();
            return Err(bad_input(sample, format!("{count} labels, but its dataset is not marked multi_label")));
        }
        let answered = !sample.failed && usable(&sample.logits);
        let correct = answered
            && match multi_label {
                true => exact_subset(&sample.logits, &sample.labels),
                false => argmax(&sample.logits) == Some(sample.labels[0] as usize),
            };
        Ok(Score::of(f64::from(correct)))
    }
}

/// Whether the classes with a probability of at least 0.5 are exactly `labels`.
fn exact_subset(logits: &[f64], labels: &[u32]) -> bool {
    logits.iter().zip(0..).all(|(&logit, class)| (sigmoid(logit) >= 0.5) == labels.contains(&class))
        && labels.iter().all(|&label| (label as usize) < logits.len())
}

export_scorer!(Accuracy);

#[cfg(test)]
mod tests {
    use super::*;

    fn value(logits: &[f64], labels: &[u32], multi_label: bool) -> f64 {
        let sample = Sample {
            logits: logits.into(),
            labels: labels.into(),
            meta: format!(r#"{{"multi_label":{multi_label},"sex":"F"}}"#),
            ..scorer_kit::sample(0)
        };
        Accuracy {}.score(&sample).expect("scored").values[0].expect("present")
    }

    #[derive(Deserialize)]
    #[serde(crate = "scorer_kit::serde")]
    struct Vector {
        name: String,
        multi_label: bool,
        logits: Vec<Vec<f64>>,
        labels: Vec<Vec<u32>>,
        expected: f64,
    }

    #[test]
    fn equals_scikit_learn() {
        // Made by scorers/vectors.py.
        let vectors: Vec<Vector> = serde_json::from_str(include_str!("../vectors.json")).expect("valid JSON");
        assert_eq!(vectors.len(), 2);
        for vector in vectors {
            let pairs = vector.logits.iter().zip(&vector.labels);
            let sum: f64 = pairs.map(|(logits, labels)| value(logits, labels, vector.multi_label)).sum();
            assert_eq!(sum / vector.logits.len() as f64, vector.expected, "{}", vector.name);
        }
    }

    #[test]
    fn the_first_greatest_logit_must_be_the_label() {
        assert_eq!(value(&[0.1, 0.7, 0.2], &[1], false), 1.0);
        assert_eq!(value(&[0.1, 0.7, 0.2], &[2], false), 0.0);
        assert_eq!(value(&[0.7, 0.7], &[0], false), 1.0);
        assert_eq!(value(&[0.7, 0.7], &[1], false), 0.0);
    }

    #[test]
    fn multi_label_needs_the_exact_set_at_one_half() {
        assert_eq!(value(&[0.0, -0.1, 3.0], &[0, 2], true), 1.0);
        assert_eq!(value(&[0.0, -0.1, 3.0], &[2], true), 0.0);
        assert_eq!(value(&[0.0, -0.1, 3.0], &[0, 1, 2], true), 0.0);
        assert_eq!(value(&[-1.0, -2.0], &[], true), 1.0);
        assert_eq!(value(&[-1.0, -2.0], &[5], true), 0.0);
    }

    #[test]
    fn no_answer_is_wrong() {
        let failed = Sample { labels: vec![0], failed: true, ..scorer_kit::sample(3) };
        assert_eq!(Accuracy {}.score(&failed).expect("scored").values, [Some(0.0)]);
        assert_eq!(value(&[f64::NAN, 0.0], &[0], false), 0.0);
        assert_eq!(value(&[], &[], true), 0.0);
    }

    #[test]
    fn two_labels_without_the_mark_are_an_error() {
        let sample = Sample { labels: vec![0, 1], logits: vec![1.0, 1.0], ..scorer_kit::sample(3) };
        let error = Accuracy {}.score(&sample).expect_err("ambiguous");
        assert_eq!(error, Error::BadInput("sample 3: 2 labels, but its dataset is not marked multi_label".into()));
    }
}
