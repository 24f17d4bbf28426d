//! The dependency rules of `deny.toml`.

use std::{
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};

use crate::workspace::{Workspace, run};

/// How long the advisory database may take to arrive.
const FETCH_LIMIT: Duration = Duration::from_secs(120);

/// Checks licences, sources and bans; and advisories, unless their database is out of reach, which it says.
pub fn check(workspace: &Workspace) -> Result<()> {
    let version = workspace.cargo(["deny", "--version"]).stdout(Stdio::null()).stderr(Stdio::null()).status();
    ensure!(
        version.is_ok_and(|status| status.success()),
        "cargo-deny is not installed; `cargo install --locked cargo-deny` adds it"
    );
    run(&mut workspace.cargo(["deny", "check", "--show-stats", "bans", "licenses", "sources"]))?;
    if fetched(&mut workspace.cargo(["deny", "fetch", "db"]))? {
        run(&mut workspace.cargo(["deny", "check", "--disable-fetch", "--show-stats", "advisories"]))
    } else {
        println!("notice: advisories are NOT checked: the advisory database cannot be fetched from here");
        Ok(())
    }
}

/// Whether a command succeeds within the limit; one that hangs is ended.
fn fetched(command: &mut Command) -> Result<bool> {
    let start = Instant::now();
    let mut child = command.stdin(Stdio::null()).spawn().context("cannot run cargo-deny")?;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status.success());
        }
        if start.elapsed() > FETCH_LIMIT {
            child.kill()?;
            child.wait()?;
            return Ok(false);
        }
        thread::sleep(Duration::from_millis(100));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_that_fails_counts_as_not_fetched() {
        assert!(fetched(Command::new("true").arg("db")).expect("runs"));
        assert!(!fetched(&mut Command::new("false")).expect("runs"));
    }
}
