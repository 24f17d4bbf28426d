//! Grades of samples, and their metrics.

use scorer_kit::{Response, vectors::metrics};

use super::*;

fn sample(index: u32, closed: Option<bool>, prediction: &str) -> Sample {
    let closed = closed.map_or(String::new(), |closed| format!(r#","closed":{closed}"#));
    Sample {
        prediction: prediction.into(),
        references: vec!["no".into()],
        meta: format!(r#"{{"question":"Is it?"{closed}}}"#),
        ..scorer_kit::sample(index)
    }
}

fn said(text: &str) -> Answer {
    Ok(Response { text: text.into(), prompt_tokens: 0, completion_tokens: 0 })
}

fn grade(index: u32, panel: &[Answer]) -> SampleScore {
    let Score { values, statistics, note } = GptJudge::default().graded(panel);
    SampleScore { index, values, statistics, note }
}

#[test]
fn closed_and_failed_samples_need_no_judge() {
    let published = GptJudge { rubric: Rubric::Medvlmbench, ..GptJudge::default() };
    let failed = Sample { failed: true, ..sample(2, None, "") };
    let samples = || [sample(0, Some(true), "It is normal"), sample(1, Some(true), "No."), failed.clone()];
    // The clean rubric does not find `no` in `normal`.
    assert_eq!(metrics(&GptJudge::default(), samples())[0], Some(1.0 / 3.0));
    assert_eq!(metrics(&published, samples()), [Some(2.0 / 3.0), Some(0.0), None]);
}

#[test]
fn a_reply_that_cannot_be_read_or_never_came_is_missing() {
    let fine = || said(r#"{"reason":"close","grade":4}"#);
    let none = || Err(JudgeError::Transport("cannot be reached".into()));
    let mixed = grade(0, &[fine(), said("about a 5"), none()]);
    assert_eq!((mixed.values, &mixed.statistics[..]), (vec![Some(0.75)], &[OPEN, 0.75, MISSING, MISSING][..]));
    let note = mixed.note.expect("a note");
    assert!(note.starts_with("0.75: close\nmissing: ") && note.ends_with("missing: cannot be reached"), "{note}");
    assert_eq!(grade(1, &[said(""), none()]).values, [None]);
}

/// A missing grade is in no mean; alpha counts the raters of each sample.
#[test]
fn means_are_weighted_by_samples_and_agreement_is_of_the_raters() {
    let verdict = |grade: u8| said(&format!(r#"{{"reason":"x","grade":{grade}}}"#));
    let closed = |index, value| SampleScore { index, values: vec![Some(value)], statistics: vec![CLOSED], note: None };
    let scores = [
        grade(0, &[verdict(5), verdict(5)]),
        grade(1, &[verdict(1), verdict(3)]),
        grade(2, &[said("?"), said("?")]),
        closed(3, 1.0),
        closed(4, 0.0),
    ];
    let rows =
        GptJudge::default().aggregate(&scores, &[vec![0, 1, 2, 3, 4], vec![0, 0, 3], vec![2]]).expect("aggregated");
    assert_eq!(rows[0][..2], [Some((1.0 + 0.25 + 1.0 + 0.0) / 4.0), Some(0.625)]);
    // Ratings 1 1 | 0 0.5: observed 2·0.25 over 4 ratings, expected 2·(4·2.25 − 2.5²) over 4·3 pairs.
    let alpha = 1.0 - (0.5 / 4.0) / (5.5 / 12.0);
    assert!((rows[0][2].expect("defined") - alpha).abs() < 1e-12);
    assert_eq!(rows[1], [Some(1.0), Some(1.0), None]);
    assert_eq!(rows[2], [None, None, None]);
}

#[test]
fn the_configuration_has_defaults_and_no_unknown_keys() {
    let read = |text: &str| serde_json::from_str::<GptJudge>(text);
    assert_eq!(read("{}").expect("valid").rubric, Rubric::Graded);
    assert_eq!(read(r#"{"rubric":"medvlmbench"}"#).expect("valid").rubric, Rubric::Medvlmbench);
    assert!(read(r#"{"rubrik":"medvlmbench"}"#).is_err() && read(r#"{"rubric":"strict"}"#).is_err());
    serde_json::from_str::<serde_json::Value>(&GptJudge::metadata().config_schema).expect("a schema");
}
