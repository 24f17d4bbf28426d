//! Exact match of answers, after normalisation.
//!
//! The score is 1 if the normalised answer equals any normalised reference, and 0 otherwise or without an answer.
//! `exact_match_closed` and `exact_match_open` are the means over the samples whose meta object says `"closed": true`
//! and `"closed": false`; a dataset that does not say has neither.

use scorer_kit::{
    Error, Metadata, Sample, SampleScore, Score, Scorer, export_scorer, mean, meta, metadata,
    serde::Deserialize,
    text::{Normaliser, Question, references},
};

/// The scorer.
#[derive(Debug, Deserialize)]
#[serde(crate = "scorer_kit::serde", default, deny_unknown_fields)]
pub struct ExactMatch {
    /// How answers and references are made comparable.
    normaliser: Normaliser,
}

impl Default for ExactMatch {
    fn default() -> Self {
        Self { normaliser: Normaliser::Squad }
    }
}

impl Scorer for ExactMatch {
    fn metadata() -> Metadata {
        metadata("exact-match", "0.1.0", "share of answers that equal a reference after normalisation")
            .tasks(["vqa", "caption"])
            .value("exact_match", 0.0, 1.0)
            .metric("exact_match_closed", 0.0, 1.0)
            .metric("exact_match_open", 0.0, 1.0)
            .fields([("normaliser", Normaliser::SCHEMA)])
            .build()
    }

    fn score(&self, sample: &Sample) -> Result<Score, Error> {
        let references = references(sample)?;
        let closed = meta::<Question>(sample)?.closed;
        let answer = self.normaliser.apply(&sample.prediction);
        let equal = |reference: &String| self.normaliser.apply(reference) == answer;
        let correct = !sample.failed && references.iter().any(equal);
        let statistics = closed.map(f64::from).into_iter().collect();
        Ok(Score { statistics, ..Score::of(f64::from(correct)) })
    }

    fn aggregate(&self, scores: &[SampleScore], resamples: &[Vec<u32>]) -> Result<Vec<Vec<Option<f64>>>, Error> {
        let of = |resample: &Vec<u32>, closed: f64| {
            mean(scores, resample, |score| score.values[0].filter(|_| score.statistics.first() == Some(&closed)))
        };
        let metrics = |resample: &Vec<u32>| {
            vec![mean(scores, resample, |score| score.values[0]), of(resample, 1.0), of(resample, 0.0)]
        };
        Ok(resamples.iter().map(metrics).collect())
    }
}

export_scorer!(ExactMatch);

#[cfg(test)]
mod tests {
    use super::*;

    fn score(prediction: &str, references: &[&str], meta: &str) -> Score {
        let references = references.iter().map(|r| r.to_string()).collect();
        let sample = Sample { prediction: prediction.into(), references, meta: meta.into(), ..scorer_kit::sample(0) };
        ExactMatch::default().score(&sample).expect("scored")
    }

    #[test]
    fn any_reference_may_match() {
        assert_eq!(score("The left lung.", &["right lung", "left lung"], "{}").values, [Some(1.0)]);
        assert_eq!(score("lung", &["right lung", "left lung"], "{}").values, [Some(0.0)]);
        assert_eq!(score("normal", &["no"], r#"{"closed":true}"#).values, [Some(0.0)]);
    }

    #[test]
    fn the_normaliser_can_be_chosen() {
        let sample = Sample { prediction: "two".into(), references: vec!["2".into()], ..scorer_kit::sample(0) };
        let values = |normaliser| ExactMatch { normaliser }.score(&sample).expect("scored").values;
        assert_eq!((values(Normaliser::Squad), values(Normaliser::Vqa)), (vec![Some(0.0)], vec![Some(1.0)]));
    }

    #[test]
    fn a_failed_sample_is_wrong_even_beside_an_empty_reference() {
        let sample = Sample { references: vec![String::new()], failed: true, ..scorer_kit::sample(0) };
        assert_eq!(ExactMatch::default().score(&sample).expect("scored").values, [Some(0.0)]);
    }

    #[test]
    fn no_reference_is_an_error() {
        let error = ExactMatch::default().score(&scorer_kit::sample(7)).expect_err("nothing to compare with");
        assert_eq!(error, Error::BadInput("sample 7: there is no reference to compare the answer with".into()));
    }

    #[test]
    fn closed_and_open_questions_have_their_own_means() {
        let samples =
            [("yes", r#"{"closed":true}"#), ("no", r#"{"closed":true}"#), ("yes", r#"{"closed":false}"#), ("no", "{}")];
        let scores: Vec<SampleScore> = samples
            .iter()
            .zip(0..)
            .map(|((prediction, meta), index)| {
                let Score { values, statistics, note } = score(prediction, &["yes"], meta);
                SampleScore { index, values, statistics, note }
            })
            .collect();
        let metrics =
            ExactMatch::default().aggregate(&scores, &[vec![0, 1, 2, 3], vec![0, 0, 1, 3]]).expect("aggregated");
        assert_eq!(metrics[0], [Some(0.5), Some(0.5), Some(1.0)]);
        assert_eq!(metrics[1], [Some(0.5), Some(2.0 / 3.0), None]);
    }
}
