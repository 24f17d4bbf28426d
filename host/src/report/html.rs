//! The report as a page that needs no network: one file, or with many samples a folder of parts beside it.
//!
//! Tables and figures are drawn here, so that the page reads and prints without scripts; the sample browser is a
//! script over the parts of [`super::pages`]. Text from data meets HTML in two places only: the template, which escapes it,
//! and the JSON blocks, where no `<` is left. The content security policy forbids every request and every script
//! but those that carry the page's nonce: its own, and the parts, which a page from a file can read in no other way.

use minijinja::{Environment, value};
use serde::Serialize;

use super::{
    CellReport, MetricReport, Pages, Report,
    figures::{Axis, CalibrationFigure, CurveFigure, Strip, calibration_figure, curve_figures},
    numbers::{count, counted, interval, number},
    pages::{CHUNK, CellIndex, PICTURES, json},
    sections::{
        AgreementView, ComparisonView, FailureView, GridView, PublishedRow, QuestionView, agreement_view,
        comparison_view, failure_view, grid_views, published_rows, question_view,
    },
    subgroups::{SubgroupRow, subgroup_rows},
    summary::{Column, Group, defects, groups, usage},
};
use crate::{
    error::{Error, Result},
    ids::digest,
};

const PAGE: &str = include_str!("page.html");
const FINDINGS: &str = include_str!("findings.html");
const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// Writes the page; `pages` are the samples of the report's cells, in their order.
pub fn to_html(report: &Report, pages: &Pages) -> Result<String> {
    let numbers: Vec<NumberView> = report.cells.iter().flat_map(|c| c.metrics.iter().map(|m| source(c, m))).collect();
    let groups: Vec<GroupView> = groups(report).iter().map(|group| view(group, &numbers)).collect();
    let data = json(&Data::new(report, pages))?;
    let page = Page {
        title: &report.title,
        subtitle: subtitle(report),
        style: STYLE,
        script: SCRIPT,
        nonce: nonce(&data, pages),
        alerts: report.cells.iter().filter_map(Alert::of).collect(),
        predictions: count(report.cells.iter().map(|c| c.predicted).sum()),
        level: format!("{}", report.level * 100.0),
        grids: grid_views(report),
        published: published_rows(report),
        comparisons: report.findings.comparisons.iter().map(comparison_view).collect(),
        questions: report.findings.questions.iter().map(question_view).collect(),
        agreement: report.findings.agreement.iter().map(agreement_view).collect(),
        failures: report.cells.iter().filter_map(failure_view).collect(),
        notes: &report.findings.notes,
        groups,
        numbers,
        provenance: &report.provenance,
        data,
        parts: &pages.embedded.0,
    };
    let fail = |e: minijinja::Error| Error::failed(format!("the report page could not be written: {e}"));
    let mut environment = Environment::new();
    environment.add_template("page.html", PAGE).map_err(fail)?;
    environment.add_template("findings.html", FINDINGS).map_err(fail)?;
    let template = environment.get_template("page.html").map_err(fail)?;
    template.render(value::Serde(page)).map_err(fail)
}

/// Whatever the data holds, it cannot hold its own digest.
fn nonce(data: &str, pages: &Pages) -> String {
    let parts = pages.embedded.0.iter().map(|(_, json)| digest(json.as_bytes()));
    digest([data.to_string(), pages.digest.clone()].into_iter().chain(parts).collect::<Vec<_>>().join("\n").as_bytes())
}

/// What the template names.
#[derive(Serialize)]
struct Page<'a> {
    title: &'a str,
    subtitle: String,
    style: &'static str,
    script: &'static str,
    nonce: String,
    alerts: Vec<Alert>,
    predictions: String,
    level: String,
    grids: Vec<GridView>,
    published: Vec<PublishedRow>,
    comparisons: Vec<ComparisonView>,
    questions: Vec<QuestionView>,
    agreement: Vec<AgreementView>,
    failures: Vec<FailureView>,
    notes: &'a [String],
    groups: Vec<GroupView>,
    numbers: Vec<NumberView>,
    provenance: &'a [(String, String)],
    data: String,
    parts: &'a [(String, String)],
}

/// What the page's script reads first.
#[derive(Serialize)]
struct Data<'a> {
    chunk: u32,
    pictures: u32,
    folder: Option<&'static str>,
    cells: Vec<CellData<'a>>,
}

#[derive(Serialize)]
struct CellData<'a> {
    id: &'a str,
    model: &'a str,
    usage: String,
    /// Cells of the same set answer the same samples.
    set: usize,
    name: String,
    classes: &'a [String],
    #[serde(flatten)]
    index: &'a CellIndex,
}

impl<'a> Data<'a> {
    fn new(report: &'a Report, pages: &'a Pages) -> Self {
        let set = |cell: &CellReport| {
            let mut names: Vec<String> = Vec::new();
            for name in report.cells.iter().map(set_name) {
                if !names.contains(&name) {
                    names.push(name);
                }
            }
            names.iter().position(|name| *name == set_name(cell)).unwrap_or_default()
        };
        let cells = report.cells.iter().zip(&pages.cells).map(|(cell, index)| CellData {
            id: &cell.id,
            model: &cell.model,
            usage: usage(cell),
            set: set(cell),
            name: set_name(cell),
            classes: &cell.classes,
            index,
        });
        Self { chunk: CHUNK, pictures: PICTURES, folder: pages.folder, cells: cells.collect() }
    }
}

fn set_name(cell: &CellReport) -> String {
    format!("{}.{}.{}", cell.dataset, cell.split, cell.task)
}

#[derive(Serialize)]
struct Alert {
    cell: String,
    defects: Vec<String>,
}

#[derive(Serialize)]
struct GroupView {
    dataset: String,
    split: String,
    task: String,
    columns: Vec<ColumnView>,
    rows: Vec<RowView>,
    subgroups: Vec<SubgroupRow>,
    roc: Vec<CurveFigure>,
    precision_recall: Vec<CurveFigure>,
    calibration: Vec<CalibrationFigure>,
}

#[derive(Serialize)]
struct ColumnView {
    name: String,
    higher_is_better: bool,
    scorer: String,
    version: String,
    ends: Option<[String; 2]>,
}

#[derive(Serialize)]
struct RowView {
    cell: String,
    model: String,
    usage: String,
    specialist: bool,
    in_domain: bool,
    samples: String,
    patients: String,
    defects: Vec<String>,
    values: Vec<Option<ValueView>>,
}

#[derive(Serialize)]
struct ValueView {
    value: String,
    interval: Option<String>,
    best: bool,
    strip: Option<Strip>,
    /// Position in the list of numbers, from 1.
    number: usize,
}

/// A number and where it comes from.
#[derive(Serialize)]
struct NumberView {
    cell: String,
    metric: String,
    value: String,
    interval: Option<String>,
    samples: String,
    patients: String,
    missing: usize,
    failed: usize,
    scorer: String,
    version: String,
    component: String,
    lines: Option<(usize, usize)>,
}

impl Alert {
    fn of(cell: &CellReport) -> Option<Self> {
        let defects = defects(cell);
        (!defects.is_empty()).then(|| Self { cell: cell.id.clone(), defects })
    }
}

fn view(group: &Group<'_>, numbers: &[NumberView]) -> GroupView {
    let axes: Vec<Option<Axis>> = group.columns.iter().map(|column| axis(group, column)).collect();
    let row = |cell: &&CellReport| RowView {
        cell: cell.id.clone(),
        model: cell.model.clone(),
        usage: usage(cell),
        specialist: cell.specialist,
        in_domain: cell.in_domain,
        samples: count(cell.predicted),
        patients: count(cell.metrics.iter().map(|m| m.patients).max().unwrap_or(0)),
        defects: defects(cell),
        values: group
            .columns
            .iter()
            .zip(&axes)
            .map(|(column, axis)| value(group, cell, column, axis.as_ref(), numbers))
            .collect(),
    };
    GroupView {
        dataset: group.dataset.into(),
        split: group.split.into(),
        task: group.task.to_string(),
        columns: group
            .columns
            .iter()
            .zip(&axes)
            .map(|(column, axis)| ColumnView {
                name: column.name.into(),
                higher_is_better: column.higher_is_better,
                scorer: column.scorer.into(),
                version: column.version.into(),
                ends: axis.as_ref().map(Axis::ends),
            })
            .collect(),
        rows: group.cells.iter().map(row).collect(),
        subgroups: group.cells.iter().flat_map(|cell| subgroup_rows(cell)).collect(),
        roc: curve_figures(group, |cell| &cell.roc),
        precision_recall: curve_figures(group, |cell| &cell.precision_recall),
        calibration: group.cells.iter().filter_map(|cell| calibration_figure(cell)).collect(),
    }
}

fn axis(group: &Group<'_>, column: &Column<'_>) -> Option<Axis> {
    let metrics = group.cells.iter().filter_map(|cell| group.metric(cell, column));
    Axis::around(metrics.flat_map(|m| [m.value, m.low, m.high]).flatten())
}

fn value(
    group: &Group<'_>,
    cell: &CellReport,
    column: &Column<'_>,
    axis: Option<&Axis>,
    numbers: &[NumberView],
) -> Option<ValueView> {
    let metric = group.metric(cell, column)?;
    let same = |n: &NumberView| {
        (&n.cell, &n.metric, &n.scorer, &n.version) == (&cell.id, &metric.name, &metric.scorer, &metric.version)
    };
    Some(ValueView {
        value: number(metric.value),
        interval: interval(metric),
        best: metric.value.is_some() && metric.value == group.best(column),
        strip: metric.value.zip(axis).map(|(value, axis)| axis.strip(value, metric.low, metric.high)),
        number: numbers.iter().position(same)? + 1,
    })
}

fn source(cell: &CellReport, metric: &MetricReport) -> NumberView {
    NumberView {
        cell: cell.id.clone(),
        metric: metric.name.clone(),
        value: number(metric.value),
        interval: interval(metric),
        samples: count(metric.samples),
        patients: count(metric.patients),
        missing: metric.missing,
        failed: metric.failed,
        scorer: metric.scorer.clone(),
        version: metric.version.clone(),
        component: metric.component.clone(),
        lines: metric.lines,
    }
}

fn subtitle(report: &Report) -> String {
    let distinct = |name: fn(&CellReport) -> &str| {
        let mut names: Vec<&str> = report.cells.iter().map(name).collect();
        names.sort_unstable();
        names.dedup();
        names.len()
    };
    [
        counted(distinct(|c| &c.model), "model"),
        counted(distinct(|c| &c.dataset), "dataset"),
        counted(report.cells.len(), "cell"),
        counted(report.cells.iter().map(|c| c.predicted).sum(), "prediction"),
    ]
    .join(" · ")
}

#[cfg(test)]
mod tests;
