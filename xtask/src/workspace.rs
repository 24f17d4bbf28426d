//! What the workspace consists of, and how its commands are run.

use std::{
    env, fmt,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, anyhow, bail};
use serde_json::Value;

/// The repository.
pub struct Workspace {
    /// Its root directory.
    pub root: PathBuf,
    /// Where cargo builds.
    pub target: PathBuf,
    /// Every plugin and scorer, by name.
    pub parts: Vec<Part>,
}

/// A plugin or a scorer: a package under `plugins/` or `scorers/` that builds a dynamic library.
pub struct Part {
    /// What it is.
    pub kind: Kind,
    /// Its folder's name, which is its name everywhere.
    pub name: String,
    /// Its package's name.
    pub package: String,
    /// Its folder.
    pub folder: PathBuf,
    /// Whether it exists for the tests only: `[package.metadata.medvlm] test-only = true`.
    pub test_only: bool,
    /// Folders that lie beside the library in a folder of its name: `[package.metadata.medvlm] ship = ["DIR"]`.
    pub ships: Vec<String>,
}

/// The two kinds of parts.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A model plugin, built natively.
    Plugin,
    /// A scorer component, built for WebAssembly.
    Scorer,
}

/// One file that cargo made.
pub struct Artifact {
    /// Folder of the package it belongs to.
    pub folder: PathBuf,
    /// The file.
    pub file: PathBuf,
}

impl Workspace {
    /// Asks cargo about the workspace of the current directory.
    pub fn read() -> Result<Self> {
        let mut metadata = Command::new(cargo());
        metadata.args(["metadata", "--no-deps", "--format-version", "1"]);
        let output = metadata.stderr(Stdio::inherit()).output().context("cannot run cargo")?;
        let metadata: Value = serde_json::from_slice(&output.stdout).context("`cargo metadata` failed")?;
        let root = PathBuf::from(text(&metadata["workspace_root"])?);
        let packages = metadata["packages"].as_array().context("cargo metadata names no packages")?;
        let mut parts: Vec<Part> = Vec::new();
        for package in packages {
            parts.extend(part(package, &root)?);
        }
        parts.sort_by(|a, b| (a.kind, &a.name).cmp(&(b.kind, &b.name)));
        Ok(Self { target: text(&metadata["target_directory"])?.into(), root, parts })
    }

    /// A cargo command in the root directory.
    pub fn cargo<S: AsRef<str>>(&self, arguments: impl IntoIterator<Item = S>) -> Command {
        let mut command = Command::new(cargo());
        command.current_dir(&self.root);
        for argument in arguments {
            command.arg(argument.as_ref());
        }
        command
    }

    /// The parts of one kind; those for tests only on request.
    pub fn parts(&self, kind: Kind, with_test_parts: bool) -> Vec<&Part> {
        self.parts.iter().filter(|p| p.kind == kind && (with_test_parts || !p.test_only)).collect()
    }

    /// A path as a person reads it: relative to the root.
    pub fn show<'a>(&self, path: &'a Path) -> std::path::Display<'a> {
        path.strip_prefix(&self.root).unwrap_or(path).display()
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Plugin => "plugin",
            Self::Scorer => "scorer",
        })
    }
}

/// Runs a command to its end; a failure is an error that names it.
pub fn run(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("cannot run `{}`", show(command)))?;
    if status.success() { Ok(()) } else { Err(anyhow!("`{}` failed ({status})", show(command))) }
}

/// Runs a `cargo build` and returns the executables and dynamic libraries that it made or found fresh.
pub fn artifacts(build: &mut Command) -> Result<Vec<Artifact>> {
    build.arg("--message-format=json-render-diagnostics").stdout(Stdio::piped());
    let mut child = build.spawn().with_context(|| format!("cannot run `{}`", show(build)))?;
    let stdout = child.stdout.take().context("cargo has no output")?;
    let mut found = Vec::new();
    for line in BufReader::new(stdout).lines() {
        let message: Value = serde_json::from_str(&line?).context("cargo's messages are no JSON")?;
        if message["reason"] != "compiler-artifact" {
            continue;
        }
        let Some(folder) = Path::new(text(&message["manifest_path"])?).parent() else { continue };
        let libraries = message["filenames"].as_array().into_iter().flatten().filter_map(Value::as_str);
        let libraries = libraries.filter(|f| f.ends_with(env::consts::DLL_SUFFIX) || f.ends_with(".wasm"));
        for file in libraries.chain(message["executable"].as_str()) {
            found.push(Artifact { folder: folder.into(), file: file.into() });
        }
    }
    let status = child.wait()?;
    if status.success() { Ok(found) } else { bail!("`{}` failed ({status})", show(build)) }
}

/// A command as one would type it.
pub fn show(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_name().unwrap_or_default().to_string_lossy();
    let arguments = command.get_args().map(|a| format!(" {}", a.to_string_lossy()));
    format!("{program}{}", arguments.collect::<String>())
}

fn cargo() -> String {
    env::var("CARGO").unwrap_or_else(|_| "cargo".into())
}

fn part(package: &Value, root: &Path) -> Result<Option<Part>> {
    let Some(folder) = Path::new(text(&package["manifest_path"])?).parent() else { return Ok(None) };
    let kind = match folder.parent() {
        Some(parent) if parent == root.join("plugins") => Kind::Plugin,
        Some(parent) if parent == root.join("scorers") => Kind::Scorer,
        _ => return Ok(None),
    };
    let targets = package["targets"].as_array().into_iter().flatten();
    let mut crate_types = targets.flat_map(|t| t["crate_types"].as_array().into_iter().flatten());
    if !crate_types.any(|t| t == "cdylib") {
        return Ok(None);
    }
    let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let test_only = package["metadata"]["medvlm"]["test-only"] == true;
    let ships = package["metadata"]["medvlm"]["ship"].as_array().into_iter().flatten().map(text);
    let ships = ships.map(|ship| ship.map(String::from)).collect::<Result<_>>()?;
    Ok(Some(Part { kind, name, package: text(&package["name"])?.into(), folder: folder.into(), test_only, ships }))
}

fn text(value: &Value) -> Result<&str> {
    value.as_str().with_context(|| format!("cargo says {value} where a string belongs"))
}
