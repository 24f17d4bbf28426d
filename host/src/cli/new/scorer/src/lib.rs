//! The scorer NAME: replace the metric by your own.

use scorer_kit::{Error, Metadata, Sample, Score, Scorer, export_scorer, metadata, serde::Deserialize, softmax};

/// Mean probability that the model gives to the true class. Its fields are its configuration; it has none.
#[derive(Debug, Default, Deserialize)]
#[serde(crate = "scorer_kit::serde", deny_unknown_fields)]
pub struct TrueProbability {}

impl Scorer for TrueProbability {
    fn metadata() -> Metadata {
        metadata("NAME", "0.1.0", "mean probability of the true class")
            .tasks(["diagnosis"])
            .value("true_probability", 0.0, 1.0)
            .build()
    }

    /// A sample without an answer scores the worst; it never vanishes from the mean.
    fn score(&self, sample: &Sample) -> Result<Score, Error> {
        if sample.failed {
            return Ok(Score::of(0.0));
        }
        let probabilities = softmax(&sample.logits);
        let true_classes = sample.labels.iter().filter_map(|label| probabilities.get(*label as usize));
        Ok(Score::of(true_classes.sum()))
    }
}

export_scorer!(TrueProbability);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_logits_share_the_probability() {
        let sample = Sample { logits: vec![1.0, 1.0], labels: vec![1], ..scorer_kit::sample(0) };
        let score = TrueProbability {}.score(&sample).expect("scored");
        assert_eq!(score.values, [Some(0.5)]);
    }
}
