//! The measures of MedVLMBench on normalised texts.

use scorer_kit::text::{Ngrams, Vocabulary, letters_and_digits, longest_common_subsequence, stem};

/// Its measures of shared tokens.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Overlap {
    /// Distinct tokens of the reference that the answer has, by the tokens of the answer with repetitions.
    pub exact_match: f64,
    /// Tokens of the answer that the reference has, by all tokens of the answer.
    pub precision: f64,
    /// Tokens of the answer that the reference has, by these and the tokens of the reference that the answer lacks.
    pub recall: f64,
    /// Harmonic mean of precision and recall.
    pub f1: f64,
}

impl Overlap {
    /// Of an answer and a reference; all are 0 if either is empty.
    pub fn of(answer: &str, reference: &str) -> Self {
        let (answer, reference) = tokens(answer, reference);
        let (in_answer, in_reference) = (Ngrams::of(&answer, 1), Ngrams::of(&reference, 1));
        let shared: Vec<usize> = in_answer.iter().filter(|&(t, _)| in_reference.count(t) > 0).map(|(_, n)| n).collect();
        if shared.is_empty() {
            return Self::default();
        }
        let hits: usize = shared.iter().sum();
        let missed: usize = in_reference.iter().filter(|&(t, _)| in_answer.count(t) == 0).map(|(_, n)| n).sum();
        let precision = hits as f64 / answer.len() as f64;
        let recall = hits as f64 / (hits + missed) as f64;
        Self {
            exact_match: shared.len() as f64 / answer.len() as f64,
            precision,
            recall,
            f1: 2.0 * precision * recall / (precision + recall),
        }
    }
}

/// BLEU-1 to BLEU-4 in single precision, without smoothing: `torchmetrics.functional.bleu_score` of one sentence.
pub fn bleu(answer: &str, reference: &str) -> [f64; 4] {
    let (answer, reference) = tokens(answer, reference);
    let mut precisions = [0f32; 4];
    for (n, precision) in precisions.iter_mut().enumerate().take(answer.len()) {
        let shared = Ngrams::of(&answer, n + 1).shared(&[Ngrams::of(&reference, n + 1)]);
        *precision = shared as f32 / (answer.len() - n) as f32;
    }
    let penalty = match answer.len() > reference.len() {
        true => 1.0,
        false => (1.0 - reference.len() as f32 / answer.len() as f32).exp(),
    };
    [1, 2, 3, 4].map(|order| {
        let precisions = &precisions[..order];
        if precisions.contains(&0.0) {
            return 0.0;
        }
        let weight = 1.0 / order as f32;
        let logarithm: f32 = precisions.iter().map(|precision| weight * precision.ln()).sum();
        f64::from(penalty * logarithm.exp())
    })
}

/// F1 of ROUGE-1, ROUGE-2 and ROUGE-L in single precision: `torchmetrics.functional.text.rouge.rouge_score`.
pub fn rouge(answer: &str, reference: &str) -> [f64; 3] {
    let (answer, reference) = (letters_and_digits(answer), letters_and_digits(reference));
    let (answer, reference) = tokens(&answer, &reference);
    let n_grams = |n: usize| {
        let (answer, reference) = (Ngrams::of(&answer, n), Ngrams::of(&reference, n));
        (answer.shared(std::slice::from_ref(&reference)), answer.total(), reference.total())
    };
    let longest = (longest_common_subsequence(&answer, &reference), answer.len(), reference.len());
    [n_grams(1), n_grams(2), longest].map(|(shared, answer, reference)| {
        if shared == 0 {
            return 0.0;
        }
        let (precision, recall) = (shared as f64 / answer as f64, shared as f64 / reference as f64);
        f64::from((2.0 * precision * recall / (precision + recall)) as f32)
    })
}

/// METEOR of two texts that are one token each: the greatest penalty, 0.5, if they or their stems are equal.
pub fn meteor(answer: &str, reference: &str) -> f64 {
    // A stem begins as its word does.
    let may_match = answer.chars().next() == reference.chars().next();
    if may_match && (answer == reference || stem(answer) == stem(reference)) { 0.5 } else { 0.0 }
}

fn tokens(answer: &str, reference: &str) -> (Vec<u32>, Vec<u32>) {
    let mut vocabulary = Vocabulary::default();
    (vocabulary.numbers(answer.split_whitespace()), vocabulary.numbers(reference.split_whitespace()))
}
