//! ROUGE-1, ROUGE-2 and ROUGE-L (Lin 2004) of answers and captions: F1, precision and recall.
//!
//! Tokens are the runs of `a-z` and `0-9` of the text in lower case; with `use_stemmer`, those of more than three
//! characters are replaced by their Porter stem. Of several references, each measure takes the one with the best F1. All
//! is 0 if a text has no token, and without an answer. Equals `RougeScorer(["rouge1", "rouge2", "rougeL"])` of rouge-score
//! 0.1.2, with `score_multi`.

use scorer_kit::{
    Error, Metadata, Sample, Score, Scorer, export_scorer, metadata,
    serde::Deserialize,
    text::{Ngrams, Normaliser, Vocabulary, best_by, letters_and_digits, longest_common_subsequence, references, stem},
};

/// The scorer.
#[derive(Debug, Deserialize)]
#[serde(crate = "scorer_kit::serde", default, deny_unknown_fields)]
pub struct Rouge {
    /// What is done to texts before ROUGE's own lower-casing and tokenisation.
    normaliser: Normaliser,
    /// Compare stems.
    use_stemmer: bool,
}

impl Default for Rouge {
    fn default() -> Self {
        Self { normaliser: Normaliser::None, use_stemmer: false }
    }
}

const MEASURES: [&str; 3] = ["rouge1", "rouge2", "rougeL"];

impl Scorer for Rouge {
    fn metadata() -> Metadata {
        let start = metadata("rouge", "0.1.0", "ROUGE-1, ROUGE-2 and ROUGE-L")
            .tasks(["vqa", "caption"])
            .fields([("normaliser", Normaliser::SCHEMA), ("use_stemmer", r#"{"type":"boolean"}"#)]);
        let suffixes = ["", "_precision", "_recall"];
        let names = suffixes.iter().flat_map(|suffix| MEASURES.map(|measure| format!("{measure}{suffix}")));
        names.fold(start, |built, name| built.value(&name, 0.0, 1.0)).build()
    }

    fn score(&self, sample: &Sample) -> Result<Score, Error> {
        let references = references(sample)?;
        let answer = if sample.failed { String::new() } else { self.spaced(&sample.prediction) };
        let spaced: Vec<String> = references.iter().map(|reference| self.spaced(reference)).collect();
        let mut vocabulary = Vocabulary::default();
        let answer = vocabulary.numbers(answer.split_whitespace());
        let references: Vec<Vec<u32>> =
            spaced.iter().map(|reference| vocabulary.numbers(reference.split_whitespace())).collect();
        let best = |measure: fn(&[u32], &[u32]) -> [f64; 3]| {
            best_by(references.iter().map(|reference| measure(&answer, reference)), |scores| scores[0])
        };
        let measures = [best(rouge_n::<1>), best(rouge_n::<2>), best(rouge_l)].map(Option::unwrap_or_default);
        let values = (0..3).flat_map(|part| measures.map(|scores| Some(scores[part]))).collect();
        Ok(Score { values, ..Score::default() })
    }
}

impl Rouge {
    /// The tokens of a text with white space between them.
    fn spaced(&self, text: &str) -> String {
        let text = letters_and_digits(&self.normaliser.apply(text));
        if !self.use_stemmer {
            return text;
        }
        let stemmed = |word: &str| if word.len() > 3 { stem(word) } else { word.into() };
        text.split_whitespace().map(stemmed).collect::<Vec<_>>().join(" ")
    }
}

/// F1, precision and recall of the n-grams.
fn rouge_n<const N: usize>(answer: &[u32], reference: &[u32]) -> [f64; 3] {
    let (answer, reference) = (Ngrams::of(answer, N), Ngrams::of(reference, N));
    let shared = answer.shared(std::slice::from_ref(&reference));
    f_measure(shared, answer.total(), reference.total())
}

/// F1, precision and recall of the longest common subsequence.
fn rouge_l(answer: &[u32], reference: &[u32]) -> [f64; 3] {
    let shared = longest_common_subsequence(answer, reference);
    f_measure(shared, answer.len(), reference.len())
}

fn f_measure(shared: usize, answer: usize, reference: usize) -> [f64; 3] {
    let (precision, recall) = (shared as f64 / answer.max(1) as f64, shared as f64 / reference.max(1) as f64);
    let f1 = if shared > 0 { 2.0 * precision * recall / (precision + recall) } else { 0.0 };
    [f1, precision, recall]
}

export_scorer!(Rouge);

#[cfg(test)]
mod tests {
    use super::*;
    use scorer_kit::vectors::assert_text_vectors;

    #[test]
    fn equals_rouge_score() {
        assert_text_vectors::<Rouge>(include_str!("../vectors.json"));
    }

    #[test]
    fn a_failed_sample_scores_nothing() {
        let sample = Sample {
            prediction: "lung".into(),
            references: vec!["lung".into()],
            failed: true,
            ..scorer_kit::sample(0)
        };
        assert_eq!(Rouge::default().score(&sample).expect("scored").values, [Some(0.0); 9]);
    }
}
