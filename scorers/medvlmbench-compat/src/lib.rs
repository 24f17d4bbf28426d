//! What MedVLMBench reports for visual question answering, quirks included.
//!
//! It makes published numbers comparable; the other scorers are right. Its quirks are:
//! * answers are normalised as by `Normaliser::Medvlmbench`;
//! * `exact_match` is a precision of distinct tokens, and F1 counts a shared token as often as the answer has it;
//! * a closed answer is right if the reference is a substring of it, so that "no" is in "normal";
//! * an open answer is right if its recall reaches 0.75;
//! * BLEU is not smoothed and, like ROUGE, computed in single precision;
//! * METEOR gets each text as one token, and so is 0.5 or 0; the synonyms that WordNet has for single words are absent;
//! * letters are looked for by patterns that take C from "Answer: Chest" and A from "This is a CT".
//!
//! A question with options is multiple-choice, `_mc`. Another one is closed or open as the dataset says, and if it does
//! not, closed if the answer is yes or no. Of several references, which MedVLMBench does not have, each value takes its
//! best. Failed samples, which MedVLMBench's fork drops, score 0, unless `drop_failed`.

mod letter;
mod overlap;

pub use letter::letter;
pub use overlap::{Overlap, bleu, meteor, rouge};
use scorer_kit::{
    Error, Metadata, Sample, SampleScore, Score, Scorer, export_scorer, mean, meta, metadata,
    serde::Deserialize,
    text::{Normaliser, Question, references},
};

/// The scorer.
#[derive(Debug, Default, Deserialize)]
#[serde(crate = "scorer_kit::serde", default, deny_unknown_fields)]
pub struct Compat {
    /// Leave failed samples out of the means.
    drop_failed: bool,
}

/// Kinds of questions, by the number that is the statistic of a score.
const KINDS: [&str; 3] = ["open", "closed", "mc"];
const OPEN: usize = 0;
const CLOSED: usize = 1;
const MULTIPLE_CHOICE: usize = 2;
/// Values of questions of every kind.
const GENERAL: [&str; 5] = ["exact_match", "precision", "recall", "f1", "accuracy"];
/// Values of open questions.
const TEXT: [&str; 8] = ["bleu_1", "bleu_2", "bleu_3", "bleu_4", "rouge1", "rouge2", "rougeL", "meteor"];

impl Scorer for Compat {
    fn metadata() -> Metadata {
        let start = metadata("medvlmbench-compat", "0.1.0", "the metrics of MedVLMBench, quirks included")
            .tasks(["vqa"])
            .fields([("drop_failed", r#"{"type":"boolean"}"#)]);
        let values = GENERAL.iter().chain(&TEXT).fold(start, |built, name| built.sample_value(name, 0.0, 1.0));
        columns().into_iter().fold(values, |built, column| built.metric(&column.name, 0.0, 1.0)).build()
    }

    fn score(&self, sample: &Sample) -> Result<Score, Error> {
        let references = references(sample)?;
        let question = meta::<Question>(sample)?;
        let kind = kind(&question, references);
        let count = if kind == OPEN { GENERAL.len() + TEXT.len() } else { GENERAL.len() };
        let mut values = vec![None; GENERAL.len() + TEXT.len()];
        if !(sample.failed && self.drop_failed) {
            values[..count].fill(Some(0.0));
        }
        if !sample.failed {
            let output = sample.prediction.to_lowercase();
            for reference in references {
                let scores = scores(kind, &output, &reference.to_lowercase(), &question.options);
                for (value, score) in values.iter_mut().zip(scores) {
                    *value = Some(value.map_or(score, |best: f64| best.max(score)));
                }
            }
        }
        Ok(Score { values, statistics: vec![kind as f64], note: None })
    }

    fn aggregate(&self, scores: &[SampleScore], resamples: &[Vec<u32>]) -> Result<Vec<Vec<Option<f64>>>, Error> {
        let columns = columns();
        let of = |resample: &Vec<u32>, column: &Column| {
            let is_kind =
                |score: &SampleScore| column.kind.is_none_or(|kind| score.statistics.first() == Some(&(kind as f64)));
            mean(scores, resample, |score| score.values[column.value].filter(|_| is_kind(score)))
        };
        Ok(resamples.iter().map(|resample| columns.iter().map(|column| of(resample, column)).collect()).collect())
    }
}

/// A metric: the mean of a value over one kind of questions, or all.
struct Column {
    name: String,
    value: usize,
    kind: Option<usize>,
}

fn columns() -> Vec<Column> {
    let of_kind = |(kind, suffix): (usize, &&str)| {
        let names = GENERAL.iter().chain(if kind == OPEN { TEXT.as_slice() } else { &[] }).enumerate();
        names
            .map(|(value, name)| Column { name: format!("{name}_{suffix}"), value, kind: Some(kind) })
            .collect::<Vec<_>>()
    };
    let overall = |(value, name): (usize, &&str)| Column { name: format!("{name}_overall"), value, kind: None };
    let kinds = KINDS.iter().enumerate().flat_map(of_kind);
    kinds.chain(GENERAL[..4].iter().enumerate().map(overall)).collect()
}

fn kind(question: &Question, references: &[String]) -> usize {
    let polar = |reference: &String| reference.eq_ignore_ascii_case("yes") || reference.eq_ignore_ascii_case("no");
    match question {
        Question { options, .. } if !options.is_empty() => MULTIPLE_CHOICE,
        Question { closed: Some(true), .. } => CLOSED,
        Question { closed: None, .. } if references.iter().all(polar) => CLOSED,
        _ => OPEN,
    }
}

/// The values of a question of a kind, without those that it does not have.
fn scores(kind: usize, output: &str, reference: &str, options: &[String]) -> Vec<f64> {
    let answer = Normaliser::Medvlmbench.apply(output);
    let truth = Normaliser::Medvlmbench.apply(reference);
    let overlap = Overlap::of(&answer, &truth);
    let accuracy = match kind {
        OPEN => overlap.recall >= 0.75,
        CLOSED => output.contains(reference),
        _ => letter(output, options.len()).is_some_and(|said| Some(said) == gold(reference, options)),
    };
    let mut scores = vec![overlap.exact_match, overlap.precision, overlap.recall, overlap.f1, f64::from(accuracy)];
    if kind == OPEN {
        scores.extend(bleu(&answer, &truth));
        scores.extend(rouge(&answer, &truth));
        scores.push(meteor(&answer, &truth));
    }
    scores
}

/// The letter of the option that equals the reference, or the reference if it is a letter.
fn gold(reference: &str, options: &[String]) -> Option<char> {
    let equal = options.iter().position(|option| option.to_lowercase() == reference);
    let letter = equal.map(|at| char::from(b'a' + at as u8));
    letter.or_else(|| reference.trim().parse().ok())
}

export_scorer!(Compat);

#[cfg(test)]
mod tests;
