//! The results of a run in the layouts of others, below `exports/`.

use std::{
    collections::BTreeMap,
    io::{BufWriter, Write},
    path::{Path, PathBuf},
    time::UNIX_EPOCH,
};

use serde_json::Value;
use sha2::{Digest, Sha256};

use super::{
    Options, Staged, cells,
    opened::{Opened, Scorers, Split},
};
use crate::{
    dataset::Access,
    error::{Error, Result},
    report::{CellReport, Report, every_eval_ever, hub, lm_eval},
    run::{Catalogs, Cell, Plan, score, to_json, write_atomically},
};

/// A layout of others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Export {
    /// lm-evaluation-harness: exports/lm-eval/MODEL/results.json, and samples_TASK.jsonl beside it
    LmEval,
    /// Every Eval Ever 0.3.0: exports/every-eval-ever/data/…, as its datastore has them
    EveryEvalEver,
    /// Hugging Face: exports/hf/MODEL/.eval_results/TASK.yaml, to be added to the model's repository
    Hf,
}

/// What an export wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exported {
    /// Its folder.
    pub folder: PathBuf,
    /// Number of files.
    pub files: usize,
    /// Datasets that the layout cannot name.
    pub left_out: Vec<String>,
}

/// Writes one layout, in place of what is there of it.
pub fn export(plan: &Plan, catalogs: &Catalogs, layout: Export, options: Options) -> Result<Exported> {
    let folder = plan.dir.join("exports").join(match layout {
        Export::LmEval => "lm-eval",
        Export::EveryEvalEver => "every-eval-ever",
        Export::Hf => "hf",
    });
    let scored: Vec<(&Cell, score::Metrics)> =
        plan.cells.iter().filter_map(|cell| Some((cell, score::read(&cell.dir(&plan.dir))?))).collect();
    let scorers = Scorers::load(scored.iter().map(|(cell, _)| *cell))?;
    let title = if plan.suite.title.is_empty() { &plan.suite.name } else { &plan.suite.title };
    let bootstrap = &plan.suite.bootstrap;
    let mut report =
        Report { title: title.clone(), resamples: bootstrap.resamples, level: bootstrap.level, ..Default::default() };
    if folder.exists() {
        std::fs::remove_dir_all(&folder).map_err(Error::io(&folder))?;
    }
    let (mut files, mut left_out) = (0, Vec::new());
    for (cell, metrics) in &scored {
        if layout == Export::Hf && cell.manifest.hub.is_none() {
            left_out.push(cell.id.dataset.clone());
            continue;
        }
        let split = Split::open(cell, plan.suite.limit)?;
        let shown = options.show_restricted || split.manifest().access == Access::Open;
        let opened = Opened::read(cell, metrics, &split, &plan.dir, &scorers)?;
        let of_cell = cells::cell_report(&opened, plan, &scorers);
        files += match layout {
            Export::LmEval => lm_eval_samples(&folder, &opened, &of_cell, shown)?,
            Export::EveryEvalEver => {
                record(&folder, &opened, &report, &of_cell, &origin(plan, catalogs, cell)?, shown)?
            }
            Export::Hf => eval_results(&folder, cell, &of_cell)?,
        };
        report.cells.push(of_cell);
    }
    if layout == Export::LmEval {
        files += lm_eval_results(&folder, &report)?;
    }
    left_out.sort_unstable();
    left_out.dedup();
    Ok(Exported { folder, files, left_out })
}

fn lm_eval_samples(folder: &Path, opened: &Opened<'_>, cell: &CellReport, shown: bool) -> Result<usize> {
    let path = folder.join(&cell.model).join(format!("samples_{}.jsonl", lm_eval::task(cell)));
    let mut lines = Lines::new(&path)?;
    opened.samples(shown, |sample| lines.push(&lm_eval::sample(cell, &sample)))?;
    lines.keep(&path)?;
    Ok(1)
}

fn lm_eval_results(folder: &Path, report: &Report) -> Result<usize> {
    let mut models: BTreeMap<&str, Vec<&CellReport>> = BTreeMap::new();
    for cell in &report.cells {
        models.entry(&cell.model).or_default().push(cell);
    }
    for (model, cells) in &models {
        let results = Value::Object(lm_eval::results(report, cells, &lm_eval::task));
        write_atomically(&folder.join(model).join("results.json"), &to_json(&results)?)?;
    }
    Ok(models.len())
}

fn record(
    folder: &Path,
    opened: &Opened<'_>,
    report: &Report,
    cell: &CellReport,
    origin: &every_eval_ever::Origin,
    shown: bool,
) -> Result<usize> {
    let name = every_eval_ever::path(report, cell, origin);
    let samples = format!("{name}_samples.jsonl");
    let path = folder.join(&samples);
    let mut lines = Lines::new(&path)?;
    opened.samples(shown, |sample| {
        every_eval_ever::samples(cell, &sample, origin).iter().try_for_each(|line| lines.push(line))
    })?;
    let (count, checksum) = lines.keep(&path)?;
    let companion = (count > 0).then_some((samples.as_str(), count, checksum.as_str()));
    if companion.is_none() {
        std::fs::remove_file(&path).map_err(Error::io(&path))?;
    }
    let record = every_eval_ever::record(report, cell, origin, companion);
    write_atomically(&folder.join(format!("{name}.json")), &to_json(&record)?)?;
    Ok(1 + usize::from(count > 0))
}

fn eval_results(folder: &Path, cell: &Cell, report: &CellReport) -> Result<usize> {
    let Some(place) = &cell.manifest.hub else { return Ok(0) };
    let place = hub::Place { repo: place.repo.clone(), revision: place.revision.clone() };
    let name = format!("{}.yaml", lm_eval::task(report));
    let path = folder.join(&report.model).join(".eval_results").join(name);
    write_atomically(&path, hub::eval_results(report, &place).as_bytes())?;
    Ok(1)
}

/// What is known of a cell's model and dataset beyond the run.
fn origin(plan: &Plan, catalogs: &Catalogs, cell: &Cell) -> Result<every_eval_ever::Origin> {
    let row = catalogs.models.find(&cell.id.model).ok().map(|(row, _)| row);
    let hub = row.as_ref().and_then(|row| row.weights.as_deref()?.strip_prefix("hf:").map(String::from));
    let title = row.as_ref().map(|row| row.title.clone()).filter(|title| !title.is_empty());
    let judge = |judge: &crate::run::granted::JudgeRecord| format!("{} at {}", judge.model, judge.endpoint);
    Ok(every_eval_ever::Origin {
        remote: row.as_ref().is_some_and(|row| row.is_remote()),
        open_weights: hub.is_some(),
        // The schema wants a developer; where no repository names one, the model stands for itself.
        model: hub.unwrap_or_else(|| format!("{0}/{0}", cell.id.model)),
        title: title.unwrap_or_else(|| cell.id.model.clone()),
        hub: cell.manifest.hub.as_ref().map(|hub| hub.repo.clone()),
        judges: plan.judges.iter().map(judge).collect(),
        timestamp: timestamp(&plan.dir)?,
    })
}

/// When the run was planned, so that the same run gives the same records; `$SOURCE_DATE_EPOCH` where it is set.
fn timestamp(run: &Path) -> Result<u64> {
    if let Ok(text) = std::env::var("SOURCE_DATE_EPOCH") {
        return text.parse().map_err(|_| Error::usage(format!("SOURCE_DATE_EPOCH={text}: no number of seconds")));
    }
    let path = run.join("run.json");
    let modified = std::fs::metadata(&path).and_then(|metadata| metadata.modified()).map_err(Error::io(&path))?;
    Ok(modified.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()))
}

/// A file of JSON lines that appears when it is complete.
struct Lines {
    file: Staged,
    out: BufWriter<std::fs::File>,
    count: usize,
    digest: Sha256,
}

impl Lines {
    fn new(path: &Path) -> Result<Self> {
        let dir = path.parent().unwrap_or(Path::new("."));
        std::fs::create_dir_all(dir).map_err(Error::io(dir))?;
        let mut file = Staged::new(path)?;
        Ok(Self { out: file.writer()?, file, count: 0, digest: Sha256::new() })
    }

    fn push(&mut self, line: &Value) -> Result<()> {
        let text = format!("{line}\n");
        self.digest.update(&text);
        self.count += 1;
        self.out.write_all(text.as_bytes()).map_err(|e| Error::failed(format!("the export: {e}")))
    }

    /// The number of lines, and the SHA-256 of the file.
    fn keep(mut self, path: &Path) -> Result<(usize, String)> {
        self.out.flush().map_err(Error::io(path))?;
        self.file.keep()?;
        Ok((self.count, self.digest.finalize().iter().map(|b| format!("{b:02x}")).collect()))
    }
}
