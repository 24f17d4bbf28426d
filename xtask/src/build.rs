//! `build`: lays out `dist/`.
//!
//! ```text
//! dist/medvlm                      the host
//! dist/plugins/NAME.so NAME.toml   each plugin, and its models.toml under a head with the library's hash
//! dist/plugins/DIR                 checkpoints that ship with a plugin (`weights = "path:DIR"`)
//! dist/plugins/NAME/DIR            other folders that ship with it (`[package.metadata.medvlm] ship`)
//! dist/scorers/NAME.wasm           each scorer component
//! dist/data dist/suites            manifests with their bundled data, and suites with their tables of published values
//! dist/test-plugins test-scorers   the parts that exist for the tests, with --with-test-parts
//! ```

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
    time::Instant,
};

use anyhow::{Context, Result, bail, ensure};
use toml::Table;

use crate::{
    dist,
    workspace::{Artifact, Kind, Part, Workspace, artifacts, run as run_command},
};

/// The target that scorers are built for.
pub const WASM: &str = "wasm32-wasip2";

/// Cargo compiles a dependency anew when its features differ, and development dependencies bring features of their
/// own. This selection has the features of `cargo test --workspace` (examples see development dependencies), so that
/// wasmtime and candle are compiled once for both.
const AS_FOR_TESTS: [&str; 5] = ["build", "--workspace", "--lib", "--bins", "--examples"];

/// What to build.
#[derive(Clone, Copy, Default)]
pub struct Options {
    /// Host and plugins with the release profile rather than the tuned development profile.
    pub release: bool,
    /// As `release`, with plugins that can use NVIDIA's GPUs; needs CUDA's compiler.
    pub cuda: bool,
    /// Also the parts that exist for the tests.
    pub with_test_parts: bool,
}

/// The verb.
pub fn run(workspace: &Workspace, arguments: &[String]) -> Result<u8> {
    let mut options = Options::default();
    for argument in arguments {
        match argument.as_str() {
            "--release" => options.release = true,
            "--cuda" => options.cuda = true,
            "--with-test-parts" => options.with_test_parts = true,
            unknown => bail!("unknown flag `{unknown}` (known: --release, --cuda, --with-test-parts)"),
        }
    }
    build(workspace, options)?;
    Ok(0)
}

/// Builds and lays out everything; returns `dist/`.
pub fn build(workspace: &Workspace, options: Options) -> Result<PathBuf> {
    let start = Instant::now();
    ensure_wasm_target(workspace)?;
    let plugins = workspace.parts(Kind::Plugin, options.with_test_parts);
    let scorers = workspace.parts(Kind::Scorer, options.with_test_parts);

    let native = if options.release || options.cuda {
        let mut build = workspace.cargo(["build", "--release", "--package", "medvlm"]);
        if options.cuda {
            build.args(["--package", "blocks", "--features", "blocks/cuda"]);
        }
        artifacts(packages(&mut build, &plugins))?
    } else {
        artifacts(&mut workspace.cargo(AS_FOR_TESTS))?
    };
    let mut guests = workspace.cargo(["build", "--profile", "scorer", "--target", WASM]);
    let components = artifacts(packages(guests.env("CARGO_ENCODED_RUSTFLAGS", portable_paths(workspace)), &scorers))?;

    let layout = Layout { workspace, dist: workspace.root.join("dist") };
    layout.host(&native)?;
    for part in plugins {
        layout.plugin(part, &native)?;
    }
    for part in scorers {
        layout.scorer(part, &components)?;
    }
    layout.manifests("data")?;
    layout.manifests("suites")?;
    println!("built in {:.1} s", start.elapsed().as_secs_f64());
    Ok(layout.dist)
}

/// Adds the WebAssembly target where it is missing: rustup does not when it may not install on its own.
fn ensure_wasm_target(workspace: &Workspace) -> Result<()> {
    let mut question = Command::new("rustc");
    question.current_dir(&workspace.root).args(["--print", "target-libdir", "--target", WASM]);
    let answer = question.output().context("cannot run rustc")?;
    if Path::new(String::from_utf8_lossy(&answer.stdout).trim()).is_dir() {
        return Ok(());
    }
    println!("the Rust target {WASM} is missing; adding it through rustup");
    run_command(Command::new("rustup").current_dir(&workspace.root).args(["target", "add", WASM]))
        .with_context(|| format!("scorers need the Rust target {WASM}; `rustup target add {WASM}` adds it"))
}

/// Flags that keep the folders of this machine out of a component: panics name their source file, and the same source
/// shall make the same bytes everywhere.
fn portable_paths(workspace: &Workspace) -> String {
    let home = env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| env::var_os("HOME").map(|home| Path::new(&home).join(".cargo"))).unwrap_or_default();
    [(home.as_path(), "cargo"), (workspace.root.as_path(), "medvlm")]
        .map(|(folder, name)| format!("--remap-path-prefix={}={name}", folder.display()))
        .join("\u{1f}")
}

fn packages<'a>(build: &'a mut Command, parts: &[&Part]) -> &'a mut Command {
    build.args(parts.iter().flat_map(|part| ["--package", &part.package]))
}

struct Layout<'a> {
    workspace: &'a Workspace,
    dist: PathBuf,
}

impl Layout<'_> {
    fn host(&self, made: &[Artifact]) -> Result<()> {
        let file = find(made, &self.workspace.root.join("host"), env::consts::EXE_SUFFIX)?;
        let to = self.dist.join(format!("medvlm{}", env::consts::EXE_SUFFIX));
        let changed = dist::copy(file, &to)?;
        self.tell("host", "medvlm", &to, changed)
    }

    fn plugin(&self, part: &Part, made: &[Artifact]) -> Result<()> {
        let folder = self.dist.join(if part.test_only { "test-plugins" } else { "plugins" });
        let library = format!("{}{}", part.name, env::consts::DLL_SUFFIX);
        let to = folder.join(&library);
        let mut changed = dist::copy(find(made, &part.folder, env::consts::DLL_SUFFIX)?, &to)?;
        let models = part.folder.join("models.toml");
        let models = if models.exists() { fs::read_to_string(models)? } else { String::new() };
        for checkpoint in bundled(&models).with_context(|| format!("{}/models.toml", part.folder.display()))? {
            let from = part.folder.join(&checkpoint);
            changed |= dist::copy_folder(&from, &folder.join(&checkpoint), &|_| true)? > 0;
        }
        for ship in &part.ships {
            let compiled = |path: &Path| has_extension(path, "pyc");
            changed |=
                dist::copy_folder(&part.folder.join(ship), &folder.join(&part.name).join(ship), &|p| !compiled(p))? > 0;
        }
        let manifest = format!("{}{models}", head(&library, &fs::read(&to)?));
        changed |= dist::write(&folder.join(format!("{}.toml", part.name)), manifest.as_bytes())?;
        self.tell("plugin", &part.name, &to, changed)
    }

    fn scorer(&self, part: &Part, made: &[Artifact]) -> Result<()> {
        let folder = self.dist.join(if part.test_only { "test-scorers" } else { "scorers" });
        let to = folder.join(format!("{}.wasm", part.name));
        let changed = dist::copy(find(made, &part.folder, ".wasm")?, &to)?;
        self.tell("scorer", &part.name, &to, changed)
    }

    /// The manifests of a folder, and the tables (`*.parquet`) bundled in the folders beside them.
    fn manifests(&self, name: &str) -> Result<()> {
        let from = self.workspace.root.join(name);
        if !from.exists() {
            return Ok(());
        }
        for path in dist::entries(&from)? {
            let to = self.dist.join(name).join(path.file_name().unwrap_or_default());
            if has_extension(&path, "toml") || has_extension(&path, "csv") {
                let changed = dist::copy(&path, &to)?;
                self.tell(name, &path.file_stem().unwrap_or_default().to_string_lossy(), &to, changed)?;
            } else if path.is_dir() && dist::copy_folder(&path, &to, &|file| has_extension(file, "parquet"))? > 0 {
                let folder = path.file_name().unwrap_or_default().to_string_lossy();
                println!("{name:<8}{folder:<24}{}/", self.workspace.show(&to));
            }
        }
        Ok(())
    }

    fn tell(&self, kind: &str, name: &str, file: &Path, changed: bool) -> Result<()> {
        let size = fs::metadata(file)?.len();
        let size = if size < 100_000 {
            format!("{:.1} kB", size as f64 / 1e3)
        } else {
            format!("{:.1} MB", size as f64 / 1e6)
        };
        let state = if changed { "" } else { "  unchanged" };
        println!("{kind:<8}{name:<24}{:<44}{size:>9}{state}", self.workspace.show(file).to_string());
        Ok(())
    }
}

/// The one file that cargo made from the package in `folder`.
fn find<'a>(made: &'a [Artifact], folder: &Path, suffix: &str) -> Result<&'a Path> {
    let found = made.iter().find(|a| a.folder == folder && a.file.to_string_lossy().ends_with(suffix));
    found.map(|a| a.file.as_path()).with_context(|| format!("cargo made no {suffix} file from {}", folder.display()))
}

/// What the host needs to trust a library before it maps it.
fn head(library: &str, bytes: &[u8]) -> String {
    format!(
        "[plugin]\nlibrary = \"{library}\"\nbytes = {}\nblake3 = \"{}\"\n\n",
        bytes.len(),
        blake3::hash(bytes).to_hex()
    )
}

/// The folders that a `models.toml` names as `weights = "path:DIR"`, which ship beside the plugin.
fn bundled(models: &str) -> Result<Vec<String>> {
    let models: Table = models.parse()?;
    let rows = models.values().filter_map(toml::Value::as_array).flatten();
    let weights = rows.filter_map(|row| row.get("weights")?.as_str()?.strip_prefix("path:"));
    let mut folders: Vec<String> = Vec::new();
    for folder in weights {
        let inside = Path::new(folder).components().all(|c| matches!(c, std::path::Component::Normal(_)));
        ensure!(inside, "weights path:{folder} lies outside the plugin's folder");
        if !folders.iter().any(|f| f == folder) {
            folders.push(folder.into());
        }
    }
    Ok(folders)
}

fn has_extension(path: &Path, extension: &str) -> bool {
    path.extension().is_some_and(|e| e == extension)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_head_reads_back_with_the_models_behind_it() {
        let text = format!("{}[[model]]\nid = \"a\"\nweights = \"path:tiny\"\n", head("a.so", b"library"));
        let manifest: Table = text.parse().expect("valid TOML");
        assert_eq!(manifest["plugin"]["bytes"].as_integer(), Some(7));
        assert_eq!(manifest["plugin"]["blake3"].as_str().map(str::len), Some(64));
        assert_eq!(manifest["model"][0]["id"].as_str(), Some("a"));
    }

    #[test]
    fn bundled_folders_are_named_once_and_stay_inside() {
        let row = |weights: &str| format!("[[model]]\nweights = \"{weights}\"\n");
        let models = [row("path:tiny"), row("hf:org/name"), row("path:tiny")].concat();
        assert_eq!(bundled(&models).expect("valid"), ["tiny"]);
        assert!(bundled(&row("path:../elsewhere")).is_err());
    }
}
