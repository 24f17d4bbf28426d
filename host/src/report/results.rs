//! The report for programs.

use serde_json::{Map, Value, json};

use super::{
    AgreementReport, CellReport, ComparisonReport, GapReport, MetricReport, QuestionReport, Report, SubgroupReport,
    lm_eval,
};

/// The cells of a run and every number in it, each with its way back to the sample scores that it comes from.
///
/// `numbers[*].metrics_file` holds the aggregate, `scores_file` the sample scores between `lines[0]` and
/// `lines[1]` (counted from 1) of which those of `scorer` count; both are relative to the run directory.
///
/// Beside these are the keys of lm-evaluation-harness, with the cells for tasks; see [`lm_eval`]. Published values of others
/// are not part of it.
pub fn to_results_json(report: &Report) -> Value {
    let provenance: Map<String, Value> =
        report.provenance.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
    let numbers = report.cells.iter().flat_map(|cell| cell.metrics.iter().map(|metric| number(report, cell, metric)));
    let subgroups = report.cells.iter().flat_map(|cell| cell.subgroups.iter().map(|group| subgroup(cell, group)));
    let gaps = report.cells.iter().flat_map(|cell| cell.gaps.iter().map(|distance| gap(cell, distance)));
    let mut results = json!({
        "format": "medvlm-results-1",
        "title": report.title,
        "provenance": provenance,
        "cells": report.cells.iter().map(cell).collect::<Vec<_>>(),
        "numbers": numbers.collect::<Vec<_>>(),
        "subgroups": subgroups.collect::<Vec<_>>(),
        "gaps": gaps.collect::<Vec<_>>(),
        "comparisons": report.findings.comparisons.iter().flat_map(comparison).collect::<Vec<_>>(),
        "questions": report.findings.questions.iter().map(question).collect::<Vec<_>>(),
        "agreement": report.findings.agreement.iter().map(agreement).collect::<Vec<_>>(),
        "notes": report.findings.notes,
    });
    if let Value::Object(results) = &mut results {
        let cells: Vec<&CellReport> = report.cells.iter().collect();
        results.extend(lm_eval::results(report, &cells, &|cell| cell.id.clone()));
    }
    results
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
        "specialist": cell.specialist,
        "in_domain": cell.in_domain,
        "predicted": cell.predicted,
        "failed": cell.failed,
        "calibration_error": cell.calibration.as_ref().map(|c| c.error),
    })
}

fn number(report: &Report, cell: &CellReport, metric: &MetricReport) -> Value {
    json!({
        "cell": cell.id,
        "metric": metric.name,
        "value": metric.value,
        "low": metric.low,
        "high": metric.high,
        "level": report.level,
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

fn comparison(comparison: &ComparisonReport) -> Vec<Value> {
    let pair = |pair: &super::PairReport| {
        json!({
            "dataset": comparison.dataset,
            "split": comparison.split,
            "task": comparison.task,
            "usage": comparison.usage,
            "seed": comparison.seed,
            "scorer": comparison.scorer,
            "metric": comparison.metric,
            "higher_is_better": comparison.higher_is_better,
            "samples": comparison.samples,
            "patients": comparison.patients,
            "a": pair.a,
            "b": pair.b,
            "value_a": pair.value_a,
            "value_b": pair.value_b,
            "difference": pair.difference,
            "low": pair.low,
            "high": pair.high,
            "test": pair.test,
            "p": pair.p,
            "p_holm": pair.p_holm,
        })
    };
    comparison.pairs.iter().map(pair).collect()
}

fn question(question: &QuestionReport) -> Value {
    let choice = |choice: &super::Choice| {
        json!({
            "model": choice.model,
            "usage": choice.usage,
            "value": choice.value,
            "share": choice.share,
            "among": choice.among,
        })
    };
    json!({
        "question": question.number,
        "dataset": question.dataset,
        "split": question.split,
        "task": question.task,
        "scorer": question.scorer,
        "metric": question.metric,
        "higher_is_better": question.higher_is_better,
        "samples": question.samples,
        "patients": question.patients,
        "generalist": choice(&question.generalist),
        "specialist": choice(&question.specialist),
        "difference": question.difference,
        "low": question.low,
        "high": question.high,
        "draws": question.draws,
    })
}

fn agreement(agreement: &AgreementReport) -> Value {
    let name = |rater: usize| agreement.raters.get(rater).map(|rater| rater.name.as_str());
    let pair = |pair: &super::RaterPair| {
        json!({
            "raters": [name(pair.raters.0), name(pair.raters.1)],
            "samples": pair.samples,
            "kappa": pair.kappa,
            "spearman": pair.spearman,
        })
    };
    json!({
        "cell": agreement.cell,
        "scorer": agreement.scorer,
        "raters": agreement
            .raters
            .iter()
            .map(|rater| json!({"name": rater.name, "graded": rater.graded, "missing": rater.missing}))
            .collect::<Vec<_>>(),
        "samples": agreement.samples,
        "alpha": agreement.alpha,
        "kappa": agreement.kappa,
        "pairs": agreement.pairs.iter().map(pair).collect::<Vec<_>>(),
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
