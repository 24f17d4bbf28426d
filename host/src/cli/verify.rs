//! `medvlm verify`.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use clap::Args;

use super::{ModelArgs, catch_interrupts, key_value, progress::Progress};
use crate::{
    config::SearchPath,
    error::{COMPLETE, Error, INVALID, Result},
    run::{
        Catalogs,
        submit::{Checked, Options, Verdict, officials, verify},
    },
    submission::Rule,
};

/// Arguments of `medvlm verify`.
#[derive(Args)]
#[command(after_help = "\
Scores and metrics are made again with the scorers in the submission and compared byte by byte; no model and, for open
datasets, no data is needed. Exit code 0: valid. 3: invalid; every violation is listed with the number of its rule, and
SUBMISSIONS.md (or --rules) explains them.")]
pub struct VerifyArgs {
    /// The submission
    #[arg(required_unless_present = "rules", value_name = "FILE.zip")]
    file: Option<PathBuf>,
    #[command(flatten)]
    checks: CheckArgs,
    /// Predict this many samples of each cell again, where weights and data are
    #[arg(long, default_value_t = 0, value_name = "K")]
    rerun: usize,
    /// Checkpoint directory of a model, for --rerun
    #[arg(long = "weights", value_name = "MODEL=DIR", value_parser = key_value)]
    weights: Vec<(String, PathBuf)>,
    #[command(flatten)]
    model: ModelArgs,
    /// Print the verdict as JSON
    #[arg(long)]
    json: bool,
    /// Print the rules and do nothing else
    #[arg(long)]
    rules: bool,
}

/// What every command that verifies takes.
#[derive(Args)]
pub struct CheckArgs {
    /// Directory of a dataset's local copy; samples are then compared with it
    #[arg(long = "root", value_name = "DATASET=DIR", value_parser = key_value)]
    pub roots: Vec<(String, PathBuf)>,
    /// Do not look at the datasets of this machine
    #[arg(long, conflicts_with = "roots")]
    without_data: bool,
    /// Directory of the official suites [default: those beside this program]
    #[arg(long, value_name = "DIR")]
    suite_dir: Option<PathBuf>,
    /// A minisign public key, or the file of one, that must have signed FILE.zip.minisig
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
}

impl VerifyArgs {
    /// Verifies, and lists what is wrong.
    pub fn run(self, search: &SearchPath) -> Result<u8> {
        let Some(file) = self.file.filter(|_| !self.rules) else {
            Rule::ALL.iter().for_each(|rule| println!("{}  {}", rule.number(), rule.text()));
            return Ok(COMPLETE);
        };
        catch_interrupts()?;
        let catalogs = Catalogs::load(search)?;
        let mut options = self.checks.options(&catalogs, &self.model, Arc::new(Progress::new(0)))?;
        options.rerun = self.rerun;
        options.weights = self.weights;
        let verdict = verify(&file, &options)?;
        if self.json {
            let text = serde_json::to_string_pretty(&verdict).map_err(|e| Error::failed(e.to_string()))?;
            println!("{text}");
        } else {
            show(&file, &verdict);
        }
        Ok(if verdict.valid { COMPLETE } else { INVALID })
    }
}

impl CheckArgs {
    /// The options of the library.
    pub fn options<'a>(
        &self,
        catalogs: &'a Catalogs,
        model: &ModelArgs,
        observer: Arc<Progress>,
    ) -> Result<Options<'a>> {
        let beside = || std::env::current_exe().ok().and_then(|program| Some(program.parent()?.join("suites")));
        let suites = self.suite_dir.clone().or_else(beside).unwrap_or_default();
        let key = match &self.key {
            Some(key) if Path::new(key).is_file() => Some(std::fs::read_to_string(key).map_err(Error::io(key))?),
            key => key.clone(),
        };
        Ok(Options {
            catalogs,
            officials: officials(&suites)?,
            roots: self.roots.clone(),
            weights: Vec::new(),
            with_data: !self.without_data,
            rerun: 0,
            settings: model.settings(1)?,
            key,
            observer,
        })
    }
}

/// Prints a verdict: what holds on standard output, what is wrong on standard error.
pub fn show(file: &Path, verdict: &Verdict) {
    for note in &verdict.notes {
        eprintln!("note: {note}");
    }
    for violation in &verdict.violations {
        eprintln!("{violation}");
    }
    if !verdict.valid {
        eprintln!("{}: invalid, {} violations", file.display(), verdict.violations.len());
        return;
    }
    let count = |wanted: fn(&Checked) -> bool| verdict.cells.iter().filter(|cell| wanted(&cell.checked)).count();
    let rescored = count(|checked| *checked != Checked::HashesOnly);
    let with_data = verdict.cells.iter().filter(|cell| cell.with_data).count();
    let again: usize = verdict.cells.iter().map(|cell| cell.rerun).sum();
    println!(
        "{}: valid in the {} division; {} cells, {rescored} scored again byte for byte, {with_data} compared with their \
         dataset, {again} samples predicted again{}",
        file.display(),
        verdict.division.map(|division| division.to_string()).unwrap_or_default(),
        verdict.cells.len(),
        if verdict.signed.is_some() { "; the signature holds" } else { "" }
    );
}
