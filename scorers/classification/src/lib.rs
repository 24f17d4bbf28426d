//! Metrics of the classes that are predicted in diagnoses.
//!
//! * One true class: the predicted class is that of the greatest logit, the first of equal ones. `accuracy`,
//!   `balanced_accuracy`, `kappa` (Cohen's, unweighted), `f1_macro` and `f1_weighted` equal `accuracy_score`,
//!   `balanced_accuracy_score`, `cohen_kappa_score` and `f1_score(average=...)` of `sklearn.metrics`.
//! * Two classes have `f1`, `sensitivity` and `specificity` as well, of class 1: `f1_score`, and `recall_score` of
//!   class 1 and of class 0.
//! * Multi-label (`"multi_label": true` in the sample's meta object): the predicted classes are those with a
//!   probability of at least 0.5, by the logistic function of each logit. `accuracy` is that of the exact set of
//!   classes, `f1_macro` and `f1_weighted` are the means over the labels; the others are undefined.
//!
//! A ratio whose denominator is zero is undefined: the F1 of a class that is neither true nor predicted, the recall of
//! a class without samples, kappa if all samples have and get one class. Means over classes are taken over the others
//! (`zero_division=nan`), and there is no value when none is left.
//!
//! A sample without an answer, or with a logit that is not finite, predicts every false class and no true one: it is
//! missed by its own class and a false alarm of every other. For two classes this is the wrong class; for more, kappa
//! takes it for an answer that is none of the classes.

mod tally;

use scorer_kit::{
    Diagnoses, Diagnosis, Error, Metadata, Sample, SampleScore, Score, Scorer, argmax, export_scorer, metadata,
    serde::Deserialize, sigmoid,
};
use tally::{Outcome, Tally};

/// The scorer; it takes no configuration.
#[derive(Debug, Default, Deserialize)]
#[serde(crate = "scorer_kit::serde", deny_unknown_fields)]
pub struct Classification {}

impl Scorer for Classification {
    fn metadata() -> Metadata {
        metadata("classification", "0.1.0", "accuracy, F1, kappa, sensitivity and specificity of the predicted classes")
            .tasks(["diagnosis"])
            .metric("accuracy", 0.0, 1.0)
            .metric("balanced_accuracy", 0.0, 1.0)
            .metric("f1", 0.0, 1.0)
            .metric("f1_macro", 0.0, 1.0)
            .metric("f1_weighted", 0.0, 1.0)
            .metric("kappa", -1.0, 1.0)
            .metric("sensitivity", 0.0, 1.0)
            .metric("specificity", 0.0, 1.0)
            .build()
    }

    fn score(&self, sample: &Sample) -> Result<Score, Error> {
        Ok(Score::of_statistics(Diagnosis::of(sample)?.statistics()))
    }

    fn aggregate(&self, scores: &[SampleScore], resamples: &[Vec<u32>]) -> Result<Vec<Vec<Option<f64>>>, Error> {
        let run = Diagnoses::read(scores)?;
        let outcomes: Vec<Outcome> = run.samples.iter().map(|sample| outcome(sample, run.classes)).collect();
        let metrics = |resample: &Vec<u32>| {
            let tally = Tally::new(resample.iter().map(|&position| &outcomes[position as usize]), run.classes);
            let exclusive = |value: Option<f64>| value.filter(|_| !run.multi_label);
            let binary = |value: Option<f64>| value.filter(|_| run.binary());
            vec![
                tally.accuracy(),
                exclusive(tally.balanced_accuracy()),
                binary(tally.f1(1)),
                tally.f1_macro(),
                tally.f1_weighted(),
                exclusive(tally.kappa()),
                binary(tally.recall(1)),
                binary(tally.recall(0)),
            ]
        };
        Ok(resamples.iter().map(metrics).collect())
    }
}

fn outcome(sample: &Diagnosis, classes: usize) -> Outcome {
    let predicted = |class: usize| match sample.multi_label {
        _ if sample.logits.is_empty() => !sample.is(class),
        true => sigmoid(sample.logits[class]) >= 0.5,
        false => argmax(&sample.logits) == Some(class),
    };
    let (predicted, missed) = (0..classes).partition::<Vec<usize>, _>(|&class| predicted(class));
    let (hits, alarms) = predicted.into_iter().partition(|&class| sample.is(class));
    Outcome { hits, alarms, misses: missed.into_iter().filter(|&class| sample.is(class)).collect() }
}

export_scorer!(Classification);

#[cfg(test)]
mod tests {
    use super::*;
    use scorer_kit::vectors::{assert_vectors, diagnosis, metrics};

    fn of(samples: impl IntoIterator<Item = Sample>) -> Vec<Option<f64>> {
        metrics(&Classification {}, samples)
    }

    #[test]
    fn equals_scikit_learn_with_ties_failures_and_resamples() {
        assert_vectors::<Classification>(include_str!("../vectors.json"));
    }

    #[test]
    fn a_failed_sample_of_two_classes_is_the_wrong_class() {
        let answered = |other: Sample| [diagnosis(0, &[0.0, 1.0], &[1]), diagnosis(1, &[1.0, 0.0], &[0]), other];
        for (failed, wrong) in [
            (diagnosis(2, &[], &[1]), diagnosis(2, &[1.0, 0.0], &[1])),
            (diagnosis(2, &[], &[0]), diagnosis(2, &[0.0, 1.0], &[0])),
            (diagnosis(2, &[f64::INFINITY, 0.0], &[0]), diagnosis(2, &[0.0, 1.0], &[0])),
        ] {
            assert_eq!(of(answered(failed)), of(answered(wrong)));
        }
    }

    #[test]
    fn ratios_of_nothing_are_undefined() {
        assert_eq!(of([]), [None; 8]);
        let only_healthy = of([diagnosis(0, &[1.0, 0.0], &[0])]);
        let one = Some(1.0);
        assert_eq!(only_healthy, [one, one, None, one, one, None, None, one]);
    }
}
