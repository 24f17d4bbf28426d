//! `cargo xtask VERB`: builds, runs, tests and regenerates this repository.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a developer's command line tool talks to its user")]

use std::{env, process::ExitCode};

use anyhow::Result;

use crate::workspace::Workspace;

mod build;
mod ci;
mod demo;
mod deny;
mod dist;
mod docs;
mod phantom;
mod test;
mod train_phantom;
mod workspace;

const USAGE: &str = "\
usage: cargo xtask VERB

  build [--release] [--cuda] [--with-test-parts]
                         host, plugins and scorers into dist/, with the data and the suites
  demo                   build, then run suites/quickstart.toml into runs/quickstart
  test [FILTER] [ARGS]   build, then every test; what follows goes to `cargo test`
  ci                     formatting, lints, dependency rules, then test
  docs [--check]         regenerate the tables of the README files from models.toml, scorers and manifests
  phantom                regenerate the bundled synthetic dataset
  train-phantom clip|vlm [ARGS]
                         retrain the bundled phantom-clip or phantom-vlm, which has the tower of the former";

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let verb = match arguments.first() {
        Some(verb) => verb.as_str(),
        None => "help",
    };
    match dispatch(verb, arguments.get(1..).unwrap_or_default()) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(verb: &str, arguments: &[String]) -> Result<u8> {
    let verb: fn(&Workspace, &[String]) -> Result<u8> = match verb {
        "build" => build::run,
        "demo" => demo::run,
        "test" => test::run,
        "ci" => ci::run,
        "docs" => docs::run,
        "phantom" => phantom::run,
        "train-phantom" => train_phantom::run,
        "help" | "--help" | "-h" => {
            println!("{USAGE}");
            return Ok(0);
        }
        unknown => anyhow::bail!("unknown verb `{unknown}`\n{USAGE}"),
    };
    verb(&Workspace::read()?, arguments)
}
