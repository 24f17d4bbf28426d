//! The vectors of the original, and of the libraries that it calls.

use scorer_kit::vectors::{assert_text_vectors, scored};

use super::*;

#[test]
fn equals_the_libraries_of_medvlmbench() {
    assert_text_vectors::<Compat>(include_str!("../vectors.json"));
}

#[test]
fn overlaps_are_those_of_the_original() {
    for (answer, reference, exact_match, f1, precision, recall, substring) in [
        ("the image is a ct scan", "ct", 0.25, 0.4, 0.25, 1.0, true),
        ("it is normal", "no", 0.0, 0.0, 0.0, 0.0, true),
        ("lung lung lung", "lung", 1.0 / 3.0, 1.0, 1.0, 1.0, true),
        ("left lung", "left lung and right lung", 1.0, 2.0 / 3.0, 1.0, 0.5, false),
        ("yes yes no", "yes", 1.0 / 3.0, 0.8, 2.0 / 3.0, 1.0, true),
        ("x ray", "x-ray", 1.0, 1.0, 1.0, 1.0, false),
    ] {
        let scores = scores(CLOSED, answer, reference, &[]);
        for (actual, expected) in scores.iter().zip([exact_match, precision, recall, f1, f64::from(substring)]) {
            assert!((actual - expected).abs() < 1e-12, "{answer:?} | {reference:?}: {scores:?}");
        }
    }
}

#[test]
fn bleu_is_that_of_the_log() {
    let scores = scores(OPEN, "hello word, where are you", "may i know the place you are staying?", &[]);
    assert!((scores[5] - 0.268128).abs() < 5e-7, "{}", scores[5]);
    assert_eq!(&scores[6..9], [0.0; 3]);
}

#[test]
fn meteor_is_one_half_or_nothing() {
    assert_eq!((meteor("left lung", "left lung"), meteor("effusions", "effusion")), (0.5, 0.5));
    assert_eq!((meteor("left lung", "lung left"), meteor("", "")), (0.0, 0.5));
}

fn sample(index: u32, prediction: &str, reference: &str, meta: &str) -> Sample {
    Sample {
        prediction: prediction.into(),
        references: vec![reference.into()],
        meta: meta.into(),
        ..scorer_kit::sample(index)
    }
}

fn metric(scorer: &Compat, samples: &[Sample], name: &str) -> Option<f64> {
    let scores = scored(scorer, samples.iter().cloned());
    let metrics = scorer.aggregate(&scores, &[(0..samples.len() as u32).collect()]).expect("aggregated").remove(0);
    let at = Compat::metadata().metrics.iter().position(|metric| metric.name == name).expect("a metric");
    metrics[at]
}

#[test]
fn kinds_of_questions_have_their_own_means() {
    let samples = [
        sample(0, "It is normal", "no", r#"{"closed":true}"#),
        sample(1, "yes", "no", "{}"),
        sample(2, "left lung", "left lung", r#"{"closed":false}"#),
        sample(3, "Answer: Chest", "MRI", r#"{"options":["CT","X-ray","MRI"]}"#),
        sample(4, "This is a CT", "A", r#"{"options":["CT","X-ray","MRI"]}"#),
        sample(5, "B", "CT", r#"{"options":["CT","X-ray","MRI"]}"#),
    ];
    let metric = |name| metric(&Compat::default(), &samples, name);
    assert_eq!(metric("accuracy_closed"), Some(0.5));
    assert_eq!(
        (metric("accuracy_open"), metric("meteor_open"), metric("bleu_2_open")),
        (Some(1.0), Some(0.5), Some(1.0))
    );
    assert_eq!(metric("accuracy_mc"), Some(2.0 / 3.0));
    assert_eq!((metric("exact_match_open"), metric("exact_match_closed")), (Some(1.0), Some(0.0)));
    assert_eq!(metric("exact_match_overall"), Some(1.0 / 6.0));
}

#[test]
fn failed_samples_score_nothing_or_are_dropped() {
    let failed = Sample { failed: true, ..sample(0, "", "", r#"{"closed":false}"#) };
    let samples = [failed, sample(1, "lung", "lung", r#"{"closed":false}"#)];
    let keep = Compat::default();
    assert_eq!(
        (metric(&keep, &samples, "f1_overall"), metric(&keep, &samples, "meteor_open")),
        (Some(0.5), Some(0.25))
    );
    let drop = Compat { drop_failed: true };
    assert_eq!((metric(&drop, &samples, "f1_overall"), metric(&drop, &samples, "meteor_open")), (Some(1.0), Some(0.5)));
}
