//! The report as one file that needs no network.
//!
//! Tables and figures are drawn here, so that the page reads and prints without scripts; the sample browser is a
//! script over data in the page. Text from data meets HTML in two places only: the template, which escapes it,
//! and the JSON blocks, where no `<` is left. The content security policy forbids every request and every script
//! but the page's own.

use minijinja::{Environment, value};
use serde::Serialize;

use super::{
    CellReport, MetricReport, Report,
    figures::{Axis, CalibrationFigure, RocFigure, Strip, calibration_figure, roc_figures},
    numbers::{count, counted, interval, number},
    samples::{embedded, images},
    subgroups::{SubgroupRow, subgroup_rows},
    summary::{Column, Group, defects, groups, usage},
};
use crate::{
    error::{Error, Result},
    ids::digest,
};

const PAGE: &str = include_str!("page.html");
const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// Writes the page.
pub fn to_html(report: &Report) -> Result<String> {
    let numbers: Vec<NumberView> = report.cells.iter().flat_map(|c| c.metrics.iter().map(|m| source(c, m))).collect();
    let groups: Vec<GroupView> = groups(report).iter().map(|group| view(group, &numbers)).collect();
    let images = images(report);
    let data = embedded(report, &images)?;
    let page = Page {
        title: &report.title,
        subtitle: subtitle(report),
        style: STYLE,
        script: SCRIPT,
        // Whatever the data holds, it cannot hold its own digest.
        nonce: digest(data.as_bytes()),
        alerts: report.cells.iter().filter_map(Alert::of).collect(),
        predictions: count(report.cells.iter().map(|c| c.samples.len()).sum()),
        groups,
        numbers,
        provenance: &report.provenance,
        data,
        images: images.json()?,
    };
    let fail = |e: minijinja::Error| Error::failed(format!("the report page could not be written: {e}"));
    let mut environment = Environment::new();
    environment.add_template("page.html", PAGE).map_err(fail)?;
    let template = environment.get_template("page.html").map_err(fail)?;
    template.render(value::Serde(page)).map_err(fail)
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
    groups: Vec<GroupView>,
    numbers: Vec<NumberView>,
    provenance: &'a [(String, String)],
    data: String,
    images: String,
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
    roc: Vec<RocFigure>,
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
        samples: count(cell.samples.len()),
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
        roc: roc_figures(group),
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
        counted(report.cells.iter().map(|c| c.samples.len()).sum(), "prediction"),
    ]
    .join(" · ")
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::{Report, to_html};
    use crate::report::example;

    const ATTACK: &str = "</script><img src=x onerror=\"alert('&')\"><!--";

    #[test]
    fn the_page_shows_numbers_defects_and_sources() {
        let page = to_html(&example::report()).expect("a page");
        for needed in [
            "<title>Phantom chest films</title>",
            "1 prediction failed, 1 prediction absent, 2 scores missing in accuracy",
            "class=\"best\">0.750</a> <span class=\"interval\">[0.500, 1.000]",
            "points=\"0,300 0,150 150,0 300,0\"",
            "ECE <b>0.062</b>",
            "M <b>0.625</b> <span class=\"interval\">[0.500, 0.750]</span> <span class=\"quiet\">12 patients</span>",
            "unknown <b>too small</b>",
            "<td>0.250 (M to F)</td><td>0.625</td>",
            "<code>5d41402abc4b2a76b9719d911017c592</code>",
            "lines 5 to 8",
            "b1946ac92492d2347c6235b4d2611184",
        ] {
            assert!(page.contains(needed), "{needed} is not in the page");
        }
    }

    #[test]
    fn text_from_data_stays_text() {
        let mut report = example::report();
        report.title = ATTACK.into();
        report.provenance[0].1 = ATTACK.into();
        for cell in &mut report.cells[..2] {
            (cell.id, cell.model, cell.dataset) = (ATTACK.into(), ATTACK.into(), ATTACK.into());
            cell.roc[0].name = ATTACK.into();
            cell.metrics[0].name = ATTACK.into();
            (cell.subgroups[0].group, cell.gaps[0].best) = (ATTACK.into(), ATTACK.into());
            for sample in &mut cell.samples {
                (sample.id, sample.prediction) = (ATTACK.into(), ATTACK.into());
                sample.groups[0] = (ATTACK.into(), ATTACK.into());
            }
        }
        let page = to_html(&report).expect("a page");
        assert!(!page.contains("<img"), "no image element is written into the page");
        assert_eq!(page.matches("</script>").count(), 3);
        assert!(!page.contains("<!--"));
        let cells: Value = serde_json::from_str(block(&page, "data")).expect("JSON");
        assert_eq!(cells[0]["samples"][0]["id"], ATTACK);
        assert_eq!(cells[0]["samples"][0]["prediction"], ATTACK);
    }

    #[test]
    fn an_image_is_written_once_for_all_cells() {
        let page = to_html(&example::report()).expect("a page");
        let images: Vec<String> = serde_json::from_str(block(&page, "images")).expect("JSON");
        assert_eq!(images.len(), 4);
        assert!(images.iter().all(|i| i.starts_with("data:image/jpeg;base64,/9j/")));
        let cells: Value = serde_json::from_str(block(&page, "data")).expect("JSON");
        assert_eq!(cells[0]["samples"][2]["image"], cells[1]["samples"][2]["image"]);
    }

    #[test]
    fn the_page_names_no_address_to_load_from() {
        let page = to_html(&example::report()).expect("a page");
        assert!(!page.contains("http://") && !page.contains("https://"));
        assert!(page.contains("default-src 'none'"));
    }

    #[test]
    fn a_report_without_cells_is_a_page() {
        let page = to_html(&Report { title: "Empty".into(), ..Default::default() }).expect("a page");
        assert!(page.contains("The run has no cells yet."));
    }

    fn block<'a>(page: &'a str, id: &str) -> &'a str {
        let (_, rest) = page.split_once(&format!("id=\"{id}\">")).expect("the block");
        rest.split_once("</script>").expect("its end").0
    }
}
