//! `medvlm data`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use indicatif::{ProgressBar, ProgressDrawTarget};

use super::{catalogs, list};
use crate::{
    config::SearchPath,
    dataset::{Dataset, check},
    error::{COMPLETE, INVALID, Result},
};

/// Arguments of `medvlm data`.
#[derive(Args)]
pub struct DataArgs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// List the datasets on the search path
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Prove a local copy before a GPU hour is spent on it: files, counts, unreadable and duplicated images, patients
    /// across splits
    Check {
        /// The dataset, as `medvlm data list` names it
        name: String,
        /// Directory of the copy
        #[arg(long, value_name = "DIR")]
        root: Option<PathBuf>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

impl DataArgs {
    /// Lists or checks.
    pub fn run(self, search: &SearchPath) -> Result<u8> {
        match self.verb {
            Verb::List { json } => list::ListArgs::datasets(json).run(search),
            Verb::Check { name, root, json } => {
                let catalogs = catalogs(search)?;
                let dataset = Dataset::open(catalogs.datasets.get(&name)?, root.as_deref())?;
                let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
                let report = check(&dataset, &mut |done, total| {
                    bar.set_length(total);
                    bar.set_position(done);
                })?;
                bar.finish_and_clear();
                if json {
                    println!("{}", serde_json::to_string_pretty(&report).unwrap_or_default());
                } else {
                    println!("{} in {}", dataset.manifest().title, dataset.root().display());
                    for count in &report.counts {
                        let found = count.found.map_or_else(|| "unreadable".into(), |n| n.to_string());
                        let expected = count.expected.map(|n| format!(", expected {n}")).unwrap_or_default();
                        println!("  {} {}: {found} samples{expected}", count.split, count.task);
                    }
                    report.warnings().iter().for_each(|line| println!("  warning: {line}"));
                    report.problems().iter().for_each(|line| println!("  problem: {line}"));
                    println!("{}", if report.problems().is_empty() { "ok" } else { "not as the manifest says" });
                }
                Ok(if report.problems().is_empty() { COMPLETE } else { INVALID })
            }
        }
    }
}
