//! `demo`: one command from a clone to a report.

use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::{
    build::{Options, build},
    workspace::Workspace,
};

/// The suite that needs nothing but this repository.
pub const SUITE: &str = "suites/quickstart.toml";

/// The verb; ends with the host's own exit code.
pub fn run(workspace: &Workspace, arguments: &[String]) -> Result<u8> {
    ensure!(arguments.is_empty(), "demo takes no arguments");
    let dist = build(workspace, Options::default())?;
    let mut host = Command::new(dist.join("medvlm"));
    // After a change of code or data, the demo shows what is there now.
    let status =
        host.current_dir(&workspace.root).args(["run", SUITE, "--redo"]).status().context("cannot run dist/medvlm")?;
    Ok(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1))
}
