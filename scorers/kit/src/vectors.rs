//! Compares a scorer with reference values, for tests.

use crate::{Sample, SampleScore, Score, Scorer, sample, serde::Deserialize};

/// Diagnoses, and their metrics in another implementation.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Vector {
    name: String,
    config: serde_json::Value,
    multi_label: bool,
    logits: Vec<Vec<f64>>,
    labels: Vec<Vec<u32>>,
    resamples: Vec<Vec<u32>>,
    /// For each resample, what `aggregate` should return.
    expected: Vec<Vec<Option<f64>>>,
}

/// Scores samples as the host does.
pub fn scored<S: Scorer>(scorer: &S, samples: impl IntoIterator<Item = Sample>) -> Vec<SampleScore> {
    let score = |sample: Sample| {
        let Score { values, statistics, note } = scorer.score(&sample).expect("scored");
        SampleScore { index: sample.index, values, statistics, note }
    };
    samples.into_iter().map(score).collect()
}

/// The metrics of all samples, each counted once.
pub fn metrics<S: Scorer>(scorer: &S, samples: impl IntoIterator<Item = Sample>) -> Vec<Option<f64>> {
    let scores = scored(scorer, samples);
    let all = (0..scores.len() as u32).collect();
    scorer.aggregate(&scores, &[all]).expect("aggregated").remove(0)
}

/// A diagnosis; without logits it failed.
pub fn diagnosis(index: u32, logits: &[f64], labels: &[u32]) -> Sample {
    Sample { logits: logits.into(), labels: labels.into(), failed: logits.is_empty(), ..sample(index) }
}

/// Panics unless the scorer's metrics are those of the reference vectors, which `scorers/vectors.py` makes, to 1e-12.
pub fn assert_vectors<S: Scorer>(vectors: &str) {
    let vectors: Vec<Vector> = serde_json::from_str(vectors).expect("valid JSON");
    assert!(!vectors.is_empty(), "there are no vectors");
    for Vector { name, config, multi_label, logits, labels, resamples, expected } in vectors {
        let scorer: S = serde_json::from_value(config).expect("a valid configuration");
        let meta = format!(r#"{{"multi_label":{multi_label}}}"#);
        let samples = (0..).zip(&logits).zip(&labels);
        let samples = samples.map(|((i, l), labels)| Sample { meta: meta.clone(), ..diagnosis(i, l, labels) });
        let rows = scorer.aggregate(&scored(&scorer, samples), &resamples).expect("aggregated");
        assert_eq!(rows.len(), expected.len(), "{name}");
        let names = S::metadata().metrics.into_iter().map(|metric| metric.name).collect::<Vec<_>>();
        for (number, (row, expected)) in rows.iter().zip(&expected).enumerate() {
            assert_eq!((row.len(), expected.len()), (names.len(), names.len()), "{name}");
            for ((metric, actual), expected) in names.iter().zip(row).zip(expected) {
                let equal = match (actual, expected) {
                    (Some(actual), Some(expected)) => (actual - expected).abs() < 1e-12,
                    _ => actual == expected,
                };
                assert!(equal, "{name}, resample {number}: {metric} is {actual:?}, not {expected:?}");
            }
        }
    }
}

/// Answers or captions, and their scores in another implementation.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TextVector {
    name: String,
    config: serde_json::Value,
    samples: Vec<TextSample>,
    /// For each sample, its values.
    values: Vec<Vec<Option<f64>>>,
    /// What `aggregate` should return for all samples.
    metrics: Vec<Option<f64>>,
    tolerance: f64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TextSample {
    prediction: String,
    references: Vec<String>,
}

/// Panics unless the scorer's values and metrics are those of the reference vectors, which `scorers/text_vectors.py`
/// makes.
pub fn assert_text_vectors<S: Scorer>(vectors: &str) {
    let vectors: Vec<TextVector> = serde_json::from_str(vectors).expect("valid JSON");
    assert!(!vectors.is_empty(), "there are no vectors");
    for TextVector { name, config, samples, values, metrics: expected, tolerance } in vectors {
        let scorer: S = serde_json::from_value(config).expect("a valid configuration");
        let text = |(index, text): (u32, &TextSample)| {
            let TextSample { prediction, references } = text;
            Sample { prediction: prediction.clone(), references: references.clone(), ..sample(index) }
        };
        let samples: Vec<Sample> = (0..).zip(&samples).map(text).collect();
        let scores = scored(&scorer, samples.iter().cloned());
        assert_eq!(scores.len(), values.len(), "{name}");
        let close = |actual: &[Option<f64>], expected: &[Option<f64>]| {
            let equal = |(actual, expected): (&Option<f64>, &Option<f64>)| match (actual, expected) {
                (Some(actual), Some(expected)) => (actual - expected).abs() <= tolerance,
                _ => actual == expected,
            };
            actual.len() == expected.len() && actual.iter().zip(expected).all(equal)
        };
        for ((sample, score), expected) in samples.iter().zip(&scores).zip(&values) {
            let Sample { prediction, references, .. } = sample;
            assert!(
                close(&score.values, expected),
                "{name}: {prediction:?} against {references:?} is {:?}, not {expected:?}",
                score.values
            );
        }
        let actual = metrics(&scorer, samples);
        assert!(close(&actual, &expected), "{name}: the metrics are {actual:?}, not {expected:?}");
    }
}
