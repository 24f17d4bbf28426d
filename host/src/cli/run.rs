//! `medvlm run`.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

use clap::Args;

use super::{
    ModelArgs, catch_interrupts, dry_run, key_value,
    progress::Progress,
    score::{AskingArgs, answers_code, apply_roots, recorded, score_cells, show},
};
use crate::{
    config::{RemoteTable, SearchPath, Suite},
    error::{COMPLETE, Error, INCOMPLETE, Result},
    run::{
        Catalogs, Condition, Filter, Plan, Settings, crew, granted, lease::Part, plan, policy, record, remote, report,
    },
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
    /// Only cells of which a part has one of these values, such as model=clip,siglip or usage=zero-shot; repeat to narrow down
    #[arg(long = "filter", value_name = "KEY=VALUE,…")]
    filters: Vec<Condition>,
    /// Leave out cells whose model, weights or data are not at hand, instead of refusing the suite
    #[arg(long)]
    skip_blocked: bool,
    /// Predict part I of N of every cell's shards, where other machines predict the others; `medvlm merge` joins them
    #[arg(long, value_name = "I/N")]
    shard: Option<Part>,
    /// Print what would be done, with estimates of disk, memory and time, and do nothing
    #[arg(long)]
    dry_run: bool,
    /// Replace a value of the suite: --set bootstrap.resamples=200, --set 'seeds=[0, 1, 2]'
    #[arg(long = "set", value_name = "KEY=VALUE")]
    overrides: Vec<String>,
    /// Only predict; score later with `medvlm score`
    #[arg(long)]
    predict_only: bool,
    /// Print results.json on standard output instead of the table
    #[arg(long)]
    json: bool,
}

impl RunArgs {
    /// Predicts, scores and reports.
    pub fn run(self, search: &SearchPath) -> Result<u8> {
        catch_interrupts()?;
        let filter = Filter(self.filters);
        filter.check_stateless()?;
        let mut suite = Suite::read_with(&self.suite, &self.overrides)?;
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
        let catalogs = Catalogs::load(search)?;
        let mut plan = plan::plan(suite, &catalogs, settings, dir, &filter)?;
        if self.base_url.is_some() && plan.remotes.is_empty() && plan.blocked.is_empty() {
            return Err(Error::usage("--base-url is for remote models, and the suite names none"));
        }
        if self.dry_run {
            plan.leave_out_blocked();
            return dry_run::show(&plan, self.json);
        }
        if self.skip_blocked {
            plan.leave_out_blocked();
            say_blocked(&plan);
        } else {
            plan.check_ready()?;
        }
        policy::check_models(&plan)?;
        report::published::read(&plan.suite)?;
        remote::check_keys(&plan.remotes)?;
        let progress = Arc::new(Progress::new(plan.cells.len()));
        let granted = self.asking.granted(&plan, &progress)?;
        if !self.asking.offline && !self.predict_only {
            granted::check_keys(&plan.suite.judges)?;
        }
        super::leaks::guard(&plan)?;
        record::write(&plan, self.redo)?;

        let outcome = crew::predict(&plan, self.shard, &*progress)?;
        if let Some(part) = self.shard {
            eprintln!("part {part} is in {}; {} samples are of other parts", plan.dir.display(), outcome.elsewhere);
        }
        if self.predict_only || outcome.elsewhere > 0 {
            eprintln!("predictions are in {}", plan.dir.display());
            return outcome.errors.into_iter().next().map_or(Ok(exit_code(outcome.failed)), |(_, error)| Err(error));
        }
        let unanswered = score_cells(&plan, &*progress, &granted)?;
        match filter.0.is_empty() {
            true => show(&plan, self.json)?,
            // The report is about all that the directory holds.
            false => show(&recorded(&catalogs, plan.dir.clone(), &self.roots)?, self.json)?,
        };
        let code = exit_code(outcome.failed).max(answers_code(unanswered));
        outcome.errors.into_iter().next().map_or(Ok(code), |(_, error)| Err(error))
    }
}

/// Says what is left out and why, one line a reason.
fn say_blocked(plan: &Plan) {
    let mut reasons: BTreeMap<String, usize> = BTreeMap::new();
    for (_, error) in &plan.blocked {
        *reasons.entry(error.to_string()).or_default() += 1;
    }
    for (reason, cells) in reasons {
        eprintln!("left out: {cells} cells: {reason}");
    }
}

fn exit_code(failed: usize) -> u8 {
    if failed == 0 {
        return COMPLETE;
    }
    eprintln!("{failed} samples have no answer; they score the metric's worst and stay listed in the report");
    INCOMPLETE
}
