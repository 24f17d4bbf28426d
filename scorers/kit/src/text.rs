//! Text of answers and captions: normalisers, tokenisers, a stemmer, overlaps and choices.

mod choice;
mod contractions;
mod overlap;
mod porter;
mod squad;
mod tokeniser;
mod vqa;

use std::borrow::Cow;

use crate::{Error, Sample, bad_input, serde::Deserialize};

pub use choice::{choose, contains_words, option_of, words, yes_or_no};
pub use overlap::{Ngrams, Vocabulary, longest_common_subsequence};
pub use porter::stem;
pub use tokeniser::{Tokeniser, letters_and_digits};

/// How a text is made comparable, as the field `normaliser` of a scorer's configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Normaliser {
    /// The text as it is.
    None,
    /// Lower case.
    Lower,
    /// `normalize_answer` of SQuAD's `evaluate-v1.1.py` (Rajpurkar et al. 2016): lower case, ASCII punctuation deleted,
    /// articles dropped, white space collapsed; decimal points and lone articles stay.
    Squad,
    /// What the official answer normaliser of VQA v2 (`vqaEval.py`, Goyal et al. 2017) means to do: punctuation but
    /// apostrophes and colons becomes a space, commas within numbers and periods outside of them are deleted, numerals
    /// become digits, articles are dropped, contractions get their apostrophe.
    Vqa,
    /// The normaliser of MedVLMBench, which is that of VQA v2 with its mistakes: a mark is deleted everywhere if it
    /// touches a space anywhere, at most 32 periods are deleted, contractions with capitals never match.
    Medvlmbench,
}

impl Normaliser {
    /// JSON schema of the configuration field.
    pub const SCHEMA: &str = r#"{"enum":["none","lower","squad","vqa","medvlmbench"]}"#;

    /// The normalised text.
    pub fn apply(self, text: &str) -> Cow<'_, str> {
        match self {
            Self::None => text.into(),
            Self::Lower => text.to_lowercase().into(),
            Self::Squad => squad::normalise(text).into(),
            Self::Vqa => vqa::normalise(text).into(),
            Self::Medvlmbench => vqa::normalise_as_medvlmbench(text).into(),
        }
    }
}

/// What a dataset says of a question, in the meta object of its sample.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Question {
    /// Whether the answer is one of few; none if the dataset does not say.
    pub closed: Option<bool>,
    /// The options of a multiple-choice question, in the order of their letters.
    pub options: Vec<String>,
}

/// The references of a sample, of which there must be one.
pub fn references(sample: &Sample) -> Result<&[String], Error> {
    match sample.references.as_slice() {
        [] => Err(bad_input(sample, "there is no reference to compare the answer with")),
        references => Ok(references),
    }
}

/// The greatest of some values that are not NaN, the first of equal ones, by a key.
pub fn best_by<T>(values: impl IntoIterator<Item = T>, key: impl Fn(&T) -> f64) -> Option<T> {
    values.into_iter().reduce(|best, next| if key(&next) > key(&best) { next } else { best })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn normalisers_equal_their_originals() {
        // Made by scorers/text_vectors.py.
        type Row = (String, String, String, Option<String>);
        let rows: Vec<Row> = serde_json::from_str(include_str!("../normalised.json")).expect("valid JSON");
        assert!(rows.len() > 100);
        for (text, squad, vqa, medvlmbench) in rows {
            assert_eq!(Normaliser::Squad.apply(&text), squad, "{text:?}");
            assert_eq!(Normaliser::Vqa.apply(&text), vqa, "{text:?}");
            assert!(medvlmbench.is_none_or(|expected| Normaliser::Medvlmbench.apply(&text) == expected), "{text:?}");
        }
    }

    #[test]
    fn the_first_of_equal_values_is_best() {
        assert_eq!(best_by([(1.0, 'a'), (2.0, 'b'), (2.0, 'c')], |(value, _)| *value), Some((2.0, 'b')));
        assert_eq!(best_by([0.0; 0], |value| *value), None);
    }
}
