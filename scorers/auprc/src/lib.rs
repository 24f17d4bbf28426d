//! Area under the precision-recall curve of diagnoses, as average precision: the mean of the precision at each
//! threshold, weighted by the growth of the recall, without interpolation.
//!
//! * Two classes: by the softmax probability of class 1. Equals
//!   `sklearn.metrics.average_precision_score(labels, softmax(logits)[:, 1])`.
//! * More classes, and multi-label (`"multi_label": true` in the sample's meta object): the mean over the classes of
//!   each class against the rest (`average="macro"`), by softmax, or by the logistic function of each logit for
//!   multi-label.
//! * With the configuration `{"class": 3}`: that of class 3 against the rest.
//!
//! Samples of equal probability share a threshold. A class without a positive sample is undefined; the mean is taken
//! over the others, and there is no value when every class is undefined. A sample without an answer, or with a logit
//! that is not finite, ranks below all others for its true classes, and above all for the rest.

use scorer_kit::{
    Diagnoses, Diagnosis, Error, Metadata, Ranking, Sample, SampleScore, Score, Scorer, export_scorer, metadata,
    serde::Deserialize, weights,
};

/// The scorer.
#[derive(Debug, Default, Deserialize)]
#[serde(crate = "scorer_kit::serde", default, deny_unknown_fields)]
pub struct Auprc {
    /// Take this class only, against the rest.
    class: Option<u32>,
}

impl Scorer for Auprc {
    fn metadata() -> Metadata {
        metadata("auprc", "0.1.0", "average precision; macro one-vs-rest for more than two classes")
            .tasks(["diagnosis"])
            .metric("auprc", 0.0, 1.0)
            .config_schema(
                r#"{"type":"object","additionalProperties":false,"properties":{
                "class":{"type":"integer","minimum":0}}}"#,
            )
            .build()
    }

    fn score(&self, sample: &Sample) -> Result<Score, Error> {
        Ok(Score::of_statistics(Diagnosis::of(sample)?.statistics()))
    }

    fn aggregate(&self, scores: &[SampleScore], resamples: &[Vec<u32>]) -> Result<Vec<Vec<Option<f64>>>, Error> {
        let rankings = Diagnoses::read(scores)?.rankings(self.class)?;
        let metrics = |resample: &Vec<u32>| {
            let weights = weights(resample, scores.len());
            let defined: Vec<f64> =
                rankings.iter().filter_map(|ranking| average_precision(ranking, &weights)).collect();
            vec![(!defined.is_empty()).then(|| defined.iter().sum::<f64>() / defined.len() as f64)]
        };
        Ok(resamples.iter().map(metrics).collect())
    }
}

/// Average precision of a resample; none without a positive sample.
fn average_precision(ranking: &Ranking, weights: &[u32]) -> Option<f64> {
    let (mut positives, mut retrieved, mut sum) = (0, 0, 0.0);
    for step in ranking.steps(weights).rev().filter(|step| step.positives + step.negatives > 0) {
        positives += step.positives;
        retrieved += step.positives + step.negatives;
        sum += step.positives as f64 * (positives as f64 / retrieved as f64);
    }
    (positives > 0).then(|| sum / positives as f64)
}

export_scorer!(Auprc);

#[cfg(test)]
mod tests {
    use super::*;
    use scorer_kit::vectors::{assert_vectors, diagnosis, metrics, scored};

    fn auprc(samples: impl IntoIterator<Item = Sample>) -> Option<f64> {
        metrics(&Auprc::default(), samples)[0]
    }

    #[test]
    fn equals_scikit_learn_with_ties_classes_and_resamples() {
        assert_vectors::<Auprc>(include_str!("../vectors.json"));
    }

    #[test]
    fn without_positive_samples_there_is_no_value() {
        assert_eq!(auprc([diagnosis(0, &[0.0, 1.0], &[0])]), None);
        assert_eq!(auprc([]), None);
        // Classes 0 and 1 are perfect; class 2 has no sample and is left out.
        assert_eq!(auprc([diagnosis(0, &[2.0, 0.0, 0.0], &[0]), diagnosis(1, &[0.0, 2.0, 0.0], &[1])]), Some(1.0));
    }

    #[test]
    fn a_failed_sample_ranks_worst_for_its_label() {
        let answered = [diagnosis(0, &[0.0, 1.0], &[1]), diagnosis(1, &[1.0, 0.0], &[0])];
        assert_eq!(auprc(answered.clone()), Some(1.0));
        let lost = answered.clone().into_iter().chain([diagnosis(2, &[], &[1])]);
        assert_eq!(auprc(lost), Some((1.0 + 2.0 / 3.0) / 2.0));
        let alarm = answered.into_iter().chain([diagnosis(2, &[], &[0])]);
        assert_eq!(auprc(alarm), Some(0.5));
    }

    #[test]
    fn a_class_that_does_not_exist_is_an_error() {
        let scorer = Auprc { class: Some(9) };
        let scores = scored(&scorer, [diagnosis(0, &[0.0, 1.0], &[1])]);
        let error = scorer.aggregate(&scores, &[vec![0]]).expect_err("two classes");
        assert_eq!(error, Error::BadInput("the configuration asks for class 9 of 2".into()));
    }
}
