//! `medvlm run`, `score` and `report`.

use std::path::PathBuf;

use clap::Args;

use super::{ModelArgs, catalogs, catch_interrupts, key_value, progress::Progress};
use crate::{
    config::{SearchPath, Suite},
    error::{COMPLETE, Error, INCOMPLETE, Result},
    model::Place,
    run::{self, Catalogs, Observer, Plan, RunRecord, Settings, plan, predict, record, report, score},
    scorer::Engine,
};

/// Arguments of `medvlm run`.
#[derive(Args)]
pub struct RunArgs {
    /// The suite: which models on which datasets
    suite: PathBuf,
    /// Run directory [default: runs/<name of the suite>]; what it already holds is not predicted again
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Checkpoint directory of a model, instead of the one its row names
    #[arg(long = "weights", value_name = "MODEL=DIR", value_parser = key_value)]
    weights: Vec<(String, PathBuf)>,
    /// Directory of a dataset's local copy
    #[arg(long = "root", value_name = "DATASET=DIR", value_parser = key_value)]
    roots: Vec<(String, PathBuf)>,
    /// At most this many samples of each split
    #[arg(long, value_name = "N")]
    limit: Option<u32>,
    /// Samples in a batch
    #[arg(long, default_value_t = 32, value_name = "N")]
    batch_size: usize,
    /// A trained adapter (a cell's `adapter` directory) to evaluate instead of training one
    #[arg(long, value_name = "DIR")]
    adapter: Option<PathBuf>,
    #[command(flatten)]
    model: ModelArgs,
    /// Predict cells anew that were made from other inputs (another model, dataset or device); the old ones go to DIR/stale
    #[arg(long)]
    redo: bool,
    /// Only predict; score later with `medvlm score`
    #[arg(long)]
    predict_only: bool,
    /// Print results.json on standard output instead of the table
    #[arg(long)]
    json: bool,
}

/// Arguments of `medvlm score`.
#[derive(Args)]
pub struct ScoreArgs {
    /// The run directory
    run: PathBuf,
    /// Directory of a dataset's local copy
    #[arg(long = "root", value_name = "DATASET=DIR", value_parser = key_value)]
    roots: Vec<(String, PathBuf)>,
    /// Print results.json on standard output instead of the table
    #[arg(long)]
    json: bool,
}

/// Arguments of `medvlm report`.
#[derive(Args)]
pub struct ReportArgs {
    /// The run directory
    run: PathBuf,
    /// Directory of a dataset's local copy
    #[arg(long = "root", value_name = "DATASET=DIR", value_parser = key_value)]
    roots: Vec<(String, PathBuf)>,
    /// Print results.json on standard output instead of the table
    #[arg(long)]
    json: bool,
}

impl RunArgs {
    /// Predicts, scores and reports.
    pub fn run(self, search: &SearchPath) -> Result<u8> {
        catch_interrupts()?;
        let mut suite = Suite::read(&self.suite)?;
        apply_roots(&mut suite, &self.roots)?;
        for (model, dir) in self.weights {
            if !suite.models.contains(&model) {
                return Err(Error::usage(format!("--weights {model}=…: the suite has no model `{model}`")));
            }
            suite.weights.insert(model, dir);
        }
        suite.limit = self.limit.unwrap_or(suite.limit);
        let dir = self.out.unwrap_or_else(|| PathBuf::from("runs").join(&suite.name));
        let settings = Settings { adapter: self.adapter, ..self.model.settings(self.batch_size)? };
        let plan = plan::plan(suite, &catalogs(search)?, settings, dir)?;
        record::write(&plan, self.redo)?;

        let progress = Progress::new(plan.cells.len());
        let mut failed = 0;
        for cell in &plan.cells {
            failed += predict::predict(cell, &plan.dir, plan.suite.limit, &plan.settings, &progress)?.failed;
        }
        if self.predict_only {
            eprintln!("predictions are in {}", plan.dir.display());
            return Ok(exit_code(failed));
        }
        score_cells(&plan, &progress)?;
        drop(progress);
        show(&plan, self.json)?;
        Ok(exit_code(failed))
    }
}

impl ScoreArgs {
    /// Scores what is predicted, and reports.
    pub fn run(self, search: &SearchPath) -> Result<u8> {
        catch_interrupts()?;
        let plan = recorded(&catalogs(search)?, self.run, &self.roots)?;
        score_cells(&plan, &Progress::new(plan.cells.len()))?;
        show(&plan, self.json)
    }
}

impl ReportArgs {
    /// Reports what is scored.
    pub fn run(self, search: &SearchPath) -> Result<u8> {
        let plan = recorded(&catalogs(search)?, self.run, &self.roots)?;
        show(&plan, self.json)
    }
}

fn score_cells(plan: &Plan, progress: &Progress) -> Result<()> {
    let engine = Engine::new(run::cache_dir().map(|dir| dir.join("scorers")))?;
    for cell in &plan.cells {
        run::check_interrupt()?;
        let metrics = score::score(cell, &plan.dir, plan.suite.limit, &plan.suite.bootstrap, &engine)?;
        if metrics.samples < metrics.expected {
            progress
                .note(&format!("{}: only {} of {} samples are predicted", cell.id, metrics.samples, metrics.expected));
        }
    }
    Ok(())
}

fn recorded(catalogs: &Catalogs, dir: PathBuf, roots: &[(String, PathBuf)]) -> Result<Plan> {
    let mut record = RunRecord::read(&dir)?;
    apply_roots(&mut record.suite, roots)?;
    let settings = Settings {
        place: Place::InProcess,
        device: record.device.clone(),
        dtype: record.dtype.clone(),
        batch_size: 1,
        adapter: None,
    };
    plan::plan_scoring(&record, catalogs, settings, dir)
}

fn apply_roots(suite: &mut Suite, roots: &[(String, PathBuf)]) -> Result<()> {
    for (id, root) in roots {
        let mut named = suite.datasets.iter_mut().filter(|d| d.id == *id).peekable();
        if named.peek().is_none() {
            return Err(Error::usage(format!("--root {id}=…: the suite has no dataset `{id}`")));
        }
        named.for_each(|dataset| dataset.root = Some(root.clone()));
    }
    Ok(())
}

fn show(plan: &Plan, json: bool) -> Result<u8> {
    let (page, table) = report::report(plan)?;
    if json {
        let path = plan.dir.join("results.json");
        print!("{}", std::fs::read_to_string(&path).map_err(Error::io(&path))?);
    } else {
        print!("{table}");
        println!("report: {}", page.display());
    }
    Ok(COMPLETE)
}

fn exit_code(failed: usize) -> u8 {
    if failed == 0 {
        return COMPLETE;
    }
    eprintln!("{failed} samples have no answer; they score the metric's worst and stay listed in the report");
    INCOMPLETE
}
