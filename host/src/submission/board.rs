//! Submissions side by side, as a static site: `index.html`, one page a submission, `results.json` and `results.csv`.
//!
//! Numbers are compared where they measure the same: one division, suite, task, dataset split, scorer version and metric. A
//! rank counts the rows that are better beyond doubt, whose interval lies wholly above; so rows whose intervals overlap share
//! the better rank.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{index::Division, rules::Violation};
use crate::error::{Error, Result};

mod page;

/// Everything that a site shows.
#[derive(Debug, Default, Serialize)]
pub struct Board {
    /// Heading.
    pub title: String,
    /// Valid submissions.
    pub entries: Vec<Entry>,
    /// Files that are none, with the rules that they break.
    pub rejected: Vec<Rejected>,
}

/// A valid submission.
#[derive(Debug, Serialize)]
pub struct Entry {
    /// Name of its file.
    pub file: String,
    /// Digest of its archive.
    pub archive: String,
    /// Its division.
    pub division: Division,
    /// Who submits.
    pub submitter: String,
    /// How to reach them.
    pub contact: String,
    /// What they say.
    pub note: String,
    /// Name of the suite.
    pub suite: String,
    /// Trusted comment of a signature that was checked.
    pub signed: Option<String>,
    /// What could not be checked, and why.
    pub notes: Vec<String>,
    /// Its numbers.
    pub numbers: Vec<Number>,
}

/// One metric of one cell.
#[derive(Debug, Clone, Serialize)]
pub struct Number {
    /// Name of the cell.
    pub cell: String,
    /// The model.
    pub model: String,
    /// Dataset and split.
    pub data: String,
    /// The task.
    pub task: String,
    /// How the model is used.
    pub usage: String,
    /// The seed.
    pub seed: u64,
    /// Name of the scorer.
    pub scorer: String,
    /// Its version.
    pub version: String,
    /// Name of the metric.
    pub metric: String,
    /// The value, where it is defined.
    pub value: Option<f64>,
    /// Lower end of the interval.
    pub low: Option<f64>,
    /// Upper end of the interval.
    pub high: Option<f64>,
    /// Direction.
    pub higher_is_better: bool,
    /// Samples of the split.
    pub samples: usize,
    /// Samples without an answer.
    pub failed: usize,
    /// `with data`, `re-scored` or `hashes only`.
    pub checked: &'static str,
}

/// A file that is no valid submission.
#[derive(Debug, Serialize)]
pub struct Rejected {
    /// Name of the file.
    pub file: String,
    /// Digest of its bytes.
    pub archive: String,
    /// What is wrong.
    pub violations: Vec<Violation>,
}

/// Numbers that compare.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    division: Division,
    suite: String,
    task: String,
    data: String,
    scorer: String,
    version: String,
    metric: String,
}

/// A number with its rank among those that it compares with.
#[derive(Debug, Serialize)]
struct Ranked<'a> {
    rank: Option<usize>,
    submitter: &'a str,
    division: Division,
    suite: &'a str,
    page: String,
    #[serde(flatten)]
    number: &'a Number,
}

/// Hands over every file of the site, by its name.
pub fn write_site(board: &Board, mut write: impl FnMut(&str, &[u8]) -> Result<()>) -> Result<()> {
    let groups = groups(board);
    let failed = |e: serde_json::Error| Error::failed(e.to_string());
    let ranked: Vec<&Ranked> = groups.values().flatten().collect();
    let results = serde_json::json!({ "title": board.title, "numbers": ranked, "entries": board.entries, "rejected": board.rejected });
    let mut json = serde_json::to_vec_pretty(&results).map_err(failed)?;
    json.push(b'\n');
    write("results.csv", &table(&ranked)?)?;
    write("index.html", page::index(board, &groups, &json)?.as_bytes())?;
    for entry in &board.entries {
        write(&page_name(&entry.archive), page::entry(entry)?.as_bytes())?;
    }
    write("results.json", &json)
}

fn page_name(archive: &str) -> String {
    format!("submissions/{}.html", archive.get(..16).unwrap_or(archive))
}

fn groups(board: &Board) -> BTreeMap<Key, Vec<Ranked<'_>>> {
    let mut groups: BTreeMap<Key, Vec<Ranked>> = BTreeMap::new();
    for entry in &board.entries {
        for number in &entry.numbers {
            let key = Key {
                division: entry.division,
                suite: entry.suite.clone(),
                task: number.task.clone(),
                data: number.data.clone(),
                scorer: number.scorer.clone(),
                version: number.version.clone(),
                metric: number.metric.clone(),
            };
            groups.entry(key).or_default().push(Ranked {
                rank: None,
                submitter: &entry.submitter,
                division: entry.division,
                suite: &entry.suite,
                page: page_name(&entry.archive),
                number,
            });
        }
    }
    groups.retain(|_, rows| rows.iter().any(|row| row.number.value.is_some()));
    for rows in groups.values_mut() {
        let ranks: Vec<Option<usize>> = rows.iter().map(|row| rank(row.number, rows)).collect();
        rows.iter_mut().zip(ranks).for_each(|(row, rank)| row.rank = rank);
        let order = |row: &Ranked| (row.rank.unwrap_or(usize::MAX), goodness(row.number.value, row.number));
        rows.sort_by(|a, b| {
            let (a_key, b_key) = (order(a), order(b));
            let names = |row: &Ranked| (row.number.cell.clone(), row.page.clone());
            a_key.0.cmp(&b_key.0).then(b_key.1.total_cmp(&a_key.1)).then_with(|| names(a).cmp(&names(b)))
        });
    }
    groups
}

/// One more than the rows that are better beyond doubt; none without a value.
fn rank(own: &Number, rows: &[Ranked]) -> Option<usize> {
    own.value?;
    let best = best_end(own);
    Some(1 + rows.iter().filter(|row| row.number.value.is_some() && worst_end(row.number) > best).count())
}

/// A value that is greater where it is better.
fn goodness(value: Option<f64>, number: &Number) -> f64 {
    let value = value.unwrap_or(f64::NEG_INFINITY);
    if number.higher_is_better { value } else { -value }
}

fn best_end(number: &Number) -> f64 {
    goodness(if number.higher_is_better { number.high } else { number.low }.or(number.value), number)
}

fn worst_end(number: &Number) -> f64 {
    goodness(if number.higher_is_better { number.low } else { number.high }.or(number.value), number)
}

fn table(rows: &[&Ranked]) -> Result<Vec<u8>> {
    let failed = |e: csv::Error| Error::failed(e.to_string());
    let mut writer = csv::Writer::from_writer(Vec::new());
    let head = [
        "division",
        "suite",
        "task",
        "data",
        "scorer",
        "version",
        "metric",
        "rank",
        "model",
        "usage",
        "seed",
        "submitter",
        "value",
        "low",
        "high",
        "samples",
        "failed",
        "checked",
        "page",
    ];
    writer.write_record(head).map_err(failed)?;
    let show = |value: Option<f64>| value.map_or_else(String::new, |value| value.to_string());
    for row in rows {
        let n = row.number;
        let fields = [
            row.division.to_string(),
            plain(row.suite),
            plain(&n.task),
            plain(&n.data),
            plain(&n.scorer),
            plain(&n.version),
            plain(&n.metric),
            row.rank.map_or_else(String::new, |rank| rank.to_string()),
            plain(&n.model),
            plain(&n.usage),
            n.seed.to_string(),
            plain(row.submitter),
            show(n.value),
            show(n.low),
            show(n.high),
            n.samples.to_string(),
            n.failed.to_string(),
            n.checked.into(),
            row.page.clone(),
        ];
        writer.write_record(fields).map_err(failed)?;
    }
    writer.into_inner().map_err(|e| Error::failed(e.to_string()))
}

/// A text that no spreadsheet takes for a formula.
fn plain(text: &str) -> String {
    if text.starts_with(['=', '+', '-', '@', '\t', '\r']) { format!("'{text}") } else { text.into() }
}

#[cfg(test)]
mod tests;
