//! `medvlm status`: the grid of a suite.

use std::{collections::BTreeMap, path::PathBuf};

use clap::Args;

use super::{TIMEOUT, key_value, list::print_table, score::apply_roots, worker_place};
use crate::{
    config::{SearchPath, Suite},
    error::{COMPLETE, Error, INCOMPLETE, Result},
    run::{
        Catalogs, Condition, Filter, RunRecord, Settings, plan,
        status::{self, Standing, State},
    },
};

/// Arguments of `medvlm status`.
#[derive(Args)]
pub struct StatusArgs {
    /// A suite file, or a run directory
    suite: PathBuf,
    /// Run directory of the suite [default: runs/<name of the suite>]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Only cells of which a part has one of these values: model, dataset, split, task, usage, seed or state; repeat to narrow
    /// down
    #[arg(long = "filter", value_name = "KEY=VALUE,…")]
    filters: Vec<Condition>,
    /// Checkpoint directory of a model, as it was given to `medvlm run`
    #[arg(long = "weights", value_name = "MODEL=DIR", value_parser = key_value)]
    weights: Vec<(String, PathBuf)>,
    /// Directory of a dataset's local copy
    #[arg(long = "root", value_name = "DATASET=DIR", value_parser = key_value)]
    roots: Vec<(String, PathBuf)>,
    /// Device that the suite is to run on [default: that of the run, else cpu]
    #[arg(long, value_name = "DEVICE")]
    device: Option<String>,
    /// Element type of the weights [default: that of the run, else f32]
    #[arg(long, value_parser = ["f32", "bf16", "f16"])]
    dtype: Option<String>,
    /// Print every cell as JSON
    #[arg(long)]
    json: bool,
}

impl StatusArgs {
    /// Prints the grid, and every cell that is not done with the reason. Ends with 1 where something is left to do.
    pub fn run(self, search: &SearchPath) -> Result<u8> {
        let filter = Filter(self.filters);
        let (mut suite, dir) = if self.suite.is_dir() {
            (RunRecord::read(&self.suite)?.suite, self.suite.clone())
        } else {
            let suite = Suite::read(&self.suite)?;
            let dir = PathBuf::from("runs").join(&suite.name);
            (suite, self.out.unwrap_or(dir))
        };
        apply_roots(&mut suite, &self.roots)?;
        suite.weights.extend(self.weights);
        let record = dir.join("run.json").exists().then(|| RunRecord::read(&dir)).transpose()?;
        if let Some(record) = &record {
            // What the run was told beside the suite: it is the same run.
            suite.limit = record.suite.limit.max(suite.limit);
            for (model, weights) in &record.suite.weights {
                suite.weights.entry(model.clone()).or_insert_with(|| weights.clone());
            }
            for dataset in suite.datasets.iter_mut().filter(|dataset| dataset.root.is_none()) {
                let same = record.suite.datasets.iter().find(|recorded| recorded.id == dataset.id);
                dataset.root = same.and_then(|recorded| recorded.root.clone());
            }
        }
        let recorded = |own: Option<String>, of: fn(&RunRecord) -> &String, otherwise: &str| {
            own.or_else(|| record.as_ref().map(|record| of(record).clone())).unwrap_or_else(|| otherwise.into())
        };
        let settings = Settings {
            place: worker_place(TIMEOUT)?,
            device: recorded(self.device, |record| &record.device, "cpu"),
            dtype: recorded(self.dtype, |record| &record.dtype, "f32"),
            batch_size: 1,
            adapter: None,
        };
        let catalogs = Catalogs::load(search)?;
        let mut plan = match record.filter(RunRecord::is_imported) {
            // Its models need not be any of this program's.
            Some(record) => plan::plan_scoring(&RunRecord { suite, ..record }, &catalogs, settings, dir)?,
            None => plan::plan(suite, &catalogs, settings, dir, &filter)?,
        };
        plan.cells.retain(|cell| filter.accepts(&cell.id));
        plan.leave_out_blocked();
        let mut cells = status::status(&plan)?;
        cells.retain(|standing| filter.accepts_state(standing.state.name()));
        if self.json {
            println!("{}", serde_json::to_string_pretty(&cells).map_err(|e| Error::failed(e.to_string()))?);
        } else {
            print(&cells);
        }
        let settled = |standing: &Standing| matches!(standing.state, State::Done | State::Excluded);
        Ok(if cells.iter().all(settled) { COMPLETE } else { INCOMPLETE })
    }
}

fn print(cells: &[Standing]) {
    let mut grids: BTreeMap<(String, String), Grid<'_>> = BTreeMap::new();
    for standing in cells {
        let id = &standing.cell;
        let grid = grids.entry((id.task.to_string(), id.usage.to_string())).or_default();
        let dataset = format!("{}.{}", id.dataset, id.split);
        grid.entry(id.model.as_str()).or_default().entry(dataset).or_default().push(standing);
    }
    for ((task, usage), grid) in &grids {
        println!("{task}, {usage}");
        let mut datasets: Vec<&String> = grid.values().flat_map(BTreeMap::keys).collect();
        datasets.sort();
        datasets.dedup();
        let head: Vec<&str> = std::iter::once("model").chain(datasets.iter().map(|name| name.as_str())).collect();
        let row = |(model, cells): (&&str, &BTreeMap<String, Vec<&Standing>>)| {
            let shown = datasets.iter().map(|dataset| cells.get(*dataset).map_or("-".into(), |seeds| word(seeds)));
            std::iter::once(model.to_string()).chain(shown).collect()
        };
        print_table(&head, &grid.iter().map(row).collect::<Vec<_>>());
        println!();
    }
    for standing in cells.iter().filter(|standing| !standing.why.is_empty() || !standing.at_work.is_empty()) {
        let mut line = format!("{}: {}", standing.cell, standing.state.name());
        if !standing.why.is_empty() {
            line += &format!(": {}", standing.why);
        }
        if !standing.at_work.is_empty() {
            line += &format!(" (at work: {})", standing.at_work.join(", "));
        }
        println!("{line}");
    }
    let counts = State::ALL.iter().map(|state| (state, cells.iter().filter(|s| s.state == *state).count()));
    let counts: Vec<String> =
        counts.filter(|(_, count)| *count > 0).map(|(state, count)| format!("{count} {}", state.name())).collect();
    println!("{} cells: {}", cells.len(), counts.join(", "));
}

/// Models, their datasets, and one standing for each seed.
type Grid<'a> = BTreeMap<&'a str, BTreeMap<String, Vec<&'a Standing>>>;

/// `done`, `3/5 done`, `partial 120/624`: what a grid shows of the seeds of one cell.
fn word(seeds: &[&Standing]) -> String {
    let worst = seeds.iter().max_by_key(|standing| standing.state).map_or(State::Missing, |standing| standing.state);
    let done = seeds.iter().filter(|standing| standing.state == State::Done).count();
    let sum = |part: fn(&Standing) -> usize| seeds.iter().map(|standing| part(standing)).sum::<usize>();
    match worst {
        State::Partial => format!("partial {}/{}", sum(|s| s.done), sum(|s| s.total.unwrap_or(s.done))),
        State::Failed if sum(|s| s.failed) > 0 => format!("failed {}/{}", sum(|s| s.failed), sum(|s| s.done)),
        state if done > 0 && done < seeds.len() => format!("{done}/{} done, {}", seeds.len(), state.name()),
        state => state.name().into(),
    }
}
