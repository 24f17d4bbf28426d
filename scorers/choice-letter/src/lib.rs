//! Accuracy of the answers to multiple-choice questions, by the letter or the text of the option.
//!
//! [`choose`] says how the option is found; letters count only where they stand alone, so that "Answer: Chest" does not
//! take C, nor "This is a CT" A. Without options, which some datasets put into the question only, letters from A to E
//! count, and a question whose reference is none has no value. An answer that takes no option, or several, is undecided: that is wrong, and
//! `choice_undecided` is the share of it; so is a failed sample. Other questions have no value. The note is the letter.

use scorer_kit::{
    Error, Metadata, Sample, Score, Scorer, export_scorer, meta, metadata,
    serde::Deserialize,
    text::{Question, choose, option_of, references},
};

/// The scorer; it takes no configuration.
#[derive(Debug, Default, Deserialize)]
#[serde(crate = "scorer_kit::serde", deny_unknown_fields)]
pub struct ChoiceLetter {}

/// Letters of a question whose options are unknown.
const LETTERS: usize = 5;

impl Scorer for ChoiceLetter {
    fn metadata() -> Metadata {
        metadata("choice-letter", "0.1.0", "share of multiple-choice questions whose option is the right one")
            .tasks(["vqa"])
            .value("choice_accuracy", 0.0, 1.0)
            .value("choice_undecided", 0.0, 1.0)
            .lower_is_better()
            .build()
    }

    fn score(&self, sample: &Sample) -> Result<Score, Error> {
        let references = references(sample)?;
        let mut options = meta::<Question>(sample)?.options;
        let unknown = options.is_empty();
        if unknown {
            options = vec![String::new(); LETTERS];
        }
        let right: Vec<usize> = references.iter().filter_map(|reference| option_of(reference, &options)).collect();
        if unknown && right.is_empty() {
            return Ok(Score { values: vec![None, None], ..Score::default() });
        }
        let chosen = if sample.failed { None } else { choose(&sample.prediction, &options) };
        let correct = chosen.is_some_and(|chosen| right.contains(&chosen));
        let note = chosen.map_or("undecided".into(), |chosen| char::from(b'A' + chosen as u8).to_string());
        let values = vec![Some(f64::from(correct)), Some(f64::from(chosen.is_none()))];
        Ok(Score { values, note: Some(note), ..Score::default() })
    }
}

export_scorer!(ChoiceLetter);

#[cfg(test)]
mod tests {
    use super::*;

    fn score(answer: &str, reference: &str, meta: &str) -> Score {
        let sample = Sample {
            prediction: answer.into(),
            references: vec![reference.into()],
            meta: meta.into(),
            ..scorer_kit::sample(0)
        };
        ChoiceLetter {}.score(&sample).expect("scored")
    }

    fn accuracy(answer: &str, reference: &str, meta: &str) -> [Option<f64>; 2] {
        score(answer, reference, meta).values.try_into().expect("two values")
    }

    const OPTIONS: &str = r#"{"options":["Pneumonia","CT","Chest","MRI"]}"#;

    #[test]
    fn letters_and_texts_name_options() {
        for answer in ["Answer: B", "(b)", "**B**", "B. CT", "CT", "This is a CT", "the answer is B because"] {
            assert_eq!(accuracy(answer, "CT", OPTIONS), [Some(1.0), Some(0.0)], "{answer}");
            assert_eq!(accuracy(answer, "B", OPTIONS), [Some(1.0), Some(0.0)], "{answer}");
            assert_eq!(accuracy(answer, "A", OPTIONS), [Some(0.0), Some(0.0)], "{answer}");
            assert_eq!(score(answer, "A", OPTIONS).note.as_deref(), Some("B"));
        }
        assert_eq!(score("Answer: Chest", "A", OPTIONS).note.as_deref(), Some("C"));
    }

    #[test]
    fn undecided_answers_are_wrong() {
        for answer in ["", "I am not sure", "A or B", "MRI or CT", "Answer: E"] {
            assert_eq!(accuracy(answer, "A", OPTIONS), [Some(0.0), Some(1.0)], "{answer}");
            assert_eq!(score(answer, "A", OPTIONS).note.as_deref(), Some("undecided"));
        }
        let failed = Sample { references: vec!["A".into()], failed: true, ..scorer_kit::sample(0) };
        assert_eq!(ChoiceLetter {}.score(&failed).expect("scored").values, [Some(0.0), Some(1.0)]);
    }

    #[test]
    fn without_options_letters_count_and_other_questions_have_no_value() {
        assert_eq!(accuracy("(E)", "E", "{}"), [Some(1.0), Some(0.0)]);
        assert_eq!(accuracy("Chest", "C", "{}"), [Some(0.0), Some(1.0)]);
        assert_eq!(accuracy("lung", "lung", "{}"), [None, None]);
    }
}
