//! A small report that every writer's test uses.

use super::{
    Calibration, CalibrationBin, CellReport, Curve, GapReport, MetricReport, Report, SampleReport, SubgroupReport,
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
        cells: vec![
            cell("phantom-clip", 0, vec![accuracy(0.75, 0.5, 1.0, 0, 0), auroc(Some(0.875))], samples(false)),
            cell("clip-vit-b32", 0, vec![accuracy(0.5, 0.25, 0.75, 1, 2), auroc(None)], samples(true)),
            CellReport {
                id: "llava@vqa-rad.test.vqa.zero-shot.s1".into(),
                dataset: "vqa-rad".into(),
                task: Task::Vqa,
                classes: vec![],
                subgroups: vec![],
                gaps: vec![],
                roc: vec![],
                calibration: None,
                expected: 0,
                failed: 0,
                ..cell("llava", 1, vec![bleu()], vec![])
            },
        ],
    }
}

fn cell(model: &str, seed: u64, metrics: Vec<MetricReport>, samples: Vec<SampleReport>) -> CellReport {
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
        failed: samples.iter().filter(|s| s.error.is_some()).count(),
        samples,
        expected: 4,
    }
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

fn samples(defective: bool) -> Vec<SampleReport> {
    let sample = |index: u32, target: &str, effusion: f64| SampleReport {
        id: format!("film-{index}"),
        index,
        patient: Some(format!("p{}", index / 2)),
        thumbnail: super::thumbnail(8, 8, &[40 * (index as u8 + 1); 192], 64),
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
