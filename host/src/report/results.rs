//! The report for programs.

use serde_json::{Map, Value, json};

use super::{CellReport, GapReport, MetricReport, Report, SubgroupReport};

/// The cells of a run and every number in it, each with its way back to the sample scores that it comes from.
///
/// `numbers[*].metrics_file` holds the aggregate, `scores_file` the sample scores between `lines[0]` and
/// `lines[1]` (counted from 1) of which those of `scorer` count; both are relative to the run directory.
pub fn to_results_json(report: &Report) -> Value {
    let provenance: Map<String, Value> =
        report.provenance.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
    let numbers = report.cells.iter().flat_map(|cell| cell.metrics.iter().map(|metric| number(cell, metric)));
    let subgroups = report.cells.iter().flat_map(|cell| cell.subgroups.iter().map(|group| subgroup(cell, group)));
    let gaps = report.cells.iter().flat_map(|cell| cell.gaps.iter().map(|distance| gap(cell, distance)));
    json!({
        "format": "medvlm-results-1",
        "title": report.title,
        "provenance": provenance,
        "cells": report.cells.iter().map(cell).collect::<Vec<_>>(),
        "numbers": numbers.collect::<Vec<_>>(),
        "subgroups": subgroups.collect::<Vec<_>>(),
        "gaps": gaps.collect::<Vec<_>>(),
    })
}

fn cell(cell: &CellReport) -> Value {
    json!({
        "id": cell.id,
        "model": cell.model,
        "dataset": cell.dataset,
        "split": cell.split,
        "task": cell.task,
        "usage": cell.usage,
        "seed": cell.seed,
        "classes": cell.classes,
        "expected": cell.expected,
        "predicted": cell.samples.len(),
        "failed": cell.failed,
        "calibration_error": cell.calibration.as_ref().map(|c| c.error),
    })
}

fn number(cell: &CellReport, metric: &MetricReport) -> Value {
    json!({
        "cell": cell.id,
        "metric": metric.name,
        "value": metric.value,
        "low": metric.low,
        "high": metric.high,
        "level": 0.95,
        "higher_is_better": metric.higher_is_better,
        "samples": metric.samples,
        "patients": metric.patients,
        "missing": metric.missing,
        "failed": metric.failed,
        "scorer": metric.scorer,
        "version": metric.version,
        "component": metric.component,
        "metrics_file": format!("{}/metrics.json", cell.id),
        "scores_file": format!("{}/scores.jsonl", cell.id),
        "lines": metric.lines.map(|(first, last)| [first, last]),
    })
}

fn subgroup(cell: &CellReport, group: &SubgroupReport) -> Value {
    json!({
        "cell": cell.id,
        "scorer": group.scorer,
        "metric": group.metric,
        "column": group.column,
        "group": group.group,
        "samples": group.samples,
        "patients": group.patients,
        "too_small": group.too_small,
        "value": group.value,
        "low": group.low,
        "high": group.high,
    })
}

fn gap(cell: &CellReport, gap: &GapReport) -> Value {
    json!({
        "cell": cell.id,
        "scorer": gap.scorer,
        "metric": gap.metric,
        "column": gap.column,
        "worst": gap.worst,
        "best": gap.best,
        "gap": gap.gap,
        "equity_scaled": gap.equity_scaled,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::example;

    #[test]
    fn every_number_says_where_it_comes_from() {
        let results = to_results_json(&example::report());
        insta::assert_snapshot!(serde_json::to_string_pretty(&results).expect("JSON"));
    }
}
