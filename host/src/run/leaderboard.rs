//! Submissions to a leaderboard: each is verified, and only what is valid is ranked.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use crate::{
    error::{Error, Result},
    ids::CellId,
    run::{
        submit::{CellVerdict, Checked, Options, Verdict, verify},
        write_atomically,
    },
    submission::{Board, Division, Entry, Number, Rejected, write_site},
};

/// The submissions that paths name: archives, and those in directories.
pub fn find(paths: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut found = BTreeSet::new();
    for path in paths {
        if path.is_dir() {
            let entries = fs::read_dir(path).map_err(Error::io(path))?.flatten().map(|entry| entry.path());
            found.extend(entries.filter(|path| path.extension().is_some_and(|extension| extension == "zip")));
        } else if path.is_file() {
            found.insert(path.clone());
        } else {
            return Err(Error::usage(format!("{}: neither a submission nor a directory of some", path.display())));
        }
    }
    Ok(found.into_iter().collect())
}

/// Verifies every submission; `told` hears of each. A file that was seen already, under whatever name, counts once.
pub fn board(title: String, paths: &[PathBuf], options: &Options, told: impl Fn(&Path, &Verdict)) -> Result<Board> {
    let mut board = Board { title, ..Board::default() };
    let mut seen = BTreeSet::new();
    for path in paths {
        let verdict = verify(path, options)?;
        told(path, &verdict);
        if !seen.insert(verdict.archive.clone()) {
            continue;
        }
        let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        match verdict.division.filter(|_| verdict.valid) {
            Some(division) => board.entries.push(entry(file, division, verdict)?),
            None => board.rejected.push(Rejected { file, archive: verdict.archive, violations: verdict.violations }),
        }
    }
    Ok(board)
}

/// Writes the site into a directory.
pub fn write(board: &Board, dir: &Path) -> Result<()> {
    write_site(board, |name, bytes| write_atomically(&dir.join(name), bytes))
}

fn entry(file: String, division: Division, verdict: Verdict) -> Result<Entry> {
    let mut numbers = Vec::new();
    for cell in &verdict.cells {
        numbers.extend(of_cell(cell)?);
    }
    Ok(Entry {
        file,
        archive: verdict.archive,
        division,
        submitter: verdict.submitter,
        contact: verdict.contact,
        note: verdict.note,
        suite: verdict.suite,
        signed: verdict.signed,
        notes: verdict.notes,
        numbers,
    })
}

fn of_cell(cell: &CellVerdict) -> Result<Vec<Number>> {
    let id: CellId = cell.cell.parse()?;
    let Some(metrics) = &cell.metrics else { return Ok(Vec::new()) };
    let mut numbers = Vec::new();
    for scorer in &metrics.scorers {
        let checked = match (cell.checked, cell.with_data) {
            (Checked::HashesOnly, _) => "hashes only",
            _ if !cell.rescored.contains(&scorer.id) => "hashes only",
            (_, true) => "with data",
            (_, false) => "re-scored",
        };
        numbers.extend(scorer.metrics.iter().map(|metric| Number {
            cell: cell.cell.clone(),
            model: id.model.clone(),
            data: format!("{}.{}", id.dataset, id.split),
            task: id.task.to_string(),
            usage: id.usage.to_string(),
            seed: id.seed,
            scorer: scorer.id.clone(),
            version: scorer.version.clone(),
            metric: metric.name.clone(),
            value: metric.value,
            low: metric.low,
            high: metric.high,
            higher_is_better: metric.higher_is_better,
            samples: metrics.samples,
            failed: metrics.failed,
            checked,
        }));
    }
    Ok(numbers)
}
