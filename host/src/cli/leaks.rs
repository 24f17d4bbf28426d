//! `medvlm data leaks`, and what `medvlm run` says of leaks.

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::key_value;
use crate::{
    config::{SearchPath, Suite},
    error::{COMPLETE, Error, INCOMPLETE, INVALID, Result},
    run::{
        Catalogs, Plan,
        leaks::{self, Findings, Leak},
    },
};

/// Pairs of two splits that are listed where JSON does not list them all.
const LISTED: usize = 10;

/// Time between two lines where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(30);

/// Arguments of `medvlm data leaks`.
#[derive(Args)]
#[command(after_help = "\
Splits named `train`, `validation` or `dev`, and those whose name ends so, may be learnt from;
others are evaluated. A suite says itself which of its splits are which.
  medvlm data leaks suites/quickstart.toml
  medvlm data leaks ham10000 derma-mnist --root ham10000=DIR --root derma-mnist=DIR
  medvlm data leaks harvard-fairvlmed10k.official-train harvard-fairvlmed10k.test
Images that were compressed anew, resized or cropped to a square are recognised; turned or mirrored
ones are not. Exit codes: 0 nothing is shared, 1 a split could not be compared, 3 something is
shared that the suite does not allow.")]
pub struct LeaksArgs {
    /// A suite, or datasets, or splits (`dataset.split`)
    #[arg(required = true, value_name = "SUITE|DATASET")]
    names: Vec<String>,
    /// Directory of a dataset's local copy
    #[arg(long = "root", value_name = "DATASET=DIR", value_parser = key_value)]
    roots: Vec<(String, PathBuf)>,
    /// Print JSON, with all pairs
    #[arg(long)]
    json: bool,
}

impl LeaksArgs {
    /// Compares splits, and lists what they share.
    pub fn run(self, search: &SearchPath) -> Result<u8> {
        super::catch_interrupts()?;
        let catalogs = Catalogs::load(search)?;
        let mut shown = Shown::new();
        let mut progress = |name: &str, done, total| shown.update(name, done, total);
        let suite = self.names.iter().find(|name| is_suite(name));
        let findings = match (suite, self.names.as_slice()) {
            (Some(path), [_]) => {
                let mut suite = Suite::read(Path::new(path))?;
                super::score::apply_roots(&mut suite, &self.roots)?;
                leaks::of_suite(&suite, &catalogs, &mut progress)?
            }
            (Some(path), _) => {
                return Err(Error::usage(format!("`{path}` is a suite: name one suite, or datasets only")));
            }
            (None, names) => leaks::of_names(names, &self.roots.into_iter().collect(), &catalogs, &mut progress)?,
        };
        shown.end();
        if self.json {
            let text = serde_json::to_string_pretty(&findings).map_err(|e| Error::failed(e.to_string()))?;
            println!("{text}");
        } else {
            show(&findings);
        }
        let leaks = findings.leaks.iter().any(|leak| leak.allowed.is_none());
        Ok(match (leaks, findings.skipped.is_empty()) {
            (true, _) => INVALID,
            (false, false) => INCOMPLETE,
            (false, true) => COMPLETE,
        })
    }
}

/// Refuses a plan that would evaluate adapters on what they were fitted on, and says what is shared nevertheless.
pub fn guard(plan: &Plan) -> Result<()> {
    let mut shown = Shown::new();
    let findings = leaks::guard(plan, &mut |name, done, total| shown.update(name, done, total));
    shown.end();
    for leak in findings?.leaks {
        let why = leak.allowed.as_ref().map_or("no adapter is evaluated on it", |reason| reason.as_str());
        eprintln!("note: {leak} ({why})");
    }
    Ok(())
}

fn is_suite(name: &str) -> bool {
    Path::new(name).extension().is_some_and(|extension| extension == "toml") || Path::new(name).is_file()
}

fn show(findings: &Findings) {
    for part in &findings.compared {
        let role = if part.training { "learnt from" } else { "evaluated" };
        let mut rest = String::new();
        for (count, what) in [(part.unreadable, "unreadable"), (part.without_contrast, "without contrast")] {
            if count > 0 {
                rest.push_str(&format!(", {count} {what}"));
            }
        }
        println!("{} ({role}): {} images{rest}, {} patients", part.name, part.images, part.patients);
    }
    for (name, why) in &findings.skipped {
        println!("{name}: not compared: {why}");
    }
    findings.leaks.iter().for_each(show_leak);
    if findings.leaks.is_empty() {
        println!("nothing is shared");
    }
}

fn show_leak(leak: &Leak) {
    let allowed = leak.allowed.as_ref().map(|reason| format!(" (allowed: {reason})")).unwrap_or_default();
    println!("\n{leak}{allowed}");
    let images = leak.images.iter().map(|pair| {
        let sign = pair.distance.map_or_else(|| "=".into(), |distance| format!("~{distance}"));
        format!("{} {sign} {}", pair.test.image, pair.train.image)
    });
    let patients = leak
        .patients
        .iter()
        .map(|p| format!("patient {}: {} samples evaluated, {} learnt from", p.patient, p.test, p.train));
    for mut lines in [images.collect::<Vec<String>>(), patients.collect()] {
        let more = lines.len().saturating_sub(LISTED);
        lines.truncate(LISTED);
        lines.iter().for_each(|line| println!("  {line}"));
        if more > 0 {
            println!("  and {more} more (--json lists all)");
        }
    }
}

/// How far the images of a split are: a bar on a terminal, else a line now and then.
struct Shown {
    bar: ProgressBar,
    name: String,
    last_line: Instant,
}

impl Shown {
    fn new() -> Self {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        if let Ok(style) = ProgressStyle::with_template("{prefix} {wide_bar} {pos}/{len} {per_sec} eta {eta}") {
            bar.set_style(style);
        }
        Self { bar, name: String::new(), last_line: Instant::now() }
    }

    fn update(&mut self, name: &str, done: usize, total: usize) {
        let begins = self.name != name;
        if begins {
            self.name = name.into();
            self.bar.set_prefix(format!("looking for leaks: {name}"));
            self.bar.reset_eta();
        }
        self.bar.set_length(total as u64);
        self.bar.set_position(done as u64);
        if self.bar.is_hidden() && (begins || self.last_line.elapsed() >= LINE_EVERY) {
            self.last_line = Instant::now();
            eprintln!("looking for leaks: {name} {done}/{total} images");
        }
    }

    fn end(&self) {
        self.bar.finish_and_clear();
    }
}
