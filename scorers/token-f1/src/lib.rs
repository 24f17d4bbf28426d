//! Precision, recall and F1 of the tokens of answers.
//!
//! Tokens are the words of the normalised answer and reference, counted with repetitions. Equals `f1_score` of SQuAD's
//! `evaluate-v1.1.py` (Rajpurkar et al. 2016) with the normaliser `squad`, which is the default. Of several references
//! the one with the best F1 gives all three values. Two empty texts are equal; with one empty text, or without an
//! answer, all are 0.

use scorer_kit::{
    Error, Metadata, Sample, Score, Scorer, export_scorer, metadata,
    serde::Deserialize,
    text::{Ngrams, Normaliser, Vocabulary, best_by, references},
};

/// The scorer.
#[derive(Debug, Deserialize)]
#[serde(crate = "scorer_kit::serde", default, deny_unknown_fields)]
pub struct TokenF1 {
    /// How answers and references are made comparable.
    normaliser: Normaliser,
}

impl Default for TokenF1 {
    fn default() -> Self {
        Self { normaliser: Normaliser::Squad }
    }
}

impl Scorer for TokenF1 {
    fn metadata() -> Metadata {
        metadata("token-f1", "0.1.0", "precision, recall and F1 of an answer's tokens, with repetitions")
            .tasks(["vqa", "caption"])
            .value("token_f1", 0.0, 1.0)
            .value("token_precision", 0.0, 1.0)
            .value("token_recall", 0.0, 1.0)
            .fields([("normaliser", Normaliser::SCHEMA)])
            .build()
    }

    fn score(&self, sample: &Sample) -> Result<Score, Error> {
        let references = references(sample)?;
        if sample.failed {
            return Ok(Score { values: vec![Some(0.0); 3], ..Score::default() });
        }
        let answer = self.normaliser.apply(&sample.prediction);
        let overlaps = references.iter().map(|reference| overlap(&answer, &self.normaliser.apply(reference)));
        let best = best_by(overlaps, |overlap| overlap[0]).unwrap_or_default();
        Ok(Score { values: best.map(Some).to_vec(), ..Score::default() })
    }
}

/// F1, precision and recall.
fn overlap(answer: &str, reference: &str) -> [f64; 3] {
    let mut vocabulary = Vocabulary::default();
    let answer = vocabulary.numbers(answer.split_whitespace());
    let reference = vocabulary.numbers(reference.split_whitespace());
    if answer.is_empty() && reference.is_empty() {
        return [1.0; 3];
    }
    let shared = Ngrams::of(&answer, 1).shared(&[Ngrams::of(&reference, 1)]) as f64;
    if shared == 0.0 {
        return [0.0; 3];
    }
    let (precision, recall) = (shared / answer.len() as f64, shared / reference.len() as f64);
    [2.0 * precision * recall / (precision + recall), precision, recall]
}

export_scorer!(TokenF1);

#[cfg(test)]
mod tests {
    use super::*;
    use scorer_kit::vectors::assert_text_vectors;

    #[test]
    fn equals_squad() {
        assert_text_vectors::<TokenF1>(include_str!("../vectors.json"));
    }

    #[test]
    fn a_failed_sample_scores_nothing_even_beside_an_empty_reference() {
        let sample = Sample { references: vec![String::new()], failed: true, ..scorer_kit::sample(0) };
        assert_eq!(TokenF1::default().score(&sample).expect("scored").values, [Some(0.0); 3]);
    }
}
