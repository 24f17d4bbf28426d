//! `medvlm pack`.

use std::{
    io::{IsTerminal, stdin},
    path::{Path, PathBuf},
    sync::Arc,
};

use clap::Args;

use super::{
    ModelArgs, TIMEOUT, catch_interrupts,
    progress::Progress,
    score::recorded,
    verify::{CheckArgs, show},
};
use crate::{
    config::SearchPath,
    error::{COMPLETE, Error, INVALID, Result},
    run::{
        Catalogs, RunRecord,
        submit::{About, pack},
    },
    submission::{self, Division, SIGNATURE},
};

/// Environment variable with the password of a signing key.
const PASSWORD: &str = "MEDVLM_SIGN_PASSWORD";

/// Arguments of `medvlm pack`.
#[derive(Args)]
#[command(after_help = "\
The same run gives the same bytes. Everything that `medvlm verify` checks is checked first, and nothing is written where a
rule is broken (exit code 3). Of credentialed datasets no text, label or name is packed; SUBMISSIONS.md says how.")]
pub struct PackArgs {
    /// The run directory
    run: PathBuf,
    /// The submission [default: <name of the suite>.zip]
    #[arg(long, value_name = "FILE.zip")]
    out: Option<PathBuf>,
    /// `closed` (official suite, prompts and scorers) or `open`
    #[arg(long, default_value = "open", value_name = "DIVISION", value_parser = division)]
    division: Division,
    /// Who submits
    #[arg(long, default_value = "", value_name = "NAME")]
    submitter: String,
    /// How to reach them
    #[arg(long, default_value = "", value_name = "TEXT")]
    contact: String,
    /// What is to be known of the models
    #[arg(long, default_value = "", value_name = "TEXT")]
    note: String,
    /// A minisign secret key that signs the submission into FILE.zip.minisig
    #[arg(long, value_name = "KEYFILE")]
    sign: Option<PathBuf>,
    #[command(flatten)]
    checks: CheckArgs,
    /// Print the verdict as JSON
    #[arg(long)]
    json: bool,
}

impl PackArgs {
    /// Packs, checks, and signs.
    pub fn run(self, search: &SearchPath) -> Result<u8> {
        catch_interrupts()?;
        let record = RunRecord::read(&self.run)?;
        let catalogs = Catalogs::load(search)?;
        let plan = recorded(&catalogs, self.run, &self.checks.roots)?;
        let out = self.out.unwrap_or_else(|| PathBuf::from(format!("{}.zip", plan.suite.name)));
        if let Some(key) = self.sign.as_deref().filter(|key| !key.is_file()) {
            return Err(Error::usage(format!("--sign {}: no such file; `minisign -G` makes a key", key.display())));
        }
        let model =
            ModelArgs { device: "cpu".into(), dtype: "f32".into(), timeout: TIMEOUT.as_secs_f64(), in_process: false };
        let mut options = self.checks.options(&catalogs, &model, Arc::new(Progress::new(plan.cells.len())))?;
        let own = plan.cells.iter().filter_map(|cell| Some((cell.id.dataset.clone(), cell.evaluation.root.clone()?)));
        options.roots = own.collect();
        let (division, submitter) = (self.division, self.submitter);
        let about = About { division, submitter, contact: self.contact, note: self.note };
        let verdict = pack(&plan, &record, about, &out, &options)?;
        if self.json {
            let text = serde_json::to_string_pretty(&verdict).map_err(|e| Error::failed(e.to_string()))?;
            println!("{text}");
        } else {
            show(&out, &verdict);
        }
        if !verdict.valid {
            return Ok(INVALID);
        }
        if let Some(key) = &self.sign {
            sign(&out, key, &verdict.archive)?;
        }
        Ok(COMPLETE)
    }
}

fn sign(out: &Path, key: &Path, archive: &str) -> Result<()> {
    let text = submission::sign(out, key, &format!("medvlm submission, BLAKE3 {archive}"), password)?;
    let mut path = out.as_os_str().to_owned();
    path.push(SIGNATURE);
    std::fs::write(&path, text).map_err(Error::io(&path))?;
    eprintln!("signed: {}", Path::new(&path).display());
    Ok(())
}

/// The password of the key: from the environment, else asked for where somebody can answer.
fn password() -> Result<String> {
    if let Some(password) = std::env::var(PASSWORD).ok().filter(|password| !password.is_empty()) {
        return Ok(password);
    }
    if !stdin().is_terminal() {
        return Err(Error::usage(format!("the signing key has a password: set {PASSWORD}")));
    }
    rpassword::prompt_password("password of the signing key: ")
        .map_err(|e| Error::failed(format!("no password could be read: {e}")))
}

fn division(text: &str) -> std::result::Result<Division, String> {
    text.parse().map_err(|e: Error| e.to_string())
}
