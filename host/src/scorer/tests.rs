//! The three scorers of this repository through the host: numbers, and that they never change.

use std::sync::LazyLock;

use super::{guests::component, *};

mod capability;
mod sandbox;

/// One engine with a cache for all tests of this process.
static ENGINE: LazyLock<(Engine, tempfile::TempDir)> = LazyLock::new(|| {
    let cache = tempfile::tempdir().expect("dir");
    (Engine::new(Some(cache.path().into())).expect("engine"), cache)
});

fn load(name: &str) -> Scorer {
    Scorer::load(&ENGINE.0, &component(name), "{}").expect("a valid scorer")
}

/// `count` diagnoses of two classes; every tenth model call failed.
fn diagnoses(count: u32) -> Vec<Sample> {
    let logit = |i: u32| f64::from(i.wrapping_mul(2_654_435_761) >> 24) / 64.0;
    let sample = |index| Sample {
        index,
        logits: if index % 10 == 9 { vec![] } else { vec![1.5, logit(index) + f64::from(index % 2)] },
        labels: vec![index % 2],
        references: vec![["absent", "present"][index as usize % 2].into()],
        failed: index % 10 == 9,
        meta: "{}".into(),
        ..Sample::default()
    };
    (0..count).map(sample).collect()
}

/// `count` answers to closed and open questions.
fn answers(count: u32) -> Vec<Sample> {
    let sample = |index| Sample {
        index,
        prediction: ["The left lung.", "yes", "No!", "ÉCG"][index as usize % 4].into(),
        references: vec![["left lung", "no", "no", "ecg"][index as usize % 4].into(), "none".into()],
        meta: format!(r#"{{"closed":{},"sex":"F"}}"#, index % 2 == 1),
        ..Sample::default()
    };
    (0..count).map(sample).collect()
}

/// The whole sample, then draws from a linear congruential generator.
fn resamples(size: u32, draws: u32) -> Vec<Vec<u32>> {
    let mut state = 1u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        ((state >> 33) % u64::from(size)) as u32
    };
    let draw = |draw| (0..size).map(|i| if draw == 0 { i } else { next() }).collect();
    (0..=draws).map(draw).collect()
}

fn in_pool<T: Send>(threads: usize, work: impl FnOnce() -> T + Send) -> T {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("pool").install(work)
}

fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).expect("serialisable")
}

#[test]
fn scorers_describe_themselves() {
    let scorer = load("exact-match");
    let metadata = scorer.metadata();
    assert_eq!((metadata.id.as_str(), metadata.version.as_str()), ("exact-match", "0.1.0"));
    assert_eq!(metadata.tasks, ["vqa", "caption"]);
    let names: Vec<&str> = metadata.metrics.iter().map(|metric| metric.name.as_str()).collect();
    assert_eq!(names, ["exact_match", "exact_match_closed", "exact_match_open"]);
    assert_eq!(scorer.digest().len(), 32);
    assert!(scorer.log().is_empty());
}

#[test]
fn accuracy_and_exact_match_score_each_sample() {
    let accuracy = load("accuracy").score(&diagnoses(600)).expect("scored");
    for (score, sample) in accuracy.iter().zip(diagnoses(600)) {
        let predicted = !sample.failed && (sample.logits[1] > sample.logits[0]) == (sample.labels[0] == 1);
        assert_eq!((score.index, &score.values[..]), (sample.index, &[Some(f64::from(predicted))][..]));
    }
    let scorer = load("exact-match");
    let scores = scorer.score(&answers(600)).expect("scored");
    let all = scorer.aggregate(&scores, &resamples(600, 0)).expect("aggregated");
    assert_eq!(all, [[Some(0.5), Some(0.0), Some(1.0)]]);
}

#[test]
fn auroc_exists_only_in_the_aggregate() {
    let scorer = load("auroc");
    let scores = scorer.score(&diagnoses(300)).expect("scored");
    assert!(scores.iter().all(|score| score.values.is_empty()));
    let rank = |sample: &Sample| match (sample.failed, sample.labels[0]) {
        (true, 1) => f64::NEG_INFINITY,
        (true, _) => f64::INFINITY,
        _ => sample.logits[1],
    };
    let samples = diagnoses(300);
    let of = |label| samples.iter().filter(move |sample| sample.labels[0] == label).map(rank);
    let pairs: Vec<f64> = of(1)
        .flat_map(|p| {
            of(0).map(move |n| {
                if p > n {
                    1.0
                } else if p == n {
                    0.5
                } else {
                    0.0
                }
            })
        })
        .collect();
    let expected = pairs.iter().sum::<f64>() / pairs.len() as f64;
    let actual = scorer.aggregate(&scores, &resamples(300, 0)).expect("aggregated")[0][0].expect("defined");
    assert!((actual - expected).abs() < 1e-12, "{actual} is not {expected}");
    assert!(expected > 0.5 && expected < 0.9);
}

#[test]
fn threads_batches_and_repetition_do_not_change_a_byte() {
    for (name, samples) in
        [("accuracy", diagnoses(1_500)), ("auroc", diagnoses(1_500)), ("exact-match", answers(1_500))]
    {
        let scorer = load(name);
        let scores = scorer.score(&samples).expect("scored");
        let resamples = resamples(1_500, 700);
        let metrics = scorer.aggregate(&scores, &resamples).expect("aggregated");
        assert_eq!(metrics.len(), resamples.len());
        for threads in [1, 4] {
            in_pool(threads, || {
                assert_eq!(json(&scorer.score(&samples).expect("scored")), json(&scores), "{name}, {threads} threads");
                let again = scorer.aggregate(&scores, &resamples).expect("aggregated");
                assert_eq!(json(&again), json(&metrics), "{name}, {threads} threads");
            });
        }
        for size in [1, 7, 1_500] {
            let other = scorer.score_in_batches(&samples, size).expect("scored");
            assert_eq!(json(&other), json(&scores), "{name}, batches of {size}");
        }
        for resample in [1, 300, 700] {
            let alone = [resamples[0].clone(), resamples[resample].clone()];
            assert_eq!(scorer.aggregate(&scores, &alone).expect("aggregated")[1], metrics[resample], "{name}");
        }
        let fresh = load(name).score(&samples).expect("scored");
        assert_eq!(json(&fresh), json(&scores), "{name} loaded again");
    }
}

#[test]
fn scores_survive_the_file_that_they_are_written_to() {
    let scorer = load("auroc");
    let scores = scorer.score(&diagnoses(50)).expect("scored");
    let read: Vec<SampleScore> = serde_json::from_str(&json(&scores)).expect("readable");
    assert_eq!(read, scores);
}

#[test]
fn nothing_to_score_is_no_error() {
    let scorer = load("auroc");
    assert_eq!(scorer.score(&[]).expect("scored"), []);
    assert_eq!(scorer.aggregate(&[], &[vec![]]).expect("aggregated"), [[None; 3]]);
    assert!(scorer.aggregate(&[], &[]).expect("aggregated").is_empty());
    let error = scorer.aggregate(&[], &[vec![0]]).expect_err("position out of range");
    assert_eq!(error.to_string(), "a resample asks for score 0 of 0");
}
