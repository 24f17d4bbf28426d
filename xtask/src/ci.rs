//! `ci`: everything that a change must pass, cheapest first; the tests' own lines come last.

use std::{process::Command, time::Instant};

use anyhow::{Result, ensure};

use crate::{
    build::WASM,
    deny, test,
    workspace::{Kind, Workspace, run as run_command, show},
};

/// The verb.
pub fn run(workspace: &Workspace, arguments: &[String]) -> Result<u8> {
    ensure!(arguments.is_empty(), "ci takes no arguments");
    step(&mut workspace.cargo(["fmt", "--all", "--check"]))?;
    step(&mut workspace.cargo(["clippy", "--workspace", "--all-targets", "--", "--deny", "warnings"]))?;
    let mut components = workspace.cargo(["clippy", "--profile", "scorer", "--target", WASM]);
    for scorer in workspace.parts(Kind::Scorer, true) {
        components.args(["--package", &scorer.package]);
    }
    step(components.args(["--", "--deny", "warnings"]))?;
    deny::check(workspace)?;
    test::run(workspace, &[])
}

fn step(command: &mut Command) -> Result<()> {
    let start = Instant::now();
    run_command(command)?;
    println!("{}: ok in {:.1} s", show(command), start.elapsed().as_secs_f64());
    Ok(())
}
