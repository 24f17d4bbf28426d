//! METEOR (Lavie & Agarwal 2007) of answers and captions, with the exact and the stem stage.
//!
//! Words are matched first as they are, then by their Porter stems; the third stage of the original, synonyms of
//! WordNet, is absent, because a scorer carries no such database: a score is at most that of an implementation that has
//! it. Of several references the best counts; it is 0 if no word matches, and without an answer. Equals
//! `nltk.translate.meteor_score.meteor_score` with an empty WordNet, given the tokens that `tokeniser` makes.

use scorer_kit::{
    Error, Metadata, Sample, Score, Scorer, export_scorer, metadata,
    serde::Deserialize,
    text::{Normaliser, Tokeniser, Vocabulary, references, stem},
};

/// The scorer.
#[derive(Debug, Deserialize)]
#[serde(crate = "scorer_kit::serde", default, deny_unknown_fields)]
pub struct Meteor {
    /// How answers and references are made comparable.
    normaliser: Normaliser,
    /// How they are cut into words.
    tokeniser: Tokeniser,
    /// Weight of recall against precision.
    alpha: f64,
    /// Exponent of the penalty for scattered matches.
    beta: f64,
    /// Greatest penalty.
    gamma: f64,
}

impl Default for Meteor {
    fn default() -> Self {
        Self { normaliser: Normaliser::Lower, tokeniser: Tokeniser::Words, alpha: 0.9, beta: 3.0, gamma: 0.5 }
    }
}

impl Scorer for Meteor {
    fn metadata() -> Metadata {
        let unit = r#"{"type":"number","minimum":0,"maximum":1}"#;
        metadata("meteor", "0.1.0", "METEOR with exact and stem matches, without WordNet's synonyms")
            .tasks(["vqa", "caption"])
            .value("meteor", 0.0, 1.0)
            .fields([
                ("normaliser", Normaliser::SCHEMA),
                ("tokeniser", Tokeniser::SCHEMA),
                ("alpha", unit),
                ("beta", r#"{"type":"number","minimum":0}"#),
                ("gamma", unit),
            ])
            .build()
    }

    fn score(&self, sample: &Sample) -> Result<Score, Error> {
        let references = references(sample)?;
        if sample.failed {
            return Ok(Score::of(0.0));
        }
        let text = |text: &str| self.tokeniser.spaced(&self.normaliser.apply(text)).into_owned();
        let answer = text(&sample.prediction);
        let scores = references.iter().map(|reference| self.meteor(&answer, &text(reference)));
        Ok(Score::of(scores.fold(0.0, f64::max)))
    }
}

impl Meteor {
    fn meteor(&self, answer: &str, reference: &str) -> f64 {
        let answer: Vec<&str> = answer.split_whitespace().collect();
        let reference: Vec<&str> = reference.split_whitespace().collect();
        let matches = align(&answer, &reference);
        if matches.is_empty() {
            return 0.0;
        }
        let count = matches.len() as f64;
        let (precision, recall) = (count / answer.len() as f64, count / reference.len() as f64);
        let f_mean = precision * recall / (self.alpha * precision + (1.0 - self.alpha) * recall);
        let penalty = self.gamma * (chunks(&matches) / count).powf(self.beta);
        (1.0 - penalty) * f_mean
    }
}

/// The matched positions in answer and reference, in ascending order.
fn align(answer: &[&str], reference: &[&str]) -> Vec<(usize, usize)> {
    let mut vocabulary = Vocabulary::default();
    let mut left: Vec<(usize, u32)> = (0..).zip(vocabulary.numbers(answer.iter().copied())).collect();
    let mut right: Vec<(usize, u32)> = (0..).zip(vocabulary.numbers(reference.iter().copied())).collect();
    let mut matches = take_matches(&mut left, &mut right);
    if !left.is_empty() && !right.is_empty() {
        let stems = |rest: &[(usize, u32)], words: &[&str]| -> Vec<String> {
            rest.iter().map(|(position, _)| stem(words[*position])).collect()
        };
        let (left_stems, right_stems) = (stems(&left, answer), stems(&right, reference));
        let mut vocabulary = Vocabulary::default();
        for (rest, stems) in [(&mut left, &left_stems), (&mut right, &right_stems)] {
            let numbers = vocabulary.numbers(stems.iter().map(String::as_str));
            rest.iter_mut().zip(numbers).for_each(|(word, number)| word.1 = number);
        }
        matches.extend(take_matches(&mut left, &mut right));
    }
    matches.sort_unstable();
    matches
}

/// Removes matches: from the last word of the answer on, each takes the last equal word of the reference.
fn take_matches(answer: &mut Vec<(usize, u32)>, reference: &mut Vec<(usize, u32)>) -> Vec<(usize, usize)> {
    let mut matches = Vec::new();
    for at in (0..answer.len()).rev() {
        let (position, word) = answer[at];
        if let Some(found) = reference.iter().rposition(|(_, other)| *other == word) {
            matches.push((position, reference.remove(found).0));
            answer.remove(at);
        }
    }
    matches
}

/// Number of runs of matches that are adjacent in both texts.
fn chunks(matches: &[(usize, usize)]) -> f64 {
    matches.chunk_by(|a, b| b.0 == a.0 + 1 && b.1 == a.1 + 1).count() as f64
}

export_scorer!(Meteor);

#[cfg(test)]
mod tests {
    use super::*;
    use scorer_kit::vectors::assert_text_vectors;

    #[test]
    fn equals_nltk() {
        assert_text_vectors::<Meteor>(include_str!("../vectors.json"));
    }

    #[test]
    fn equals_the_log_of_medvlmbench() {
        let sample = Sample {
            prediction: "Hello word, where are you".into(),
            references: vec!["May I know the place you are staying?".into()],
            ..scorer_kit::sample(0)
        };
        let scorer =
            Meteor { normaliser: Normaliser::Medvlmbench, tokeniser: Tokeniser::Whitespace, ..Meteor::default() };
        let values = scorer.score(&sample).expect("scored").values;
        assert!((values[0].expect("a value") - 0.147059).abs() < 5e-7, "{values:?}");
    }

    #[test]
    fn a_failed_sample_scores_nothing() {
        let sample = Sample {
            prediction: "lung".into(),
            references: vec!["lung".into()],
            failed: true,
            ..scorer_kit::sample(0)
        };
        assert_eq!(Meteor::default().score(&sample).expect("scored").values, [Some(0.0)]);
    }
}
