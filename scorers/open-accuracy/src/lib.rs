//! Accuracy of the answers to open questions: an answer is right if it has enough of the reference's tokens.
//!
//! The share of the reference's tokens that are in the answer, with repetitions, must reach `threshold` (0.75, as in
//! MedVLMBench) for any reference. An empty reference is met by an empty answer only. A failed sample is wrong. A question
//! that the dataset calls closed has no value.

use scorer_kit::{
    Error, Metadata, Sample, Score, Scorer, export_scorer, meta, metadata,
    serde::Deserialize,
    text::{Ngrams, Normaliser, Question, Vocabulary, references},
};

/// The scorer.
#[derive(Debug, Deserialize)]
#[serde(crate = "scorer_kit::serde", default, deny_unknown_fields)]
pub struct OpenAccuracy {
    /// How answers and references are made comparable.
    normaliser: Normaliser,
    /// Least share of the reference's tokens.
    threshold: f64,
}

impl Default for OpenAccuracy {
    fn default() -> Self {
        Self { normaliser: Normaliser::Squad, threshold: 0.75 }
    }
}

impl Scorer for OpenAccuracy {
    fn metadata() -> Metadata {
        metadata("open-accuracy", "0.1.0", "share of open questions whose answer has enough of the reference's tokens")
            .tasks(["vqa"])
            .value("open_accuracy", 0.0, 1.0)
            .fields([("normaliser", Normaliser::SCHEMA), ("threshold", r#"{"type":"number","minimum":0,"maximum":1}"#)])
            .build()
    }

    fn score(&self, sample: &Sample) -> Result<Score, Error> {
        let references = references(sample)?;
        if meta::<Question>(sample)?.closed == Some(true) {
            return Ok(Score { values: vec![None], ..Score::default() });
        }
        let answer = self.normaliser.apply(&sample.prediction);
        let enough = |reference: &String| recall(&answer, &self.normaliser.apply(reference)) >= self.threshold;
        Ok(Score::of(f64::from(!sample.failed && references.iter().any(enough))))
    }
}

fn recall(answer: &str, reference: &str) -> f64 {
    let mut vocabulary = Vocabulary::default();
    let answer = vocabulary.numbers(answer.split_whitespace());
    let reference = vocabulary.numbers(reference.split_whitespace());
    match reference.len() {
        0 => f64::from(answer.is_empty()),
        length => Ngrams::of(&reference, 1).shared(&[Ngrams::of(&answer, 1)]) as f64 / length as f64,
    }
}

export_scorer!(OpenAccuracy);

#[cfg(test)]
mod tests {
    use super::*;

    fn score(threshold: f64, answer: &str, references: &[&str], meta: &str) -> Option<f64> {
        let scorer = OpenAccuracy { threshold, ..OpenAccuracy::default() };
        let references = references.iter().map(|reference| reference.to_string()).collect();
        let sample = Sample { prediction: answer.into(), references, meta: meta.into(), ..scorer_kit::sample(0) };
        scorer.score(&sample).expect("scored").values[0]
    }

    #[test]
    fn the_threshold_itself_is_enough() {
        let reference = "left lower lobe pneumonia";
        assert_eq!(score(0.75, "Pneumonia of the left lobe.", &[reference], "{}"), Some(1.0));
        assert_eq!(score(0.8, "Pneumonia of the left lobe.", &[reference], "{}"), Some(0.0));
        assert_eq!(score(0.75, "left lobe", &[reference], "{}"), Some(0.0));
        assert_eq!(score(0.75, "left lobe", &[reference, "lobe"], "{}"), Some(1.0));
    }

    #[test]
    fn repeated_tokens_must_be_repeated() {
        assert_eq!(score(0.75, "lung", &["lung lung"], "{}"), Some(0.0));
        assert_eq!(score(0.75, "lung lung", &["lung lung"], "{}"), Some(1.0));
    }

    #[test]
    fn closed_questions_have_no_value_and_failed_samples_are_wrong() {
        assert_eq!(score(0.75, "yes", &["yes"], r#"{"closed":true}"#), None);
        assert_eq!(score(0.75, "yes", &["yes"], r#"{"closed":false}"#), Some(1.0));
        let failed = Sample { references: vec![String::new()], failed: true, ..scorer_kit::sample(0) };
        assert_eq!(OpenAccuracy::default().score(&failed).expect("scored").values, [Some(0.0)]);
    }
}
