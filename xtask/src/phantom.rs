//! `phantom`: regenerates `data/phantom/phantom.parquet`, which is committed.

use anyhow::{Result, ensure};

use crate::workspace::{Workspace, run as run_command};

/// The verb.
pub fn run(workspace: &Workspace, arguments: &[String]) -> Result<u8> {
    ensure!(arguments.is_empty(), "phantom takes no arguments");
    run_command(&mut workspace.cargo(["run", "--package", "phantom", "--bin", "generate"]))?;
    Ok(0)
}
