//! The command line: the only code that prints. Results go to standard output, everything else to standard error.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "this layer talks to people")]

use std::{path::PathBuf, process::ExitCode, sync::atomic::Ordering, time::Duration};

use clap::{Args, Parser, Subcommand};

use crate::{
    config::SearchPath,
    error::{COMPLETE, Error, Result},
    model::{Place, worker},
    run::{INTERRUPTED, Settings},
};

mod check;
mod compare;
mod data;
mod doctor;
mod dry_run;
mod eval;
mod import;
mod infer;
mod leaderboard;
mod leaks;
mod list;
mod merge;
mod new;
mod pack;
mod parity;
mod progress;
mod run;
mod score;
mod status;
mod verify;

/// Evaluates vision-language models on medical images: models are plugins, scorers are WebAssembly
/// components, datasets are manifests.
#[derive(Parser)]
#[command(name = "medvlm", version, propagate_version = true, arg_required_else_help = true, after_help = EXIT_CODES)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Args)]
struct Global {
    /// Look for plugin libraries here too (before $MEDVLM_PLUGIN_PATH and the plugins beside this program)
    #[arg(long = "plugin-dir", global = true, value_name = "DIR")]
    plugin_dirs: Vec<PathBuf>,
    /// Look for scorer components here too (before $MEDVLM_SCORER_PATH)
    #[arg(long = "scorer-dir", global = true, value_name = "DIR")]
    scorer_dirs: Vec<PathBuf>,
    /// Look for dataset manifests here too (before $MEDVLM_DATASET_PATH)
    #[arg(long = "dataset-dir", global = true, value_name = "DIR")]
    dataset_dirs: Vec<PathBuf>,
    /// Say more on standard error; twice for everything
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    verbose: u8,
}

#[derive(Subcommand)]
enum Verb {
    /// Run a suite: predict what is missing, score, report
    Run(run::RunArgs),
    /// Show which cells of a suite are done, partial, failed, stale or missing
    Status(status::StatusArgs),
    /// Join run directories that several machines filled
    Merge(merge::MergeArgs),
    /// Score a run directory again, without its models
    Score(score::ScoreArgs),
    /// Write a run directory's report again
    Report(score::ReportArgs),
    /// Take over a prediction file of MedVLMBench, lm-eval or lmms-eval, to score it here
    Import(import::ImportArgs),
    /// Run one evaluation by the flags of MedVLMBench's run_eval.py
    Eval(eval::EvalArgs),
    /// Say whether two cells differ, sample by sample on the same samples
    Compare(compare::CompareArgs),
    /// Pack a run into one file that anyone can verify
    Pack(pack::PackArgs),
    /// Check a submission: structure, digests, coverage, and every score and metric byte by byte
    Verify(verify::VerifyArgs),
    /// Make a static site of verified submissions
    Leaderboard(leaderboard::LeaderboardArgs),
    /// List models, datasets, scorers or plugins
    List(list::ListArgs),
    /// Ask one model about given images, ad hoc
    Infer(infer::InferArgs),
    /// Compare a native model with its reference implementation, on your own weights
    Parity(parity::ParityArgs),
    /// Check that a plugin loads and answers
    Check(check::CheckArgs),
    /// List datasets, or prove a local copy of one
    Data(data::DataArgs),
    /// Write a new plugin, scorer or dataset that builds and passes its checks
    New(new::NewArgs),
    /// Look for what could keep this machine from working
    Doctor(doctor::DoctorArgs),
    /// Serve one model to the host
    #[command(hide = true)]
    Worker {
        library: PathBuf,
        architecture: Option<String>,
        #[arg(default_value = "{}")]
        config: String,
    },
}

/// Where and how models run.
#[derive(Args, Clone)]
struct ModelArgs {
    /// cpu or cuda:N
    #[arg(long, default_value = "cpu", value_name = "DEVICE")]
    device: String,
    /// Element type of the weights: f32, bf16 or f16
    #[arg(long, default_value = "f32", value_parser = ["f32", "bf16", "f16"])]
    dtype: String,
    /// Seconds that a model may take to answer one batch before its worker is ended
    #[arg(long, default_value_t = TIMEOUT.as_secs_f64(), value_name = "SECONDS")]
    timeout: f64,
    /// Load plugins into this process, for profiling; a crash of the plugin is then a crash of medvlm
    #[arg(long)]
    in_process: bool,
}

/// Time that a model may take to answer one batch.
const TIMEOUT: Duration = Duration::from_secs(600);

const EXIT_CODES: &str = "\
Exit codes: 0 complete, 1 some samples failed or the work could not be finished, 2 usage,
3 invalid plugin, manifest, dataset copy, scorer or submission, 130 interrupted.";

/// Parses the command line, does what it says, and returns the exit code.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    start_log(cli.global.verbose);
    let search = SearchPath::new(&cli.global.plugin_dirs, &cli.global.scorer_dirs, &cli.global.dataset_dirs);
    let done = match cli.verb {
        Verb::Run(args) => args.run(&search),
        Verb::Status(args) => args.run(&search),
        Verb::Merge(args) => args.run(),
        Verb::Score(args) => args.run(&search),
        Verb::Report(args) => args.run(&search),
        Verb::Import(args) => args.run(&search),
        Verb::Eval(args) => args.run(&search),
        Verb::Compare(args) => args.run(&search),
        Verb::Pack(args) => args.run(&search),
        Verb::Verify(args) => args.run(&search),
        Verb::Leaderboard(args) => args.run(&search),
        Verb::List(args) => args.run(&search),
        Verb::Infer(args) => args.run(&search),
        Verb::Parity(args) => args.run(&search),
        Verb::Check(args) => args.run(),
        Verb::Data(args) => args.run(&search),
        Verb::New(args) => args.run(),
        Verb::Doctor(args) => args.run(&search),
        Verb::Worker { library, architecture, config } => {
            crate::model::serve(&library, architecture.as_deref(), &config).map(|()| COMPLETE)
        }
    };
    match done {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(error.exit_code())
        }
    }
}

impl ModelArgs {
    fn place(&self) -> Result<Place> {
        if self.in_process {
            return Ok(Place::InProcess);
        }
        let timeout = Duration::try_from_secs_f64(self.timeout).ok().filter(|t| !t.is_zero());
        worker_place(timeout.ok_or_else(|| Error::usage(format!("--timeout {} is no positive time", self.timeout)))?)
    }

    fn settings(&self, batch_size: usize) -> Result<Settings> {
        Ok(Settings {
            place: self.place()?,
            device: self.device.clone(),
            dtype: self.dtype.clone(),
            batch_size,
            adapter: None,
        })
    }
}

fn worker_place(timeout: Duration) -> Result<Place> {
    let program = std::env::current_exe().map_err(|e| Error::failed(format!("this program has no path: {e}")))?;
    Ok(Place::Worker(worker::Settings { program, timeout }))
}

/// The first Ctrl-C lets the batch in flight finish, the second one ends at once; either loses nothing on disk.
fn catch_interrupts() -> Result<()> {
    ctrlc::set_handler(|| {
        if INTERRUPTED.swap(true, Ordering::Relaxed) {
            std::process::exit(i32::from(crate::error::INTERRUPTED));
        }
        eprintln!("interrupted: finishing the batch in flight; once more to stop at once");
    })
    .map_err(|e| Error::failed(format!("cannot catch Ctrl-C: {e}")))
}

/// `KEY=VALUE` flags as a pair.
fn key_value(text: &str) -> std::result::Result<(String, PathBuf), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() && !value.is_empty() => Ok((key.into(), value.into())),
        _ => Err("expected NAME=DIR".into()),
    }
}

fn start_log(verbose: u8) {
    let level = match verbose {
        0 => "warn",
        1 => "info",
        _ => "debug,wasmtime=info,cranelift=info",
    };
    let filter = tracing_subscriber::EnvFilter::try_from_env("MEDVLM_LOG").unwrap_or_else(|_| level.into());
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).without_time().compact().init();
}
