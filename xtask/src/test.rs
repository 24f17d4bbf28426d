//! `test`: every test of the workspace, against parts and a report built just before.

use std::{
    env, fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, ensure};

use crate::{
    build::{Options, build},
    demo::SUITE,
    workspace::{Workspace, run as run_command},
};

/// The verb; what follows it goes to `cargo test`.
pub fn run(workspace: &Workspace, arguments: &[String]) -> Result<u8> {
    let dist = build(workspace, Options { with_test_parts: true, ..Options::default() })?;
    let report = report(workspace, &dist)?;
    let mut tests = workspace.cargo(["test", "--workspace", "--no-fail-fast"]);
    tests.args(arguments).env("MEDVLM_DIST", &dist).env("MEDVLM_REPORT", report).stdout(Stdio::piped());

    let mut child = tests.spawn().context("cannot run `cargo test`")?;
    let mut total = Total::default();
    for line in BufReader::new(child.stdout.take().context("`cargo test` has no output")?).lines() {
        let line = line?;
        total.add(&line);
        println!("{line}");
    }
    let status = child.wait()?;
    if env::var_os("MEDVLM_REAL_DATA").is_none() {
        println!("tests on real data were skipped: MEDVLM_REAL_DATA is unset");
    }
    if env::var_os("MEDVLM_PYTHON").is_none() {
        println!("reference implementations in Python were skipped: MEDVLM_PYTHON is unset");
    }
    println!("{} passed, {} failed, {} skipped", total.passed, total.failed, total.ignored);
    Ok(u8::from(!status.success()))
}

/// Runs the quickstart suite afresh and returns its report, which the browser test opens.
fn report(workspace: &Workspace, dist: &Path) -> Result<PathBuf> {
    let folder = workspace.target.join("demo-run");
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| format!("cannot remove {}", folder.display()))?;
    }
    fs::create_dir_all(&folder)?;
    run_command(Command::new(dist.join("medvlm")).current_dir(&folder).arg("run").arg(workspace.root.join(SUITE)))?;
    let report = folder.join("runs/quickstart/report.html");
    ensure!(report.exists(), "the quickstart run wrote no {}", report.display());
    Ok(report)
}

/// The counts of all test binaries together, which cargo itself does not add up.
#[derive(Default)]
struct Total {
    passed: usize,
    failed: usize,
    ignored: usize,
}

impl Total {
    /// Takes the counts of a line `test result: ok. 3 passed; 0 failed; 1 ignored; …`.
    fn add(&mut self, line: &str) {
        let Some(counts) = line.strip_prefix("test result: ") else { return };
        let words: Vec<&str> = counts.split([' ', ';']).filter(|w| !w.is_empty()).collect();
        for pair in words.windows(2) {
            let Ok(count) = pair[0].parse::<usize>() else { continue };
            match pair[1] {
                "passed" => self.passed += count,
                "failed" => self.failed += count,
                "ignored" => self.ignored += count,
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_of_all_binaries_add_up() {
        let mut total = Total::default();
        total.add("test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 2 filtered out; finished in 0.01s");
        total.add("test result: FAILED. 4 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out");
        total.add("test a::b ... ok");
        assert_eq!((total.passed, total.failed, total.ignored), (7, 2, 1));
    }
}
