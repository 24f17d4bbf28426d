//! `train-phantom`: retrains `plugins/contrastive/phantom-clip`, which is committed.

use anyhow::Result;

use crate::workspace::{Workspace, run as run_command};

/// The verb; what follows it goes to the training program.
pub fn run(workspace: &Workspace, arguments: &[String]) -> Result<u8> {
    let train = ["run", "--package", "plugin-contrastive", "--example", "train_phantom", "--"];
    run_command(workspace.cargo(train).args(arguments))?;
    Ok(0)
}
