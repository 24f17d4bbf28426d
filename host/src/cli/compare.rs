//! `medvlm compare`.

use std::path::{Path, PathBuf};

use clap::Args;

use super::{catalogs, key_value, list::print_table};
use crate::{
    config::SearchPath,
    error::{COMPLETE, Error, Result},
    run::compare::{Comparison, Correction, Difference, Interval, Options, Place, compare},
};

/// Arguments of `medvlm compare`.
#[derive(Args)]
#[command(after_help = "\
A cell is named by its directory, or by its run directory, followed by its name where the run has several:
  medvlm compare runs/a runs/b
  medvlm compare runs/a CELL_A CELL_B
  medvlm compare runs/a/CELL_A runs/b/CELL_B")]
pub struct CompareArgs {
    /// Two cells: their directories, or run directories and names
    #[arg(required = true, num_args = 2..=4, value_name = "CELL")]
    cells: Vec<String>,
    /// Compare this metric only; may be repeated [default: all that the cells share]
    #[arg(long = "metric", value_name = "NAME")]
    metrics: Vec<String>,
    /// Compare the metrics of this scorer only
    #[arg(long, value_name = "NAME")]
    scorer: Option<String>,
    /// Resamples of the intervals [default: as many as the first run has]
    #[arg(long, value_name = "N")]
    resamples: Option<u32>,
    /// Permutations of a permutation test
    #[arg(long, default_value_t = 10_000, value_name = "N")]
    permutations: u32,
    /// Kind of the intervals
    #[arg(long, value_enum, default_value = "percentile", value_name = "KIND")]
    interval: Interval,
    /// Keep the number of patients of each class in every resample
    #[arg(long)]
    stratified: bool,
    /// Correction of the p values for the number of metrics
    #[arg(long, value_enum, default_value = "holm", value_name = "KIND")]
    correction: Correction,
    /// Directory of a dataset's local copy
    #[arg(long = "root", value_name = "DATASET=DIR", value_parser = key_value)]
    roots: Vec<(String, PathBuf)>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl CompareArgs {
    /// Compares, and prints a table.
    pub fn run(self, search: &SearchPath) -> Result<u8> {
        let places = places(&self.cells)?;
        let options = Options {
            metrics: self.metrics,
            scorer: self.scorer,
            resamples: self.resamples,
            permutations: self.permutations,
            interval: self.interval,
            stratified: self.stratified,
            correction: self.correction,
        };
        let comparison = compare(places, &self.roots, &options, &catalogs(search)?)?;
        if self.json {
            let text = serde_json::to_string_pretty(&comparison).map_err(|e| Error::failed(e.to_string()))?;
            println!("{text}");
        } else {
            show(&comparison);
        }
        Ok(COMPLETE)
    }
}

/// The two cells that the arguments name; a name belongs to the run directory before it.
fn places(arguments: &[String]) -> Result<[Place; 2]> {
    let mut named: Vec<(PathBuf, Option<String>)> = Vec::new();
    for argument in arguments {
        let path = Path::new(argument);
        let parent = path.parent().filter(|run| is_run(run)).zip(path.file_name());
        if is_run(path) {
            named.push((path.into(), None));
        } else if let Some((run, cell)) = parent {
            named.push((run.into(), Some(cell.to_string_lossy().into_owned())));
        } else if !argument.contains(['/', '\\']) && argument.contains('@') {
            match named.last_mut() {
                Some((_, cell @ None)) => *cell = Some(argument.clone()),
                Some((run, Some(_))) => {
                    let run = run.clone();
                    named.push((run, Some(argument.clone())));
                }
                None => return Err(Error::usage(format!("`{argument}` is named before its run directory"))),
            }
        } else {
            return Err(Error::usage(format!("`{argument}` is no run directory, and no cell of one")));
        }
    }
    let count = named.len();
    let places = named.into_iter().map(|(run, cell)| Place::new(run, cell)).collect::<Result<Vec<_>>>()?;
    places.try_into().map_err(|_| Error::usage(format!("two cells can be compared, and {count} are named")))
}

fn is_run(path: &Path) -> bool {
    path.join("run.json").is_file()
}

fn show(comparison: &Comparison) {
    for (name, place) in [("A", &comparison.a), ("B", &comparison.b)] {
        println!("{name}  {}  {}", place.cell, place.run.display());
    }
    let bootstrap = &comparison.bootstrap;
    println!(
        "{} samples of {} patients; {} % {} intervals from {}{} draws of patients, the same for both\n",
        comparison.samples,
        comparison.patients,
        bootstrap.level * 100.0,
        match comparison.interval {
            Interval::Percentile => "percentile",
            Interval::Bca => "BCa",
        },
        bootstrap.resamples,
        if comparison.stratified { " stratified" } else { "" }
    );
    let corrected = match comparison.correction {
        Correction::Holm => "p (Holm)",
        Correction::Bh => "p (Benjamini-Hochberg)",
        Correction::None => "p (uncorrected)",
    };
    let columns = ["metric", "scorer", "A", "B", "B - A", "interval", "test", "p", corrected];
    print_table(&columns, &comparison.metrics.iter().map(row).collect::<Vec<_>>());
}

fn row(metric: &Difference) -> Vec<String> {
    let value = |value: Option<f64>| value.map_or("–".into(), |v| format!("{v:.4}"));
    let signed = |value: Option<f64>| value.map_or("–".into(), |v| format!("{v:+.4}"));
    let p = |p: Option<f64>| match p {
        None => "–".into(),
        Some(p) if p < 0.0001 => format!("{p:.1e}"),
        Some(p) => format!("{p:.4}"),
    };
    let interval = metric.low.zip(metric.high).map(|(low, high)| format!("[{low:+.4}, {high:+.4}]"));
    vec![
        format!("{} {}", metric.metric, if metric.higher_is_better { '↑' } else { '↓' }),
        format!("{} {}", metric.scorer, metric.version),
        value(metric.a),
        value(metric.b),
        signed(metric.difference),
        interval.unwrap_or_else(|| "–".into()),
        metric.test.unwrap_or("none: a value is undefined").into(),
        p(metric.p),
        p(metric.p_corrected),
    ]
}
