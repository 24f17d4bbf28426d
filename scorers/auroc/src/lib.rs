//! Area under the ROC curve of diagnoses.
//!
//! * Two classes: ranks by the softmax probability of class 1. Equals
//!   `sklearn.metrics.roc_auc_score(labels, softmax(logits)[:, 1])`; there is nothing to average, so the other two
//!   metrics have no value.
//! * More classes: `auroc` is the mean over the classes of each class against the rest (`multi_class="ovr"`,
//!   `average="macro"`), `auroc_weighted` the same weighted by the frequency of the class (`average="weighted"`), and
//!   `auroc_ovo` the mean over all pairs of classes (`multi_class="ovo"`, `average="macro"`; Hand & Till 2001).
//! * Multi-label (`"multi_label": true` in the sample's meta object): `auroc` and `auroc_weighted` are the means over
//!   the labels, by the logistic function of each logit; there is no `auroc_ovo`.
//! * With the configuration `{"class": 3}`: `auroc` is that of class 3 against the rest, without the other two.
//!
//! Ties count one half (Mann-Whitney). A class is undefined without both a positive and a negative sample, a pair of
//! classes without a sample of each; the means are taken over the others, and there is no value when none is left.
//! A sample without an answer, or with a logit that is not finite, ranks below all others for its true classes, and
//! above all for the rest.

mod rank;

use rank::{Area, area, one_vs_one};
use scorer_kit::{
    Diagnoses, Diagnosis, Error, Metadata, Sample, SampleScore, Score, Scorer, export_scorer, metadata,
    serde::Deserialize, weights,
};

/// The scorer.
#[derive(Debug, Default, Deserialize)]
#[serde(crate = "scorer_kit::serde", default, deny_unknown_fields)]
pub struct Auroc {
    /// Take this class only, against the rest.
    class: Option<u32>,
}

impl Scorer for Auroc {
    fn metadata() -> Metadata {
        let summary = "area under the ROC curve; one-vs-rest and one-vs-one for more than two classes";
        metadata("auroc", "0.2.0", summary)
            .tasks(["diagnosis"])
            .metric("auroc", 0.0, 1.0)
            .metric("auroc_weighted", 0.0, 1.0)
            .metric("auroc_ovo", 0.0, 1.0)
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
        let run = Diagnoses::read(scores)?;
        let rankings = run.rankings(self.class)?;
        let averaged = rankings.len() > 1;
        let exclusive = self.class.is_none() && !run.multi_label;
        let labels =
            if exclusive { run.samples.iter().map(|sample| sample.labels[0] as usize).collect() } else { vec![] };
        let metrics = |resample: &Vec<u32>| {
            let weights = weights(resample, scores.len());
            let areas: Vec<Area> = rankings.iter().filter_map(|ranking| area(ranking, &weights)).collect();
            let weighted = averaged.then(|| mean(&areas, |area| area.positives as f64));
            let pairs = (averaged && exclusive).then(|| one_vs_one(&rankings, &weights, &labels));
            vec![mean(&areas, |_| 1.0), weighted.flatten(), pairs.flatten()]
        };
        Ok(resamples.iter().map(metrics).collect())
    }
}

/// Mean of the areas with the given weight of each; none without any.
fn mean(areas: &[Area], weight: impl Fn(&Area) -> f64) -> Option<f64> {
    let total: f64 = areas.iter().map(&weight).sum();
    (!areas.is_empty()).then(|| areas.iter().map(|area| weight(area) * area.value).sum::<f64>() / total)
}

export_scorer!(Auroc);

#[cfg(test)]
mod tests;
