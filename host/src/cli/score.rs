//! `medvlm score` and `report`: what a run directory holds, without its models.

use std::{path::PathBuf, sync::Arc};

use clap::Args;

use super::{TIMEOUT, catch_interrupts, key_value, progress::Progress, worker_place};
use crate::{
    config::{SearchPath, Suite},
    error::{COMPLETE, Error, INCOMPLETE, Result},
    judge::Limits,
    run::{
        self, Asking, Catalogs, Granted, Observer, Plan, RunRecord, Settings, crew, plan, policy,
        report::{self, Export, Options},
    },
    scorer::Engine,
};

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
#[command(after_help = "\
Writes report.html, results.json and tables/ (samples.parquet, metrics, grid, comparisons, questions and failures as CSV;
metrics as Markdown and LaTeX too). Beyond 5,000 predictions the page reads its samples from the folder report/ beside it:
move or send both. The same run gives the same bytes.")]
pub struct ReportArgs {
    /// The run directory
    run: PathBuf,
    /// Also write the results in the layout of others, below exports/; may be repeated
    #[arg(long = "export", value_enum, value_name = "LAYOUT")]
    exports: Vec<Export>,
    /// Show images, questions and answers of credentialed and agreement-bound datasets; do not pass such a report on
    #[arg(long)]
    show_restricted: bool,
    /// Directory of a dataset's local copy
    #[arg(long = "root", value_name = "DATASET=DIR", value_parser = key_value)]
    roots: Vec<(String, PathBuf)>,
    /// Print results.json on standard output instead of the table
    #[arg(long)]
    json: bool,
}

/// How much judges and encoders may be asked.
#[derive(Args, Clone, Copy)]
pub(super) struct AskingArgs {
    /// Ask no judge and no encoder: what is not recorded in the run directory is missing
    #[arg(long)]
    pub offline: bool,
    /// Send judges at most this many requests
    #[arg(long, value_name = "N")]
    max_requests: Option<u64>,
    /// Spend at most this much on judges, in the unit of the prices in the suite
    #[arg(long, value_name = "MONEY")]
    max_cost: Option<f64>,
}

impl ScoreArgs {
    /// Scores what is predicted, and reports.
    pub fn run(self, search: &SearchPath) -> Result<u8> {
        catch_interrupts()?;
        let plan = recorded(&Catalogs::load(search)?, self.run, &self.roots)?;
        let progress = Arc::new(Progress::new(plan.cells.len()));
        let granted = self.asking.granted(&plan, &progress)?;
        let unanswered = score_cells(&plan, &*progress, &granted)?;
        show(&plan, self.json)?;
        Ok(answers_code(unanswered))
    }
}

impl ReportArgs {
    /// Reports what is scored.
    pub fn run(self, search: &SearchPath) -> Result<u8> {
        let catalogs = Catalogs::load(search)?;
        let plan = recorded(&catalogs, self.run, &self.roots)?;
        let options = Options { show_restricted: self.show_restricted };
        show_with(&plan, self.json, options)?;
        for layout in self.exports {
            let written = report::export(&plan, &catalogs, layout, options)?;
            eprintln!("export: {} files in {}", written.files, written.folder.display());
            if !written.left_out.is_empty() {
                eprintln!("left out, for they are not on the hub: {}", written.left_out.join(", "));
            }
        }
        Ok(COMPLETE)
    }
}

impl AskingArgs {
    /// What the plan grants, after the data-use policy had its say.
    pub fn granted(self, plan: &Plan, progress: &Arc<Progress>) -> Result<Granted> {
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
pub(super) fn score_cells(plan: &Plan, observer: &dyn Observer, granted: &Granted) -> Result<usize> {
    let engine = Engine::new(run::cache_dir().map(|dir| dir.join("scorers")))?;
    crew::score(plan, &engine, granted, observer)
}

/// The plan of a run directory, to score or report it.
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

/// Puts the directories of `--root` into the suite.
pub(super) fn apply_roots(suite: &mut Suite, roots: &[(String, PathBuf)]) -> Result<()> {
    for (id, root) in roots {
        let mut named = suite.datasets.iter_mut().filter(|d| d.id == *id).peekable();
        if named.peek().is_none() {
            return Err(Error::usage(format!("--root {id}=…: the suite has no dataset `{id}`")));
        }
        named.for_each(|dataset| dataset.root = Some(root.clone()));
    }
    Ok(())
}

/// Writes the report and prints its table.
pub(super) fn show(plan: &Plan, json: bool) -> Result<u8> {
    show_with(plan, json, Options::default())
}

fn show_with(plan: &Plan, json: bool, options: Options) -> Result<u8> {
    let (page, table) = report::report(plan, options, &|line| eprintln!("{line}"))?;
    if json {
        let path = plan.dir.join("results.json");
        print!("{}", std::fs::read_to_string(&path).map_err(Error::io(&path))?);
    } else {
        print!("{table}");
        println!("report: {}", page.display());
    }
    Ok(COMPLETE)
}

/// The exit code for so many requests without an answer.
pub(super) fn answers_code(unanswered: usize) -> u8 {
    if unanswered == 0 {
        return COMPLETE;
    }
    eprintln!(
        "{unanswered} requests of scorers have no answer; their scores are missing, and `medvlm score` asks again"
    );
    INCOMPLETE
}
