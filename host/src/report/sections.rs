//! What the page's template names of the grid and of the findings.

use serde::Serialize;

use super::{
    AgreementReport, CellReport, ComparisonReport, FailureReport, PairReport, PublishedValue, QuestionReport, Report,
    grid::{Grid, GridValue, grids},
    numbers::{bracketed, count, counted, number, p_value, percent, signed},
};

#[derive(Serialize)]
pub(super) struct GridView {
    title: String,
    metric: String,
    higher_is_better: bool,
    scorer: String,
    task: String,
    columns: Vec<GridColumn>,
    rows: Vec<GridRowView>,
    published: bool,
}

#[derive(Serialize)]
struct GridColumn {
    dataset: String,
    split: String,
    published: bool,
}

#[derive(Serialize)]
struct GridRowView {
    model: String,
    usage: String,
    specialist: bool,
    values: Vec<GridCell>,
}

#[derive(Serialize)]
struct GridCell {
    value: Option<String>,
    spread: Option<String>,
    seeds: usize,
    best: bool,
    in_domain: bool,
    published: Option<PublishedView>,
}

#[derive(Serialize)]
struct PublishedView {
    value: String,
    interval: Option<String>,
    note: String,
    doubt: bool,
}

/// A published value of one of the run's cells, with everything that is known of it.
#[derive(Serialize)]
pub(super) struct PublishedRow {
    model: String,
    dataset: String,
    usage: String,
    metric: String,
    value: String,
    interval: Option<String>,
    samples: String,
    source: String,
    doubt: String,
}

#[derive(Serialize)]
pub(super) struct ComparisonView {
    title: String,
    metric: String,
    scorer: String,
    higher_is_better: bool,
    samples: String,
    patients: String,
    pairs: Vec<PairView>,
}

#[derive(Serialize)]
struct PairView {
    a: String,
    b: String,
    value_a: String,
    value_b: String,
    difference: String,
    interval: Option<String>,
    test: String,
    p: String,
    p_holm: String,
    significant: bool,
}

#[derive(Serialize)]
pub(super) struct QuestionView {
    number: u8,
    dataset: String,
    metric: String,
    scorer: String,
    generalist: String,
    specialist: String,
    difference: String,
    interval: Option<String>,
    /// Whether the interval leaves out 0: for the generalist, for the specialist, or for nobody.
    verdict: &'static str,
    patients: String,
}

#[derive(Serialize)]
pub(super) struct AgreementView {
    cell: String,
    scorer: String,
    samples: String,
    alpha: String,
    kappa: String,
    raters: Vec<String>,
    pairs: Vec<[String; 4]>,
}

#[derive(Serialize)]
pub(super) struct FailureView {
    cell: String,
    failed: usize,
    reasons: Vec<(String, String)>,
    listed: Vec<(String, String)>,
    more: usize,
    missing: Vec<String>,
}

/// The grids of the leading metrics.
pub(super) fn grid_views(report: &Report) -> Vec<GridView> {
    grids(report).iter().filter(|grid| grid.leading).map(grid_view).collect()
}

/// The published values of cells that the run has, in the order of the table that they come from.
pub(super) fn published_rows(report: &Report) -> Vec<PublishedRow> {
    let ours = |value: &&PublishedValue| {
        report.cells.iter().any(|cell| {
            (&cell.model, &cell.dataset, cell.task, cell.usage)
                == (&value.model, &value.dataset, value.task, value.usage)
        })
    };
    let row = |value: &PublishedValue| PublishedRow {
        model: value.model.clone(),
        dataset: value.dataset.clone(),
        usage: value.usage.to_string(),
        metric: value.metric.clone(),
        value: number(Some(value.value)),
        interval: bracketed(value.low, value.high),
        samples: value.samples.map(count).unwrap_or_default(),
        source: value.source.clone(),
        doubt: value.doubt.clone(),
    };
    report.published.iter().filter(ours).map(row).collect()
}

pub(super) fn comparison_view(comparison: &ComparisonReport) -> ComparisonView {
    let pair = |pair: &PairReport| PairView {
        a: pair.a.clone(),
        b: pair.b.clone(),
        value_a: number(pair.value_a),
        value_b: number(pair.value_b),
        difference: signed(pair.difference),
        interval: bracketed(pair.low, pair.high),
        test: pair.test.clone(),
        p: p_value(pair.p),
        p_holm: p_value(pair.p_holm),
        significant: pair.p_holm.is_some_and(|p| p < 0.05),
    };
    let ComparisonReport { dataset, split, task, usage, seed, .. } = comparison;
    let seed = if *seed == 0 { String::new() } else { format!(" · seed {seed}") };
    ComparisonView {
        title: format!("{dataset} · {split} · {task} · {usage}{seed}"),
        metric: comparison.metric.clone(),
        scorer: comparison.scorer.clone(),
        higher_is_better: comparison.higher_is_better,
        samples: count(comparison.samples),
        patients: count(comparison.patients),
        pairs: comparison.pairs.iter().map(pair).collect(),
    }
}

pub(super) fn question_view(question: &QuestionReport) -> QuestionView {
    let choice = |choice: &super::Choice| {
        let others = format!(" (best of {} in {} of the draws)", choice.among, percent(choice.share));
        let others = if choice.among > 1 { others } else { String::new() };
        format!("{} · {} {}{others}", choice.model, choice.usage, number(Some(choice.value)))
    };
    QuestionView {
        number: question.number,
        dataset: format!("{} · {}", question.dataset, question.split),
        metric: question.metric.clone(),
        scorer: question.scorer.clone(),
        generalist: choice(&question.generalist),
        specialist: choice(&question.specialist),
        difference: signed(Some(question.difference)),
        interval: bracketed(question.low, question.high),
        verdict: match question.low.zip(question.high) {
            Some((low, _)) if low > 0.0 => "generalist",
            Some((_, high)) if high < 0.0 => "specialist",
            _ => "neither",
        },
        patients: count(question.patients),
    }
}

pub(super) fn agreement_view(agreement: &AgreementReport) -> AgreementView {
    let name = |rater: usize| agreement.raters.get(rater).map(|rater| rater.name.clone()).unwrap_or_default();
    let rater = |rater: &super::RaterReport| {
        format!("{}: {} graded, {} missing", rater.name, count(rater.graded), count(rater.missing))
    };
    let pair = |pair: &super::RaterPair| {
        let names = format!("{} and {}", name(pair.raters.0), name(pair.raters.1));
        [names, count(pair.samples), number(pair.kappa), number(pair.spearman)]
    };
    AgreementView {
        cell: agreement.cell.clone(),
        scorer: agreement.scorer.clone(),
        samples: count(agreement.samples),
        alpha: number(agreement.alpha),
        kappa: number(agreement.kappa),
        raters: agreement.raters.iter().map(rater).collect(),
        pairs: agreement.pairs.iter().map(pair).collect(),
    }
}

/// What failed in a cell; none where nothing did.
pub(super) fn failure_view(cell: &CellReport) -> Option<FailureView> {
    let FailureReport { reasons, listed, missing } = &cell.failures;
    let line = |missing: &super::MissingReport| {
        let unanswered = missing.unanswered.filter(|(missing, _)| *missing > 0);
        let unanswered = unanswered.map(|(missing, all)| format!("; {missing} of {all} requests have no answer"));
        let (samples, more) = (counted(missing.samples, "sample"), missing.samples > missing.listed.len());
        let listed = format!("{}{}", missing.listed.join(", "), if more { ", …" } else { "" });
        format!("{}.{}: {samples}{} ({listed})", missing.scorer, missing.value, unanswered.unwrap_or_default())
    };
    (!cell.failures.is_empty()).then(|| FailureView {
        cell: cell.id.clone(),
        failed: cell.failed,
        reasons: reasons.iter().map(|(reason, n)| (reason.clone(), count(*n))).collect(),
        listed: listed.clone(),
        more: cell.failed.saturating_sub(listed.len()),
        missing: missing.iter().map(line).collect(),
    })
}

fn grid_view(grid: &Grid<'_>) -> GridView {
    let published = |column: usize| grid.rows.iter().any(|row| row.values[column].published.is_some());
    let columns = grid.columns.iter().enumerate().map(|(i, (dataset, split))| GridColumn {
        dataset: dataset.to_string(),
        split: split.to_string(),
        published: published(i),
    });
    let rows = grid.rows.iter().map(|row| GridRowView {
        model: row.model.into(),
        usage: row.usage.to_string(),
        specialist: row.specialist,
        values: row.values.iter().enumerate().map(|(i, value)| grid_cell(value, grid.best(i))).collect(),
    });
    GridView {
        title: format!("{} · {} · {}", grid.task, grid.metric, grid.scorer),
        metric: grid.metric.into(),
        higher_is_better: grid.higher_is_better,
        scorer: grid.scorer.into(),
        task: grid.task.to_string(),
        columns: columns.collect(),
        rows: rows.collect(),
        published: grid.is_published(),
    }
}

fn grid_cell(value: &GridValue<'_>, best: Option<f64>) -> GridCell {
    let mean = value.mean();
    let spread = match value.deviation() {
        Some(sd) => Some(format!("± {}", number(Some(sd)))),
        None => value.interval().and_then(|(low, high)| bracketed(Some(low), Some(high))),
    };
    GridCell {
        value: (!value.seeds.is_empty()).then(|| number(mean)),
        spread,
        seeds: value.seeds.len(),
        best: mean.is_some() && mean == best,
        in_domain: value.in_domain && !value.seeds.is_empty(),
        published: value.published.map(|p| PublishedView {
            value: number(Some(p.value)),
            interval: bracketed(p.low, p.high),
            note: if p.doubt.is_empty() { p.source.clone() } else { format!("{}. Doubts: {}", p.source, p.doubt) },
            doubt: !p.doubt.is_empty(),
        }),
    }
}
