//! `docs`: regenerates what is generated.

use anyhow::Result;

use crate::workspace::Workspace;

/// The verb.
pub fn run(_workspace: &Workspace, _arguments: &[String]) -> Result<u8> {
    Ok(0)
}
