//! Against scikit-learn (`vectors.json`, made by `scorers/vectors.py`), and the cases that it leaves open.

use scorer_kit::{Error, Sample, SampleScore, Score, Scorer};

use crate::Auroc;

#[derive(serde::Deserialize)]
struct Vector {
    name: String,
    multi_label: bool,
    logits: Vec<Vec<f64>>,
    labels: Vec<Vec<u32>>,
    resamples: Vec<Vec<u32>>,
    expected: Vec<f64>,
}

fn scored(samples: impl Iterator<Item = Sample>) -> Vec<SampleScore> {
    samples
        .map(|sample| {
            let Score { values, statistics, note } = Auroc {}.score(&sample).expect("scored");
            SampleScore { index: sample.index, values, statistics, note }
        })
        .collect()
}

fn sample(index: u32, logits: &[f64], labels: &[u32]) -> Sample {
    Sample { logits: logits.into(), labels: labels.into(), ..scorer_kit::sample(index) }
}

fn auroc(samples: impl IntoIterator<Item = Sample>) -> Option<f64> {
    let scores = scored(samples.into_iter());
    let all = (0..scores.len() as u32).collect();
    Auroc {}.aggregate(&scores, &[all]).expect("aggregated")[0][0]
}

#[test]
fn equals_scikit_learn_with_ties_classes_and_resamples() {
    let vectors: Vec<Vector> = serde_json::from_str(include_str!("../vectors.json")).expect("valid JSON");
    assert!(vectors.len() >= 4);
    for vector in vectors {
        let meta = format!(r#"{{"multi_label":{}}}"#, vector.multi_label);
        let samples = (0..).zip(&vector.logits).zip(&vector.labels);
        let scores =
            scored(samples.map(|((i, logits), labels)| Sample { meta: meta.clone(), ..sample(i, logits, labels) }));
        let metrics = Auroc {}.aggregate(&scores, &vector.resamples).expect("aggregated");
        for (actual, expected) in metrics.iter().map(|m| m[0].expect("defined")).zip(&vector.expected) {
            assert!((actual - expected).abs() < 1e-12, "{}: {actual} is not {expected}", vector.name);
        }
        assert_eq!(metrics.len(), vector.expected.len(), "{}", vector.name);
    }
}

#[test]
fn one_class_only_has_no_auroc() {
    assert_eq!(auroc([sample(0, &[0.0, 1.0], &[1]), sample(1, &[1.0, 0.0], &[1])]), None);
    assert_eq!(auroc([]), None);
    let scores = scored([sample(0, &[0.0, 1.0], &[1]), sample(1, &[1.0, 0.0], &[0])].into_iter());
    let metrics = Auroc {}.aggregate(&scores, &[vec![0, 1], vec![1, 1]]).expect("aggregated");
    assert_eq!(metrics, [[Some(1.0)], [None]]);
}

#[test]
fn an_undefined_class_is_left_out_of_the_mean() {
    let perfect = [sample(0, &[2.0, 0.0, 0.0], &[0]), sample(1, &[0.0, 2.0, 0.0], &[1])];
    assert_eq!(auroc(perfect), Some(1.0));
}

#[test]
fn a_failed_sample_ranks_worst_for_its_label() {
    let failed = |index, label| Sample { failed: true, ..sample(index, &[], &[label]) };
    let answered = [sample(0, &[0.0, 1.0], &[1]), sample(1, &[1.0, 0.0], &[0])];
    assert_eq!(auroc(answered.clone()), Some(1.0));
    assert_eq!(auroc(answered.clone().into_iter().chain([failed(2, 1)])), Some(0.5));
    assert_eq!(auroc(answered.into_iter().chain([failed(2, 0)])), Some(0.5));
    assert_eq!(auroc([failed(0, 0), failed(1, 1)]), Some(0.0));
    assert_eq!(auroc([sample(0, &[0.0, f64::NAN], &[1]), sample(1, &[1.0, 0.0], &[0])]), Some(0.0));
}

#[test]
fn samples_that_contradict_each_other_are_errors() {
    let error = Auroc {}.score(&sample(4, &[0.0, 1.0], &[2])).expect_err("no such class");
    assert_eq!(error, Error::BadInput("sample 4: label 2 of 2 classes".into()));
    let scores = scored([sample(0, &[0.0, 1.0], &[1]), sample(1, &[1.0, 0.0, 0.0], &[0])].into_iter());
    let error = Auroc {}.aggregate(&scores, &[vec![0, 1]]).expect_err("two and three classes");
    assert_eq!(error, Error::BadInput("samples have 2 and 3 classes".into()));
}
