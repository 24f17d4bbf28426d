//! Metrics, scores and predictions to `report.html`, `results.json` and `tables/`.

use std::{collections::BTreeMap, path::PathBuf};

use rayon::prelude::*;

use crate::{
    dataset::{Dataset, Sample, Target},
    error::Result,
    ids::Task,
    prediction::{self, Prediction},
    report::{
        self, Calibration, CalibrationBin, CellReport, Curve, GapReport, MetricReport, Report, SampleReport,
        SubgroupReport,
    },
    run::{Cell, Plan, leaks, predict, score, to_json, write_atomically},
    scorer::SampleScore,
    stats,
};

/// Longest side of a thumbnail, in pixels.
const THUMBNAIL: u32 = 160;

/// Samples of a cell that get a thumbnail; beyond that a report would not open any more.
const THUMBNAILS: usize = 2000;

/// Bins of the calibration picture.
const BINS: usize = 10;

/// Writes the report of all cells that have metrics; returns the page's path and the terminal's table.
pub fn report(plan: &Plan) -> Result<(PathBuf, String)> {
    let mut cells = Vec::new();
    for cell in &plan.cells {
        if let Some(metrics) = score::read(&cell.dir(&plan.dir)) {
            cells.push(cell_report(cell, plan, &metrics)?);
        }
    }
    let title = if plan.suite.title.is_empty() { &plan.suite.name } else { &plan.suite.title };
    let report = Report { title: title.clone(), provenance: provenance(plan), cells };
    let page = plan.dir.join("report.html");
    write_atomically(&page, report::to_html(&report)?.as_bytes())?;
    write_atomically(&plan.dir.join("results.json"), &to_json(&report::to_results_json(&report))?)?;
    write_atomically(&plan.dir.join("tables/metrics.tex"), report::to_latex(&report).as_bytes())?;
    let table = report::to_table(&report);
    write_atomically(&plan.dir.join("tables/metrics.txt"), table.as_bytes())?;
    Ok((page, table))
}

fn cell_report(cell: &Cell, plan: &Plan, metrics: &score::Metrics) -> Result<CellReport> {
    let dir = cell.dir(&plan.dir);
    let dataset = cell.dataset()?;
    let samples = predict::samples(cell, &dataset, plan.suite.limit)?;
    let by_index: BTreeMap<u32, &Sample> = samples.iter().map(|s| (s.index, s)).collect();
    let predictions = prediction::read(&dir.join(predict::FILE))?;
    let scores = score::read_lines(&dir)?;
    let classes: Vec<String> = cell.manifest.classes.iter().map(|c| c.name.clone()).collect();
    let pairs: Vec<(&Sample, &Prediction)> =
        predictions.iter().filter_map(|p| by_index.get(&p.index).map(|s| (*s, p))).collect();
    let (roc, calibration) = pictures(cell, &pairs, &classes, metrics);
    let samples = pairs
        .par_iter()
        .enumerate()
        .map(|(position, (sample, prediction))| {
            let thumbnail = (position < THUMBNAILS).then(|| thumbnail(&dataset, sample)).flatten();
            sample_report(cell, sample, prediction, &classes, &scores, thumbnail)
        })
        .collect();
    Ok(CellReport {
        id: cell.id.to_string(),
        model: cell.id.model.clone(),
        dataset: cell.id.dataset.clone(),
        split: cell.id.split.clone(),
        task: cell.id.task,
        usage: cell.id.usage,
        seed: cell.id.seed,
        classes,
        metrics: metric_reports(metrics),
        subgroups: subgroup_reports(metrics),
        gaps: gap_reports(metrics),
        roc,
        calibration,
        samples,
        expected: metrics.expected,
        failed: metrics.failed,
    })
}

/// The metrics of a cell. Where a scorer has some that the task defines, the others are left to `metrics.json`.
fn metric_reports(metrics: &score::Metrics) -> Vec<MetricReport> {
    let of_scorer = |scorer: &score::ScorerMetrics| {
        let none = scorer.metrics.iter().all(|metric| metric.value.is_none());
        let shown = scorer.metrics.iter().filter(|metric| none || metric.value.is_some());
        shown
            .map(|metric| MetricReport {
                scorer: scorer.id.clone(),
                version: scorer.version.clone(),
                component: scorer.component.clone(),
                name: metric.name.clone(),
                value: metric.value,
                low: metric.low,
                high: metric.high,
                samples: (scorer.lines.1 + 1).saturating_sub(scorer.lines.0),
                patients: metrics.patients,
                missing: metric.missing,
                failed: metrics.failed,
                higher_is_better: metric.higher_is_better,
                lines: Some(scorer.lines),
            })
            .collect::<Vec<_>>()
    };
    metrics.scorers.iter().flat_map(of_scorer).collect()
}

/// One line for each scorer, group and metric, those of groups that are too small for numbers included.
fn subgroup_reports(metrics: &score::Metrics) -> Vec<SubgroupReport> {
    let mut reports = Vec::new();
    for scorer in &metrics.scorers {
        for table in &scorer.subgroups {
            for (group, (i, metric)) in
                table.groups.iter().flat_map(|g| scorer.metrics.iter().enumerate().map(move |metric| (g, metric)))
            {
                let own = group.metrics.get(i);
                reports.push(SubgroupReport {
                    scorer: scorer.id.clone(),
                    metric: metric.name.clone(),
                    column: table.column.clone(),
                    group: group.value.clone(),
                    samples: group.samples,
                    patients: group.patients,
                    too_small: group.too_small,
                    value: own.and_then(|m| m.value),
                    low: own.and_then(|m| m.low),
                    high: own.and_then(|m| m.high),
                });
            }
        }
    }
    reports
}

fn gap_reports(metrics: &score::Metrics) -> Vec<GapReport> {
    let tables = metrics.scorers.iter().flat_map(|scorer| scorer.subgroups.iter().map(move |table| (scorer, table)));
    let gaps = tables.flat_map(|(scorer, table)| table.gaps.iter().map(move |gap| (scorer, table, gap)));
    gaps.map(|(scorer, table, gap)| GapReport {
        scorer: scorer.id.clone(),
        metric: gap.metric.clone(),
        column: table.column.clone(),
        worst: gap.worst.clone(),
        best: gap.best.clone(),
        gap: gap.gap,
        equity_scaled: gap.equity_scaled,
    })
    .collect()
}

/// ROC curve of class 1 of a binary diagnosis, and calibration of the confidence in the predicted class. Samples
/// without an answer have no place in either.
fn pictures(
    cell: &Cell,
    pairs: &[(&Sample, &Prediction)],
    classes: &[String],
    metrics: &score::Metrics,
) -> (Vec<Curve>, Option<Calibration>) {
    if cell.id.task != Task::Diagnosis || cell.manifest.multi_label() {
        return (Vec::new(), None);
    }
    let (mut positive, mut ill, mut confidences, mut correct) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for (sample, prediction) in pairs {
        let probabilities = softmax(&prediction.logits);
        if let (Target::Labels(truth), Some((class, confidence))) = (&sample.target, first_maximum(&probabilities)) {
            positive.push(probabilities.get(1).copied().unwrap_or_default());
            ill.push(truth.contains(&1));
            confidences.push(confidence);
            correct.push(truth.contains(&(class as u32)));
        }
    }
    let mut roc = Vec::new();
    if classes.len() == 2 {
        let auroc = metrics.scorers.iter().flat_map(|s| &s.metrics).find(|m| m.name == "auroc").and_then(|m| m.value);
        let points = stats::roc_curve(&positive, &ill);
        let points = points.iter().map(|p| (p.false_positive_rate, p.true_positive_rate)).collect();
        roc.push(Curve { name: classes[1].clone(), area: auroc, points });
    }
    let bins = stats::calibration(&confidences, &correct, BINS);
    let calibration = stats::expected_calibration_error(&bins).map(|error| Calibration {
        error,
        bins: bins
            .iter()
            .map(|b| CalibrationBin {
                low: b.low,
                high: b.high,
                count: b.count,
                confidence: b.confidence,
                accuracy: b.accuracy,
            })
            .collect(),
    });
    (roc, calibration)
}

fn sample_report(
    cell: &Cell,
    sample: &Sample,
    prediction: &Prediction,
    classes: &[String],
    scores: &BTreeMap<(String, u32), SampleScore>,
    thumbnail: Option<Vec<u8>>,
) -> SampleReport {
    let name = |class: usize| classes.get(class).cloned().unwrap_or_else(|| class.to_string());
    let multi_label = cell.manifest.multi_label();
    let probabilities = if multi_label { logistic(&prediction.logits) } else { softmax(&prediction.logits) };
    let predicted: Vec<usize> = if multi_label {
        (0..probabilities.len()).filter(|class| probabilities[*class] >= 0.5).collect()
    } else {
        first_maximum(&probabilities).into_iter().map(|(class, _)| class).collect()
    };
    let values: Vec<(String, Option<f64>)> = cell
        .scorers
        .iter()
        .filter_map(|scorer| scores.get(&(scorer.id.clone(), sample.index)).map(|score| (&scorer.id, score)))
        .flat_map(|(id, score)| score.values.iter().map(move |value| (id.clone(), *value)))
        .collect();
    let (target, correct) = match &sample.target {
        Target::Labels(labels) => {
            let names: Vec<String> = labels.iter().map(|l| name(*l as usize)).collect();
            let right = predicted.iter().map(|class| *class as u32).eq(labels.iter().copied());
            (names.join(", "), (!prediction.failed()).then_some(right))
        }
        Target::Answers(answers) => {
            let right = values.iter().find_map(|(_, value)| *value).map(|value| value >= 0.5);
            (answers.join(" | "), right.filter(|_| !prediction.failed()))
        }
    };
    SampleReport {
        id: sample.id.clone(),
        index: sample.index,
        patient: sample.patient.clone(),
        thumbnail,
        question: sample.prompt.clone().or_else(|| sample.question.clone()),
        target,
        prediction: prediction
            .text
            .clone()
            .unwrap_or_else(|| predicted.into_iter().map(name).collect::<Vec<_>>().join(", ")),
        probabilities,
        correct,
        error: prediction.error.clone(),
        scores: values,
        groups: sample.groups.clone().into_iter().collect(),
    }
}

fn thumbnail(dataset: &Dataset, sample: &Sample) -> Option<Vec<u8>> {
    let pixels = dataset.pixels(sample.images.first()?).ok()?;
    report::thumbnail(pixels.width, pixels.height, &pixels.rgb, THUMBNAIL)
}

fn provenance(plan: &Plan) -> Vec<(String, String)> {
    let mut rows = vec![
        ("medvlm".into(), env!("CARGO_PKG_VERSION").into()),
        ("plugin ABI".into(), plugin_api::abi::ABI_VERSION.into()),
        ("suite".into(), plan.suite.name.clone()),
        ("device".into(), plan.settings.device.clone()),
        ("dtype".into(), plan.settings.dtype.clone()),
    ];
    for cell in &plan.cells {
        rows.extend(cell.fingerprint.iter().map(|(key, value)| (format!("{} {key}", cell.id), value.clone())));
    }
    rows.extend(leaks::provenance(plan));
    rows
}

/// The class with the highest probability, the first of equals; none without probabilities.
fn first_maximum(probabilities: &[f64]) -> Option<(usize, f64)> {
    probabilities.iter().copied().enumerate().reduce(|best, next| if next.1 > best.1 { next } else { best })
}

/// Probability of each label of its own.
fn logistic(logits: &[f32]) -> Vec<f64> {
    logits.iter().map(|l| 1.0 / (1.0 + (-f64::from(*l)).exp())).collect()
}

/// Probabilities of logits; empty for no logits.
fn softmax(logits: &[f32]) -> Vec<f64> {
    let highest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let exponentials: Vec<f64> = logits.iter().map(|l| f64::from(l - highest).exp()).collect();
    let sum: f64 = exponentials.iter().sum();
    exponentials.iter().map(|e| e / sum).collect()
}
