//! A small report that every writer's test uses.

use super::{
    AgreementReport, Calibration, CalibrationBin, CellPages, CellReport, Choice, ComparisonReport, Curve,
    EmbeddedParts, FailureReport, Findings, GapReport, MetricReport, MissingReport, Pages, PairReport, PicturePages,
    PublishedValue, QuestionReport, RaterPair, RaterReport, Report, SampleReport, SubgroupReport,
};
use crate::ids::{Task, Usage};

/// Two models on one dataset, the second with a failed prediction, an absent one and a missing score; and a cell
/// of another task.
pub(super) fn report() -> Report {
    Report {
        title: "Phantom chest films".into(),
        provenance: vec![
            ("medvlm".into(), "0.1.0".into()),
            ("suite".into(), "quickstart.toml 3f2a".into()),
            ("plugin libcontrastive.so".into(), "b1946ac92492d2347c6235b4d2611184".into()),
        ],
        resamples: 1000,
        level: 0.95,
        findings: findings(),
        published: vec![published("phantom-clip", 0.9)],
        cells: vec![
            CellReport {
                specialist: true,
                in_domain: true,
                ..cell("phantom-clip", 0, vec![accuracy(0.75, 0.5, 1.0, 0, 0), auroc(Some(0.875))], &samples(false))
            },
            CellReport {
                failures: FailureReport {
                    reasons: vec![("the worker was killed by signal 11".into(), 1)],
                    listed: vec![("film-1".into(), "the worker was killed by signal 11".into())],
                    missing: vec![MissingReport {
                        scorer: "accuracy".into(),
                        value: "accuracy".into(),
                        samples: 2,
                        unanswered: Some((2, 4)),
                        listed: vec!["film-0".into(), "film-1".into()],
                    }],
                },
                ..cell("clip-vit-b32", 0, vec![accuracy(0.5, 0.25, 0.75, 1, 2), auroc(None)], &samples(true))
            },
            CellReport {
                id: "llava@vqa-rad.test.vqa.zero-shot.s1".into(),
                dataset: "vqa-rad".into(),
                task: Task::Vqa,
                classes: vec![],
                subgroups: vec![],
                gaps: vec![],
                roc: vec![],
                precision_recall: vec![],
                calibration: None,
                expected: 0,
                ..cell("llava", 1, vec![bleu()], &[])
            },
        ],
    }
}

fn cell(model: &str, seed: u64, metrics: Vec<MetricReport>, samples: &[SampleReport]) -> CellReport {
    CellReport {
        id: format!("{model}@phantom-chest.test.diagnosis.zero-shot.s{seed}"),
        model: model.into(),
        dataset: "phantom-chest".into(),
        split: "test".into(),
        task: Task::Diagnosis,
        usage: Usage::ZeroShot,
        seed,
        classes: vec!["normal".into(), "effusion".into()],
        metrics,
        subgroups: vec![
            subgroup("F", 10, Some((0.875, 0.75, 1.0))),
            subgroup("M", 12, Some((0.625, 0.5, 0.75))),
            subgroup("unknown", 2, None),
        ],
        gaps: vec![GapReport {
            scorer: "auroc".into(),
            metric: "auroc".into(),
            column: "sex".into(),
            worst: "M".into(),
            best: "F".into(),
            gap: 0.25,
            equity_scaled: Some(0.625),
        }],
        roc: vec![Curve {
            name: "effusion".into(),
            area: Some(0.875),
            points: vec![(0.0, 0.0), (0.0, 0.5), (0.5, 1.0), (1.0, 1.0)],
        }],
        calibration: Some(Calibration {
            error: 0.0625,
            bins: vec![
                CalibrationBin { low: 0.5, high: 0.6, count: 1, confidence: 0.55, accuracy: 0.5 },
                CalibrationBin { low: 0.8, high: 0.9, count: 3, confidence: 0.84, accuracy: 0.9 },
            ],
        }),
        precision_recall: vec![Curve {
            name: "effusion".into(),
            area: Some(0.8125),
            points: vec![(0.0, 1.0), (0.5, 1.0), (1.0, 0.5)],
        }],
        specialist: false,
        in_domain: false,
        restricted: false,
        fingerprint: [("dataset.files", "f11e5"), ("dataset.manifest", "3a41"), ("dtype", "f32")]
            .map(|(key, value)| (key.to_string(), value.to_string()))
            .into(),
        failures: FailureReport::default(),
        failed: samples.iter().filter(|s| s.error.is_some()).count(),
        predicted: samples.len(),
        expected: 4,
    }
}

fn findings() -> Findings {
    let phantom = |model: &str, value: f64, share: f64| Choice {
        model: model.into(),
        usage: Usage::ZeroShot,
        value,
        share,
        among: 2,
    };
    Findings {
        comparisons: vec![ComparisonReport {
            dataset: "phantom-chest".into(),
            split: "test".into(),
            task: Task::Diagnosis,
            usage: Usage::ZeroShot,
            seed: 0,
            scorer: "accuracy".into(),
            metric: "accuracy".into(),
            higher_is_better: true,
            samples: 4,
            patients: 2,
            pairs: vec![PairReport {
                a: "phantom-clip".into(),
                b: "clip-vit-b32".into(),
                value_a: Some(0.75),
                value_b: Some(0.5),
                difference: Some(-0.25),
                low: Some(-0.5),
                high: Some(0.0),
                test: "McNemar, exact".into(),
                p: Some(0.03125),
                p_holm: Some(0.0625),
            }],
        }],
        questions: vec![QuestionReport {
            number: 1,
            dataset: "phantom-chest".into(),
            split: "test".into(),
            task: Task::Diagnosis,
            scorer: "auroc".into(),
            metric: "auroc".into(),
            higher_is_better: true,
            samples: 4,
            patients: 2,
            generalist: phantom("clip-vit-b32", 0.5, 0.75),
            specialist: phantom("phantom-clip", 0.875, 1.0),
            difference: -0.375,
            low: Some(-0.5),
            high: Some(-0.125),
            draws: 1000,
        }],
        agreement: vec![AgreementReport {
            cell: "llava@vqa-rad.test.vqa.zero-shot.s1".into(),
            scorer: "gpt-judge".into(),
            raters: ["judge-a", "judge-b"].map(|name| RaterReport { name: name.into(), graded: 10, missing: 2 }).into(),
            samples: 9,
            alpha: Some(0.75),
            kappa: None,
            pairs: vec![RaterPair { raters: (0, 1), samples: 9, kappa: Some(0.5), spearman: Some(0.625) }],
        }],
        notes: vec!["llava is compared with nobody on vqa-rad".into()],
    }
}

pub(super) fn published(model: &str, value: f64) -> PublishedValue {
    PublishedValue {
        model: model.into(),
        dataset: "phantom-chest".into(),
        task: Task::Diagnosis,
        usage: Usage::ZeroShot,
        metric: "auroc".into(),
        value,
        low: Some(0.85),
        high: None,
        samples: Some(40),
        source: "table 2".into(),
        doubt: "the test set chose the checkpoint".into(),
    }
}

/// The samples of the example's cells inside its page.
pub(super) fn pages() -> Pages {
    let mut parts = EmbeddedParts::default();
    let mut cells = Vec::new();
    for (number, samples) in [samples(false), samples(true), Vec::new()].iter().enumerate() {
        let classes = ["normal".into(), "effusion".into()];
        let mut pages = CellPages::new(number, 4, &classes);
        for sample in samples {
            pages.push(sample, &mut parts).expect("written");
        }
        cells.push(pages.finish(&mut parts).expect("written"));
    }
    let mut pictures = PicturePages::new(0);
    for index in 0..4 {
        let jpeg = super::thumbnail(8, 8, &[40 * (index as u8 + 1); 192], 64);
        pictures.push(index, jpeg.as_deref(), &mut parts).expect("written");
    }
    pictures.finish(&mut parts).expect("written");
    Pages::embedded(cells, parts)
}

fn subgroup(group: &str, patients: usize, value: Option<(f64, f64, f64)>) -> SubgroupReport {
    SubgroupReport {
        scorer: "auroc".into(),
        metric: "auroc".into(),
        column: "sex".into(),
        group: group.into(),
        samples: 2 * patients,
        patients,
        too_small: value.is_none(),
        value: value.map(|v| v.0),
        low: value.map(|v| v.1),
        high: value.map(|v| v.2),
    }
}

pub(super) fn samples(defective: bool) -> Vec<SampleReport> {
    let sample = |index: u32, target: &str, effusion: f64| SampleReport {
        id: format!("film-{index}"),
        index,
        patient: Some(format!("p{}", index / 2)),
        pictured: true,
        target: target.into(),
        prediction: if effusion > 0.5 { "effusion" } else { "normal" }.into(),
        probabilities: vec![1.0 - effusion, effusion],
        correct: Some((effusion > 0.5) == (target == "effusion")),
        scores: vec![("accuracy.accuracy".into(), Some(f64::from((effusion > 0.5) == (target == "effusion"))))],
        groups: vec![("sex".into(), if index.is_multiple_of(2) { "F" } else { "M" }.into())],
        ..Default::default()
    };
    let mut samples = vec![
        sample(0, "normal", 0.125),
        sample(1, "effusion", 0.75),
        sample(2, "effusion", 0.25),
        sample(3, "normal", 0.25),
    ];
    if defective {
        samples.truncate(3);
        let failed = &mut samples[1];
        failed.error = Some("the worker was killed by signal 11".into());
        failed.prediction.clear();
        failed.probabilities.clear();
        failed.correct = None;
        failed.scores = vec![("accuracy.accuracy".into(), None)];
    }
    samples
}

fn accuracy(value: f64, low: f64, high: f64, failed: usize, missing: usize) -> MetricReport {
    MetricReport {
        scorer: "accuracy".into(),
        version: "1.0.0".into(),
        component: "5d41402abc4b2a76b9719d911017c592".into(),
        name: "accuracy".into(),
        value: Some(value),
        low: Some(low),
        high: Some(high),
        samples: 4,
        patients: 2,
        missing,
        failed,
        higher_is_better: true,
        range: Some((0.0, 1.0)),
        lines: Some((1, 4)),
    }
}

fn auroc(value: Option<f64>) -> MetricReport {
    MetricReport {
        scorer: "auroc".into(),
        component: "7d793037a0760186574b0282f2f435e7".into(),
        name: "auroc".into(),
        value,
        low: value.map(|v| v - 0.125),
        high: value.map(|v| v + 0.0625),
        lines: Some((5, 8)),
        ..accuracy(0.0, 0.0, 0.0, 0, 0)
    }
}

fn bleu() -> MetricReport {
    MetricReport { scorer: "bleu".into(), name: "bleu_4".into(), lines: None, ..accuracy(0.0, 0.0, 0.0, 0, 0) }
}
