//! Accuracy of the answers to closed questions.
//!
//! * To a question whose reference, or whose options, are yes and no, an answer says what its first word says, or the
//!   word after `answer`, or the only one of the two among its words: "no" is not in "normal".
//! * To a question with other options, it takes the one that it names by its letter or its words.
//! * To another question, it is right if the words of a reference stand in it.
//!
//! An answer that says neither or several is undecided. That is wrong, and `closed_undecided` is the share of it; so is
//! a failed sample. A question that the dataset calls open has no value.

use scorer_kit::{
    Error, Metadata, Sample, Score, Scorer, export_scorer, meta, metadata,
    serde::Deserialize,
    text::{Question, choose, contains_words, option_of, references, words, yes_or_no},
};

/// The scorer; it takes no configuration.
#[derive(Debug, Default, Deserialize)]
#[serde(crate = "scorer_kit::serde", deny_unknown_fields)]
pub struct ClosedAccuracy {}

impl Scorer for ClosedAccuracy {
    fn metadata() -> Metadata {
        metadata("closed-accuracy", "0.1.0", "share of closed questions with the right answer, by whole words")
            .tasks(["vqa"])
            .value("closed_accuracy", 0.0, 1.0)
            .value("closed_undecided", 0.0, 1.0)
            .lower_is_better()
            .build()
    }

    fn score(&self, sample: &Sample) -> Result<Score, Error> {
        let references = references(sample)?;
        let question = meta::<Question>(sample)?;
        if question.closed == Some(false) {
            return Ok(Score { values: vec![None, None], ..Score::default() });
        }
        let said = if sample.failed { None } else { said(&sample.prediction, references, &question.options) };
        let correct = said.as_ref().is_some_and(|said| references.iter().any(|reference| said.is(reference)));
        let values = vec![Some(f64::from(correct)), Some(f64::from(said.is_none()))];
        let note = said.map_or("undecided".into(), |said| said.to_string());
        Ok(Score { values, note: Some(note), ..Score::default() })
    }
}

/// What an answer says.
enum Said<'a> {
    Polarity(bool),
    Option(usize, &'a [String]),
    Words(String),
}

fn said<'a>(answer: &str, references: &[String], options: &'a [String]) -> Option<Said<'a>> {
    if options.iter().chain(references).all(|choice| polarity(choice).is_some()) {
        return yes_or_no(answer).map(Said::Polarity);
    }
    if !options.is_empty() {
        return choose(answer, options).map(|option| Said::Option(option, options));
    }
    Some(words(answer)).filter(|words| !words.trim().is_empty()).map(Said::Words)
}

impl Said<'_> {
    fn is(&self, reference: &str) -> bool {
        match self {
            Self::Polarity(said) => polarity(reference) == Some(*said),
            Self::Option(said, options) => option_of(reference, options) == Some(*said),
            Self::Words(said) => contains_words(said, &words(reference)),
        }
    }
}

impl std::fmt::Display for Said<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Polarity(yes) => f.write_str(if *yes { "yes" } else { "no" }),
            Self::Option(said, options) => f.write_str(&options[*said]),
            Self::Words(said) => f.write_str(said.trim()),
        }
    }
}

/// Whether a text is yes or no, and nothing else.
fn polarity(text: &str) -> Option<bool> {
    match text.trim().trim_end_matches('.') {
        yes if yes.eq_ignore_ascii_case("yes") => Some(true),
        no if no.eq_ignore_ascii_case("no") => Some(false),
        _ => None,
    }
}

export_scorer!(ClosedAccuracy);

#[cfg(test)]
mod tests {
    use super::*;
    use scorer_kit::vectors::metrics;

    fn score(answer: &str, reference: &str, meta: &str) -> (Option<f64>, Option<f64>) {
        let sample = Sample {
            prediction: answer.into(),
            references: vec![reference.into()],
            meta: meta.into(),
            ..scorer_kit::sample(0)
        };
        let values = ClosedAccuracy {}.score(&sample).expect("scored").values;
        (values[0], values[1])
    }

    const RIGHT: (Option<f64>, Option<f64>) = (Some(1.0), Some(0.0));
    const WRONG: (Option<f64>, Option<f64>) = (Some(0.0), Some(0.0));
    const UNDECIDED: (Option<f64>, Option<f64>) = (Some(0.0), Some(1.0));

    #[test]
    fn yes_and_no_are_whole_words() {
        let closed = r#"{"closed":true}"#;
        assert_eq!(score("No, it is normal.", "no", closed), RIGHT);
        assert_eq!(score("There is no effusion", "No", closed), RIGHT);
        assert_eq!(score("Yes.", "no", closed), WRONG);
        assert_eq!(score("it is normal", "no", closed), UNDECIDED);
        assert_eq!(score("an abnormality is known", "no", closed), UNDECIDED);
        assert_eq!(score("yes or no", "yes", closed), UNDECIDED);
        assert_eq!(score("", "yes", closed), UNDECIDED);
    }

    #[test]
    fn other_closed_questions_are_answered_by_an_option_or_the_words_of_the_reference() {
        let sides = r#"{"closed":true,"options":["left","right","both sides"]}"#;
        assert_eq!(score("It is on the left side", "left", sides), RIGHT);
        assert_eq!(score("B", "right", sides), RIGHT);
        assert_eq!(score("left and right", "left", sides), UNDECIDED);
        assert_eq!(score("both sides", "left", sides), WRONG);
        assert_eq!(score("In the left lung.", "left lung", r#"{"closed":true}"#), RIGHT);
        assert_eq!(score("cleft lung", "left lung", r#"{"closed":true}"#), WRONG);
    }

    #[test]
    fn open_questions_have_no_value() {
        assert_eq!(score("yes", "yes", r#"{"closed":false}"#), (None, None));
    }

    #[test]
    fn failed_and_undecided_answers_stay_in_the_mean() {
        let sample = |prediction: &str, failed| Sample {
            prediction: prediction.into(),
            references: vec!["yes".into()],
            failed,
            ..scorer_kit::sample(0)
        };
        let samples = [sample("yes", false), sample("yes", true), sample("maybe", false), sample("no", false)];
        assert_eq!(metrics(&ClosedAccuracy {}, samples), [Some(0.25), Some(0.5)]);
    }
}
