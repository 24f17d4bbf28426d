//! The numbers and curves of one cell.

use super::opened::{Opened, Scorers, first_maximum, softmax};
use crate::{
    dataset::Target,
    ids::Task,
    report::{Calibration, CalibrationBin, CellReport, Curve, FailureReport, GapReport, MetricReport, SubgroupReport},
    run::{Plan, score},
    stats,
};

/// Bins of the calibration picture.
const BINS: usize = 10;

/// Steps of a curve's axes that can be told apart; points within one are not kept.
const STEPS: f64 = 2000.0;

/// A cell without its samples and failures.
pub(super) fn cell_report(opened: &Opened<'_>, plan: &Plan, scorers: &Scorers) -> CellReport {
    let (cell, metrics) = (opened.cell, opened.metrics);
    let (roc, precision_recall, calibration) = pictures(opened);
    CellReport {
        id: cell.id.to_string(),
        model: cell.id.model.clone(),
        dataset: cell.id.dataset.clone(),
        split: cell.id.split.clone(),
        task: cell.id.task,
        usage: cell.id.usage,
        seed: cell.id.seed,
        specialist: plan.suite.is_specialist(&cell.id.model),
        in_domain: plan.suite.is_in_domain(&cell.id.model, &cell.id.dataset),
        restricted: false,
        fingerprint: cell.fingerprint.clone(),
        classes: opened.classes().to_vec(),
        metrics: metric_reports(opened, scorers),
        subgroups: subgroup_reports(metrics),
        gaps: gap_reports(metrics),
        roc,
        precision_recall,
        calibration,
        failures: FailureReport::default(),
        expected: metrics.expected,
        predicted: opened.len(),
        failed: metrics.failed,
    }
}

/// The metrics of a cell. Where a scorer has some that the task defines, the others are left to `metrics.json`.
fn metric_reports(opened: &Opened<'_>, scorers: &Scorers) -> Vec<MetricReport> {
    let metrics = opened.metrics;
    let of_scorer = |scorer: &score::ScorerMetrics| {
        let source = opened.cell.scorers.iter().find(|source| source.id == scorer.id);
        let infos = source.and_then(|source| scorers.get(source)).map(|scorer| &scorer.metadata().metrics);
        let range = |name: &str| {
            let info = infos?.iter().find(|info| info.name == name)?;
            Some((info.min, info.max))
        };
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
                range: range(&metric.name),
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

/// ROC and precision-recall curve of class 1 of a binary diagnosis, and calibration of the confidence in the predicted class.
/// Samples without an answer have no place in any of them.
fn pictures(opened: &Opened<'_>) -> (Vec<Curve>, Vec<Curve>, Option<Calibration>) {
    let cell = opened.cell;
    if cell.id.task != Task::Diagnosis || cell.manifest.multi_label() {
        return (Vec::new(), Vec::new(), None);
    }
    let (mut positive, mut ill, mut confidences, mut correct) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for (sample, prediction) in opened.pairs() {
        let probabilities = softmax(&prediction.logits);
        if let (Target::Labels(truth), Some((class, confidence))) = (&sample.target, first_maximum(&probabilities)) {
            positive.push(probabilities.get(1).copied().unwrap_or_default());
            ill.push(truth.contains(&1));
            confidences.push(confidence);
            correct.push(truth.contains(&(class as u32)));
        }
    }
    let (mut roc, mut precision_recall) = (Vec::new(), Vec::new());
    if let [_, name] = opened.classes() {
        let metric = |name: &str| {
            let metrics = opened.metrics.scorers.iter().flat_map(|scorer| &scorer.metrics);
            metrics.filter(|metric| metric.name == name).find_map(|metric| metric.value)
        };
        let points = stats::roc_curve(&positive, &ill);
        let points = points.iter().map(|p| (p.false_positive_rate, p.true_positive_rate));
        roc.push(Curve { name: name.clone(), area: metric("auroc"), points: thinned(points) });
        let curve = stats::precision_recall_curve(&positive, &ill);
        let points = thinned(curve.iter().map(|p| (p.recall, p.precision)));
        // A failed prediction counts in a scorer's area, but has no place on the curve.
        let area = metric("auprc").or_else(|| stats::average_precision(&curve));
        precision_recall.push(Curve { name: name.clone(), area, points });
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
    (roc, precision_recall, calibration)
}

/// The points of a curve that can be told apart; the last one always stays.
fn thinned(points: impl Iterator<Item = (f64, f64)>) -> Vec<(f64, f64)> {
    let step = |(x, y): (f64, f64)| ((x * STEPS) as i64, (y * STEPS) as i64);
    let mut kept: Vec<(f64, f64)> = Vec::new();
    let mut last = None;
    for point in points {
        if kept.last().is_none_or(|kept| step(*kept) != step(point)) {
            kept.push(point);
        }
        last = Some(point);
    }
    kept.extend(last.filter(|last| kept.last() != Some(last)));
    kept
}
