//! `medvlm data`.

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use clap::{Args, Subcommand};
use indicatif::{HumanBytes, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::{leaks, list};
use crate::{
    config::SearchPath,
    dataset::{Dataset, HubAccess, check, fetch, for_download},
    error::{COMPLETE, INVALID, Result},
    run::Catalogs,
};

/// Time between two lines where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(30);

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
    /// List images and patients that a model may learn from and is evaluated on as well
    Leaks(leaks::LeaksArgs),
    /// Download an open dataset, or go on with a download that was cut off
    ///
    /// Files of the Hugging Face hub follow HF_ENDPOINT, HF_TOKEN and HF_HUB_OFFLINE, and come from its local cache
    /// where they are in it.
    Fetch {
        /// The dataset, as `medvlm data list` names it
        name: String,
        /// Directory of the copy [default: the dataset's name in the directory MEDVLM_DATA]
        #[arg(long, value_name = "DIR")]
        root: Option<PathBuf>,
        /// Edge length of the images, where the dataset comes in several
        #[arg(long, value_name = "PIXELS")]
        size: Option<u32>,
    },
}

impl DataArgs {
    /// Lists, checks, compares or fetches.
    pub fn run(self, search: &SearchPath) -> Result<u8> {
        match self.verb {
            Verb::List { json } => list::ListArgs::datasets(json).run(search),
            Verb::Check { name, root, json } => check_copy(search, &name, root.as_deref(), json),
            Verb::Leaks(args) => args.run(search),
            Verb::Fetch { name, root, size } => fetch_copy(search, &name, root.as_deref(), size),
        }
    }
}

fn check_copy(search: &SearchPath, name: &str, root: Option<&Path>, json: bool) -> Result<u8> {
    let catalogs = Catalogs::load(search)?;
    let dataset = Dataset::open(catalogs.datasets.get(name)?, root)?;
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

fn fetch_copy(search: &SearchPath, name: &str, root: Option<&Path>, size: Option<u32>) -> Result<u8> {
    let catalogs = Catalogs::load(search)?;
    let manifest = catalogs.datasets.get(name)?;
    let root = for_download(manifest, root)?;
    let mut shown = Transfer::new();
    let files =
        fetch(manifest, &root, size, &HubAccess::from_env(), &mut |file, done, total| shown.update(file, done, total))?;
    shown.bar.finish_and_clear();
    for file in &files {
        println!("{}", file.display());
    }
    eprintln!("{}, {}; cite {}", manifest.title, manifest.licence, manifest.citation);
    eprintln!("prove it with `medvlm data check {name} --root {}`", root.display());
    Ok(COMPLETE)
}

/// The progress of a download: a bar on a terminal, else a line now and then.
struct Transfer {
    bar: ProgressBar,
    file: String,
    last_line: Instant,
}

impl Transfer {
    fn new() -> Self {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        if let Ok(style) =
            ProgressStyle::with_template("{prefix} {wide_bar} {bytes}/{total_bytes} {bytes_per_sec} eta {eta}")
        {
            bar.set_style(style);
        }
        Self { bar, file: String::new(), last_line: Instant::now() }
    }

    fn update(&mut self, file: &str, done: u64, total: Option<u64>) {
        let begins = self.file != file;
        if begins {
            self.file = file.into();
            self.bar.set_prefix(self.file.clone());
            self.bar.set_position(done);
            self.bar.reset_eta();
        }
        if let Some(total) = total {
            self.bar.set_length(total);
        }
        self.bar.set_position(done);
        let ends = total == Some(done);
        if self.bar.is_hidden() && (begins || ends || self.last_line.elapsed() >= LINE_EVERY) {
            self.last_line = Instant::now();
            let of = total.map(|total| format!(" of {}", HumanBytes(total))).unwrap_or_default();
            eprintln!("{file}: {}{of}", HumanBytes(done));
        }
    }
}
