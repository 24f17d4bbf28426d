//! `medvlm leaderboard`.

use std::{path::PathBuf, sync::Arc};

use clap::Args;

use super::{ModelArgs, TIMEOUT, catch_interrupts, progress::Progress, verify::CheckArgs};
use crate::{
    config::SearchPath,
    error::{COMPLETE, Error, Result},
    run::{Catalogs, leaderboard},
};

/// Arguments of `medvlm leaderboard`.
#[derive(Args)]
#[command(after_help = "\
Every submission is verified; an invalid one is listed as rejected with the rules that it breaks, and never ranked. The site
is static and asks no network: index.html, a page a submission, results.json and results.csv.")]
pub struct LeaderboardArgs {
    /// Submissions, or directories of them
    #[arg(required = true, value_name = "FILE|DIR")]
    submissions: Vec<PathBuf>,
    /// Directory of the site
    #[arg(long, value_name = "SITE")]
    out: PathBuf,
    /// Heading of the site
    #[arg(long, default_value = "Medical vision-language models", value_name = "TEXT")]
    title: String,
    #[command(flatten)]
    checks: CheckArgs,
    /// Print results.json on standard output
    #[arg(long)]
    json: bool,
}

impl LeaderboardArgs {
    /// Verifies all, and writes the site.
    pub fn run(self, search: &SearchPath) -> Result<u8> {
        catch_interrupts()?;
        let catalogs = Catalogs::load(search)?;
        let model =
            ModelArgs { device: "cpu".into(), dtype: "f32".into(), timeout: TIMEOUT.as_secs_f64(), in_process: false };
        let options = self.checks.options(&catalogs, &model, Arc::new(Progress::new(0)))?;
        let paths = leaderboard::find(&self.submissions)?;
        if paths.is_empty() {
            return Err(Error::usage("there are no submissions (*.zip) in the directories that were named"));
        }
        let board = leaderboard::board(self.title, &paths, &options, |path, verdict| {
            let broken: Vec<String> = verdict.violations.iter().map(|v| v.rule.number().to_string()).collect();
            let state = if verdict.valid { "valid".into() } else { format!("rejected by rules {}", broken.join(", ")) };
            eprintln!("{}: {state}", path.display());
        })?;
        leaderboard::write(&board, &self.out)?;
        if self.json {
            let path = self.out.join("results.json");
            print!("{}", std::fs::read_to_string(&path).map_err(Error::io(&path))?);
        } else {
            let (valid, rejected) = (board.entries.len(), board.rejected.len());
            println!("{valid} submissions, {rejected} rejected: {}", self.out.join("index.html").display());
        }
        Ok(COMPLETE)
    }
}
