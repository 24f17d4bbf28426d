//! `medvlm run`, `score` and `report`.

use std::{path::PathBuf, sync::Arc};

use clap::Args;

use super::{ModelArgs, TIMEOUT, catch_interrupts, key_value, progress::Progress, worker_place};
use crate::{
    config::{RemoteTable, SearchPath, Suite},
    error::{COMPLETE, Error, INCOMPLETE, Result},
    judge::Limits,
    run::{
        self, Asking, Catalogs, Granted, Observer, Plan, RunRecord, Settings, granted, plan, policy, predict, record,
        remote, report, score,
    },
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
    /// A model to run instead of the suite's own, such as `remote:NAME`; repeat for several
    #[arg(long = "model", value_name = "MODEL")]
    models: Vec<String>,
    /// Endpoint of every remote model, instead of the one that the suite or $OPENAI_BASE_URL names
    #[arg(long, value_name = "URL")]
    base_url: Option<String>,
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
    #[command(flatten)]
    asking: AskingArgs,
    /// Only predict; score later with `medvlm score`
    #[arg(long)]
    predict_only: bool,
    /// Print results.json on standard output instead of the table
    #[arg(long)]
    json: bool,
}

/// How much judges and encoders may be asked.
#[derive(Args, Clone, Copy)]
struct AskingArgs {
    /// Ask no judge and no encoder: what is not recorded in the run directory is missing
    #[arg(long)]
    offline: bool,
    /// Send judges at most this many requests
    #[arg(long, value_name = "N")]
    max_requests: Option<u64>,
    /// Spend at most this much on judges, in the unit of the prices in the suite
    #[arg(long, value_name = "MONEY")]
    max_cost: Option<f64>,
}

/// Arguments of `medvlm score`.
#[derive(Args)]
pub struct ScoreArgs {
    /// The run directory
    run: PathBuf,
    /// Directory of a dataset's local copy
    #[arg(long = "root", value_name = "DATASET=DIR", value_parser = key_value)]
    roots: Vec<(String, PathBuf)>,
    #[command(flatten)]
    asking: AskingArgs,
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
        if !self.models.is_empty() {
            suite.models = self.models;
        }
        if let Some(base_url) = &self.base_url {
            RemoteTable::relocate(&mut suite.remotes, base_url);
        }
        for (model, dir) in self.weights {
            if !suite.models.contains(&model) {
                return Err(Error::usage(format!("--weights {model}=…: the suite has no model `{model}`")));
            }
            suite.weights.insert(model, dir);
        }
        suite.limit = self.limit.unwrap_or(suite.limit);
        let dir = self.out.unwrap_or_else(|| PathBuf::from("runs").join(&suite.name));
        let settings = Settings { adapter: self.adapter, ..self.model.settings(self.batch_size)? };
        let plan = plan::plan(suite, &Catalogs::load(search)?, settings, dir)?;
        if self.base_url.is_some() && plan.remotes.is_empty() {
            return Err(Error::usage("--base-url is for remote models, and the suite names none"));
        }
        policy::check_models(&plan)?;
        remote::check_keys(&plan.remotes)?;
        let progress = Arc::new(Progress::new(plan.cells.len()));
        let granted = self.asking.granted(&plan, &progress)?;
        if !self.asking.offline && !self.predict_only {
            granted::check_keys(&plan.suite.judges)?;
        }
        record::write(&plan, self.redo)?;

        let mut failed = 0;
        for cell in &plan.cells {
            failed += predict::predict(cell, &plan.dir, plan.suite.limit, &plan.settings, &*progress)?.failed;
        }
        if self.predict_only {
            eprintln!("predictions are in {}", plan.dir.display());
            return Ok(exit_code(failed));
        }
        let unanswered = score_cells(&plan, &progress, &granted)?;
        show(&plan, self.json)?;
        Ok(exit_code(failed).max(answers_code(unanswered)))
    }
}

impl ScoreArgs {
    /// Scores what is predicted, and reports.
    pub fn run(self, search: &SearchPath) -> Result<u8> {
        catch_interrupts()?;
        let plan = recorded(&Catalogs::load(search)?, self.run, &self.roots)?;
        let progress = Arc::new(Progress::new(plan.cells.len()));
        let granted = self.asking.granted(&plan, &progress)?;
        let unanswered = score_cells(&plan, &progress, &granted)?;
        show(&plan, self.json)?;
        Ok(answers_code(unanswered))
    }
}

impl ReportArgs {
    /// Reports what is scored.
    pub fn run(self, search: &SearchPath) -> Result<u8> {
        let plan = recorded(&Catalogs::load(search)?, self.run, &self.roots)?;
        show(&plan, self.json)
    }
}

impl AskingArgs {
    /// What the plan grants, after the data-use policy had its say.
    fn granted(self, plan: &Plan, progress: &Arc<Progress>) -> Result<Granted> {
        if let Some(money) = self.max_cost.filter(|money| !money.is_finite() || *money < 0.0) {
            return Err(Error::usage(format!("--max-cost {money} is no amount of money")));
        }
        if !self.offline {
            policy::check_scorers(plan)?;
        }
        let limits = Limits { requests: self.max_requests, money: self.max_cost };
        Granted::new(plan, Asking { offline: self.offline, limits }, progress.clone())
    }
}

/// Scores every cell; returns the number of requests that have no answer.
fn score_cells(plan: &Plan, progress: &Progress, granted: &Granted) -> Result<usize> {
    let engine = Engine::new(run::cache_dir().map(|dir| dir.join("scorers")))?;
    let mut unanswered = 0;
    for cell in &plan.cells {
        run::check_interrupt()?;
        let metrics = score::score(cell, &plan.dir, plan.suite.limit, &plan.suite.bootstrap, &engine, granted)?;
        unanswered += metrics.unanswered();
        if metrics.samples < metrics.expected {
            progress
                .note(&format!("{}: only {} of {} samples are predicted", cell.id, metrics.samples, metrics.expected));
        }
    }
    Ok(unanswered)
}

/// The plan of a run directory, whose models are not needed.
pub(super) fn recorded(catalogs: &Catalogs, dir: PathBuf, roots: &[(String, PathBuf)]) -> Result<Plan> {
    let mut record = RunRecord::read(&dir)?;
    apply_roots(&mut record.suite, roots)?;
    let settings = Settings {
        // Opened for embeddings that are not on record, if at all.
        place: worker_place(TIMEOUT)?,
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

fn answers_code(unanswered: usize) -> u8 {
    if unanswered == 0 {
        return COMPLETE;
    }
    eprintln!(
        "{unanswered} requests of scorers have no answer; their scores are missing, and `medvlm score` asks again"
    );
    INCOMPLETE
}

fn exit_code(failed: usize) -> u8 {
    if failed == 0 {
        return COMPLETE;
    }
    eprintln!("{failed} samples have no answer; they score the metric's worst and stay listed in the report");
    INCOMPLETE
}
