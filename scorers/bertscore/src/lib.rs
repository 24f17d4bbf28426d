//! BERTScore (Zhang et al. 2020) over the token embeddings of the model that the suite grants.
//!
//! Every token is matched with the token of the other text that is nearest by cosine: precision is the mean over the
//! answer's tokens, recall over the reference's, F1 their harmonic mean. As in the package `bert-score` without idf and
//! without rescaling: special tokens (the first and the last row) may be matched, but have no weight themselves; a text
//! without other tokens scores 0. Of several references, the one with the best F1 counts.
//!
//! Which layer the embeddings come from is the model's matter. A text that cannot be embedded is a missing value.

mod matching;

use scorer_kit::{
    Error, Matrix, Metadata, Sample, Score, Scorer, bad_input, embed_many, export_scorer, metadata, serde::Deserialize,
};

pub use matching::{Match, greedy};

/// The scorer.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(crate = "scorer_kit::serde", default, deny_unknown_fields)]
pub struct BertScore {
    /// Special tokens at the start of each text.
    pub first: usize,
    /// Special tokens at the end of each text.
    pub last: usize,
}

impl Default for BertScore {
    fn default() -> Self {
        Self { first: 1, last: 1 }
    }
}

/// Texts of one call: long ones take 1.5 MiB each.
const TEXTS: usize = 16;

const SCHEMA: &str = r#"{
  "type": "object", "additionalProperties": false,
  "properties": {
    "first": {"type": "integer", "minimum": 0, "default": 1, "description": "special tokens at the start of each text"},
    "last": {"type": "integer", "minimum": 0, "default": 1, "description": "special tokens at the end of each text"}
  }
}"#;

impl Scorer for BertScore {
    fn metadata() -> Metadata {
        // A cosine is at least -1; greedy matching of contextual embeddings stays far above.
        metadata("bertscore", "0.1.0", "how well the tokens of answer and reference match, by contextual embeddings")
            .tasks(["vqa", "caption"])
            .needs(["embed"])
            .value("bertscore_f1", -1.0, 1.0)
            .value("bertscore_precision", -1.0, 1.0)
            .value("bertscore_recall", -1.0, 1.0)
            .config_schema(SCHEMA)
            .build()
    }

    fn score(&self, sample: &Sample) -> Result<Score, Error> {
        Ok(self.score_batch(std::slice::from_ref(sample))?.remove(0))
    }

    fn score_batch(&self, samples: &[Sample]) -> Result<Vec<Score>, Error> {
        if let Some(sample) = samples.iter().find(|sample| sample.references.is_empty()) {
            return Err(bad_input(sample, "there is no reference to compare the answer with"));
        }
        let mut scores = Vec::with_capacity(samples.len());
        for group in groups(samples) {
            match embedded(&group.iter().flat_map(texts).collect::<Vec<_>>()) {
                Ok(matrices) => {
                    let mut matrices = matrices.into_iter();
                    scores.extend(group.iter().map(|sample| self.of(sample, &mut matrices)));
                }
                // One text of the group has no embedding: find out which.
                Err(_) => {
                    scores.extend(group.iter().map(|sample| match embedded(&texts(sample).collect::<Vec<_>>()) {
                        Ok(matrices) => self.of(sample, &mut matrices.into_iter()),
                        Err(problem) => missing(problem),
                    }))
                }
            }
        }
        Ok(scores)
    }
}

impl BertScore {
    /// The score of a sample from the embeddings of its texts.
    fn of(&self, sample: &Sample, matrices: &mut impl Iterator<Item = Matrix>) -> Score {
        let count = texts(sample).count();
        if count == 0 {
            return values(Match::default());
        }
        let own: Vec<Matrix> = matrices.take(count).collect();
        let Some((answer, references)) = own.split_first() else { return missing("it was not embedded".into()) };
        let matches = references.iter().map(|reference| greedy(answer, reference, self.first, self.last));
        match matches.reduce(|best, other| if other.f1 > best.f1 { other } else { best }) {
            Some(best) => values(best),
            None => missing("it was not embedded".into()),
        }
    }
}

/// What is embedded of a sample: the answer and its references; nothing where the model failed.
fn texts(sample: &Sample) -> impl Iterator<Item = String> {
    let all = std::iter::once(&sample.prediction).chain(&sample.references);
    all.filter(|_| !sample.failed).cloned()
}

/// Nobody is asked about no text.
fn embedded(texts: &[String]) -> Result<Vec<Matrix>, String> {
    if texts.is_empty() { Ok(Vec::new()) } else { embed_many(texts) }
}

/// Runs of samples with about as many texts as one call takes.
fn groups(samples: &[Sample]) -> Vec<&[Sample]> {
    let mut groups = Vec::new();
    let (mut start, mut held) = (0, 0);
    for (position, sample) in samples.iter().enumerate() {
        let count = texts(sample).count();
        if position > start && held + count > TEXTS {
            groups.push(&samples[start..position]);
            (start, held) = (position, 0);
        }
        held += count;
    }
    groups.push(&samples[start..]);
    groups
}

fn values(found: Match) -> Score {
    Score { values: vec![Some(found.f1), Some(found.precision), Some(found.recall)], ..Score::default() }
}

fn missing(problem: String) -> Score {
    Score { values: vec![None; 3], note: Some(format!("missing: {problem}")), ..Score::default() }
}

export_scorer!(BertScore);

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(index: u32, references: usize, failed: bool) -> Sample {
        Sample { failed, references: vec!["r".into(); references], prediction: "p".into(), ..scorer_kit::sample(index) }
    }

    #[test]
    fn groups_hold_about_as_many_texts_as_one_call_takes() {
        let samples: Vec<Sample> =
            [1, 1, 30, 1, 14, 1].into_iter().zip(0..).map(|(r, i)| sample(i, r, false)).collect();
        assert_eq!(groups(&samples).iter().map(|group| group.len()).collect::<Vec<_>>(), [2, 1, 1, 1, 1]);
        assert_eq!(groups(&[]), [&[] as &[Sample]]);
    }

    #[test]
    fn a_failed_sample_scores_zero_and_one_that_nobody_embeds_is_missing() {
        let scores = BertScore::default().score_batch(&[sample(0, 2, true), sample(1, 1, false)]).expect("scored");
        assert_eq!(scores[0].values, [Some(0.0); 3]);
        assert_eq!(scores[1].values, [None; 3]);
        assert!(scores[1].note.as_ref().is_some_and(|note| note.contains("outside of a component")));
    }

    #[test]
    fn the_best_reference_counts() {
        let row = |data: &[f32]| Matrix { rows: data.len() as u32 / 2, columns: 2, data: data.into() };
        let plain = BertScore { first: 0, last: 0 };
        let own = [row(&[1.0, 0.0]), row(&[0.0, 1.0]), row(&[3.0, 0.0]), row(&[1.0, 1.0])];
        let score = plain.of(&sample(0, 3, false), &mut own.into_iter());
        assert_eq!(score.values, [Some(1.0); 3]);
    }
}
