//! The pages. Text from submissions meets HTML in the templates only, which escape it; the content security policy forbids
//! every request, and every script but the page's own.

use std::collections::BTreeMap;

use minijinja::{Environment, value};
use serde::Serialize;

use super::{Board, Entry, Key, Number, Ranked, Rejected, page_name};
use crate::{
    error::{Error, Result},
    ids::digest,
    submission::Division,
};

const INDEX: &str = include_str!("index.html");
const ENTRY: &str = include_str!("entry.html");
const STYLE: &str = include_str!("board.css");
const SCRIPT: &str = include_str!("board.js");

/// The page that compares.
pub fn index(board: &Board, groups: &BTreeMap<Key, Vec<Ranked<'_>>>, results: &[u8]) -> Result<String> {
    let divisions = [Division::Closed, Division::Open].map(|division| DivisionView {
        name: division.to_string(),
        submissions: board.entries.iter().filter(|entry| entry.division == division).count(),
        tables: groups.iter().filter(|(key, _)| key.division == division).map(TableView::of).collect(),
    });
    let entries = board.entries.iter().map(|entry| Link {
        page: page_name(&entry.archive),
        submitter: named(entry),
        file: entry.file.clone(),
        division: entry.division.to_string(),
    });
    render(
        "index.html",
        &Index {
            title: &board.title,
            style: STYLE,
            script: SCRIPT,
            // Whatever a submission says, it cannot say the digest of all of them.
            nonce: digest(results),
            divisions: divisions.into(),
            entries: entries.collect(),
            rejected: &board.rejected,
        },
    )
}

/// The page of one submission.
pub fn entry(entry: &Entry) -> Result<String> {
    let numbers = entry.numbers.iter().filter(|number| number.value.is_some()).map(NumberView::of).collect();
    render("entry.html", &EntryPage { style: STYLE, title: named(entry), entry, numbers })
}

#[derive(Serialize)]
struct Index<'a> {
    title: &'a str,
    style: &'static str,
    script: &'static str,
    nonce: String,
    divisions: Vec<DivisionView>,
    entries: Vec<Link>,
    rejected: &'a [Rejected],
}

#[derive(Serialize)]
struct DivisionView {
    name: String,
    submissions: usize,
    tables: Vec<TableView>,
}

#[derive(Serialize)]
struct TableView {
    suite: String,
    task: String,
    data: String,
    metric: String,
    scorer: String,
    version: String,
    higher_is_better: bool,
    rows: Vec<RowView>,
}

#[derive(Serialize)]
struct RowView {
    rank: String,
    page: String,
    submitter: String,
    #[serde(flatten)]
    number: NumberView,
}

#[derive(Serialize)]
struct NumberView {
    cell: String,
    model: String,
    usage: String,
    seed: u64,
    task: String,
    data: String,
    scorer: String,
    version: String,
    metric: String,
    value: String,
    interval: String,
    samples: usize,
    failed: usize,
    checked: &'static str,
}

#[derive(Serialize)]
struct Link {
    page: String,
    submitter: String,
    file: String,
    division: String,
}

#[derive(Serialize)]
struct EntryPage<'a> {
    style: &'static str,
    title: String,
    entry: &'a Entry,
    numbers: Vec<NumberView>,
}

impl TableView {
    fn of((key, rows): (&Key, &Vec<Ranked<'_>>)) -> Self {
        let row = |row: &Ranked<'_>| RowView {
            rank: row.rank.map_or_else(|| "–".into(), |rank| rank.to_string()),
            page: row.page.clone(),
            submitter: row.submitter.into(),
            number: NumberView::of(row.number),
        };
        Self {
            suite: key.suite.clone(),
            task: key.task.clone(),
            data: key.data.clone(),
            metric: key.metric.clone(),
            scorer: key.scorer.clone(),
            version: key.version.clone(),
            higher_is_better: rows.first().is_none_or(|row| row.number.higher_is_better),
            rows: rows.iter().map(row).collect(),
        }
    }
}

impl NumberView {
    fn of(number: &Number) -> Self {
        let show = |value: f64| format!("{value:.4}");
        let interval = number.low.zip(number.high).map(|(low, high)| format!("{} to {}", show(low), show(high)));
        Self {
            cell: number.cell.clone(),
            model: number.model.clone(),
            usage: number.usage.clone(),
            seed: number.seed,
            task: number.task.clone(),
            data: number.data.clone(),
            scorer: number.scorer.clone(),
            version: number.version.clone(),
            metric: number.metric.clone(),
            value: number.value.map_or_else(|| "–".into(), show),
            interval: interval.unwrap_or_default(),
            samples: number.samples,
            failed: number.failed,
            checked: number.checked,
        }
    }
}

fn named(entry: &Entry) -> String {
    if entry.submitter.is_empty() { entry.file.clone() } else { entry.submitter.clone() }
}

fn render(name: &str, page: &impl Serialize) -> Result<String> {
    let failed = |e: minijinja::Error| Error::failed(format!("the leaderboard could not be written: {e}"));
    let mut environment = Environment::new();
    for (name, text) in [("index.html", INDEX), ("entry.html", ENTRY)] {
        environment.add_template(name, text).map_err(failed)?;
    }
    environment.get_template(name).and_then(|template| template.render(value::Serde(page))).map_err(failed)
}
