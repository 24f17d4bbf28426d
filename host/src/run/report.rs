//! Metrics, scores and predictions to `report.html`, `results.json` and `tables/`.
//!
//! Cells are read one at a time and their samples written as they are read, so that a report takes the memory of the largest
//! cell, and of the scores of those that are compared, whatever their number.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use crate::{
    dataset::Access,
    error::{Error, Result},
    report::{self, CellPages, Pages, PicturePages, Report, SampleTable},
    run::{Cell, Plan, leaks, score, to_json, write_atomically},
};

mod agreement;
mod cells;
mod compared;
mod exports;
mod failures;
mod opened;
mod parts;
pub mod published;
mod questions;
mod scores;

pub use exports::{Export, Exported, export};

use compared::Together;
use failures::Failures;
use opened::{Opened, Scorers, Split};
use parts::Place;

/// Longest side of a thumbnail, in pixels.
const THUMBNAIL: u32 = 160;

/// Samples of a split that get a picture; beyond that a report would take longer than what it reports.
const THUMBNAILS: usize = 2000;

/// Predictions of a run that its page holds itself; more are kept beside it.
const EMBEDDED: usize = 5000;

/// How a report is written.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// Show images and texts of credentialed and agreement-bound datasets too.
    pub show_restricted: bool,
}

/// Writes the report of all cells that have metrics; returns the page's path and the terminal's table. `note` hears of work
/// that takes long.
pub fn report(plan: &Plan, options: Options, note: &dyn Fn(&str)) -> Result<(PathBuf, String)> {
    let written = write(plan, options, note)?;
    let page = plan.dir.join("report.html");
    write_atomically(&page, report::to_html(&written.report, &written.pages)?.as_bytes())?;
    let report = &written.report;
    write_atomically(&plan.dir.join("results.json"), &to_json(&report::to_results_json(report))?)?;
    let table = report::to_table(report);
    let tables = [
        ("metrics.txt", table.clone()),
        ("metrics.tex", report::to_latex(report)),
        ("metrics.md", report::to_markdown(report)),
        ("metrics.csv", report::csv::metrics(report)?),
        ("grid.csv", report::csv::grid(report)?),
        ("comparisons.csv", report::csv::comparisons(report)?),
        ("questions.csv", report::csv::questions(report)?),
    ];
    for (name, text) in tables {
        write_atomically(&plan.dir.join("tables").join(name), text.as_bytes())?;
    }
    Ok((page, table))
}

/// The report, and the index of the samples that are written already.
struct Written {
    report: Report,
    pages: Pages,
}

fn write(plan: &Plan, options: Options, note: &dyn Fn(&str)) -> Result<Written> {
    let scored: Vec<(&Cell, score::Metrics)> =
        plan.cells.iter().filter_map(|cell| Some((cell, score::read(&cell.dir(&plan.dir))?))).collect();
    let total: usize = scored.iter().map(|(_, metrics)| metrics.samples).sum();
    let scorers = Scorers::load(scored.iter().map(|(cell, _)| *cell))?;
    let mut place = Place::new(&plan.dir, total > EMBEDDED);
    let tables = plan.dir.join("tables");
    std::fs::create_dir_all(&tables).map_err(Error::io(&tables))?;
    let mut table = Staged::new(&tables.join("samples.parquet"))?;
    let groups = group_columns(scored.iter().map(|(cell, _)| *cell));
    let mut samples = SampleTable::new(table.writer()?, scorers.values(), groups)?;
    let mut failures = Failures::new(Staged::new(&tables.join("failures.csv"))?)?;
    let (mut cells, mut indices) = (BTreeMap::new(), BTreeMap::new());
    let mut findings = report::Findings::default();
    for (number, members) in splits(&scored).into_iter().enumerate() {
        let split = Split::open(members[0].1, plan.suite.limit)?;
        let shown = options.show_restricted || split.manifest().access == Access::Open;
        if shown {
            pictures(&split, number, &mut place)?;
        }
        findings.notes.extend(restriction(&split, shown));
        let mut together = Together::new(plan, &split);
        for (position, cell, metrics) in members {
            let opened = Opened::read(cell, metrics, &split, &plan.dir, &scorers)?;
            let mut report = cells::cell_report(&opened, plan, &scorers);
            report.restricted = !shown;
            let mut pages = CellPages::new(position, split.length(), opened.classes());
            let mut failed = failures.of(&report);
            opened.samples(shown, |sample| {
                pages.push(&sample, &mut place)?;
                samples.push(&report, &sample)?;
                failed.push(&sample)
            })?;
            report.failures = failed.finish(metrics);
            indices.insert(position, pages.finish(&mut place)?);
            findings.agreement.extend(agreement::agreement(&opened, plan)?);
            together.push(&opened);
            cells.insert(position, report);
        }
        together.compare(&scorers, &mut findings, note)?;
    }
    samples.finish()?;
    table.keep()?;
    failures.keep()?;
    let title = if plan.suite.title.is_empty() { &plan.suite.name } else { &plan.suite.title };
    let report = Report {
        title: title.clone(),
        provenance: provenance(plan),
        resamples: plan.suite.bootstrap.resamples,
        level: plan.suite.bootstrap.level,
        cells: cells.into_values().collect(),
        findings,
        published: published::read(&plan.suite)?,
    };
    Ok(Written { report, pages: place.finish(indices.into_values().collect())? })
}

/// The scored cells with their positions, those that answer the same samples together.
fn splits<'a>(scored: &'a [(&'a Cell, score::Metrics)]) -> Vec<Vec<(usize, &'a Cell, &'a score::Metrics)>> {
    let mut splits: Vec<Vec<(usize, &Cell, &score::Metrics)>> = Vec::new();
    for (position, (cell, metrics)) in scored.iter().enumerate() {
        let same = |members: &&mut Vec<(usize, &Cell, &score::Metrics)>| {
            let id = &members[0].1.id;
            (&id.dataset, &id.split, id.task) == (&cell.id.dataset, &cell.id.split, cell.id.task)
        };
        match splits.iter_mut().find(same) {
            Some(members) => members.push((position, cell, metrics)),
            None => splits.push(vec![(position, cell, metrics)]),
        }
    }
    splits
}

/// What a reader must know of samples that may not be passed on.
fn restriction(split: &Split, shown: bool) -> Option<String> {
    let manifest = split.manifest();
    let terms = format!("the terms of {} keep its samples from being passed on", manifest.id);
    (manifest.access != Access::Open).then(|| match shown {
        true => format!("This report must stay where it is: {terms}."),
        false => format!(
            "Images, questions and answers are withheld: {terms}. `medvlm report --show-restricted` shows them."
        ),
    })
}

fn pictures(split: &Split, number: usize, place: &mut Place) -> Result<()> {
    let mut pages = PicturePages::new(number);
    for chunk in split.samples().chunks(256).take(THUMBNAILS.div_ceil(256)) {
        for (index, picture) in split.thumbnails(chunk, THUMBNAIL, THUMBNAILS as u32) {
            pages.push(index, picture.as_deref(), place)?;
        }
    }
    pages.finish(place)
}

fn group_columns<'a>(cells: impl Iterator<Item = &'a Cell>) -> Vec<String> {
    let mut columns: Vec<String> = Vec::new();
    for column in cells.flat_map(|cell| &cell.manifest.fields.groups) {
        if !columns.contains(column) {
            columns.push(column.clone());
        }
    }
    columns
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

/// A file that appears when it is complete.
struct Staged {
    file: tempfile::NamedTempFile,
    path: PathBuf,
}

impl Staged {
    fn new(path: &Path) -> Result<Self> {
        use std::os::unix::fs::PermissionsExt;
        let dir = path.parent().unwrap_or(Path::new("."));
        let mode = std::fs::Permissions::from_mode(0o666);
        let file = tempfile::Builder::new().permissions(mode).tempfile_in(dir).map_err(Error::io(dir))?;
        Ok(Self { file, path: path.into() })
    }

    fn writer(&mut self) -> Result<std::io::BufWriter<std::fs::File>> {
        Ok(std::io::BufWriter::new(self.file.reopen().map_err(Error::io(&self.path))?))
    }

    fn keep(self) -> Result<()> {
        self.file.persist(&self.path).map_err(|e| Error::Io { path: self.path.clone(), source: e.error })?;
        Ok(())
    }
}
