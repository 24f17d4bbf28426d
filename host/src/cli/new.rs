//! `medvlm new`: projects that build outside this workspace and pass their checks as they are.
//!
//! A new plugin or scorer carries the contract crate that this program was built with, so it needs neither a
//! checkout of this project nor a published crate.

use std::{
    fs,
    path::{Path, PathBuf},
};

use clap::{Args, Subcommand};

use crate::{
    error::{COMPLETE, Error, Result},
    ids::check_name,
};

/// Arguments of `medvlm new`.
#[derive(Args)]
pub struct NewArgs {
    #[command(subcommand)]
    kind: Kind,
}

#[derive(Subcommand)]
enum Kind {
    /// A model plugin in Rust
    Plugin(Project),
    /// A scorer component in Rust
    Scorer(Project),
    /// A dataset manifest with a tiny example copy
    Dataset(Project),
}

#[derive(Args)]
struct Project {
    /// Name: lower-case letters, digits and dashes
    name: String,
    /// Directory to make [default: the name]
    #[arg(long, value_name = "DIR")]
    into: Option<PathBuf>,
}

/// A file of a project: path, and text in which `NAME` stands for the project's name.
type File = (&'static str, &'static str);

macro_rules! files {
    ($folder:literal: $($path:literal),* $(,)?) => {
        &[$(($path, include_str!(concat!($folder, $path)))),*]
    };
}

const PLUGIN: &[File] = files!("new/plugin/": "src/lib.rs", "models.toml", "README.md");
const SCORER: &[File] = files!("new/scorer/": "src/lib.rs", "README.md");
const DATASET: &[File] = files!("new/dataset/": "NAME.toml", "NAME/labels.csv", "README.md");

/// The plugin contract.
const PLUGIN_API: &[File] = files!("../../../":
    "plugin-api/Cargo.toml", "plugin-api/src/abi.rs", "plugin-api/src/client.rs", "plugin-api/src/dispatch.rs",
    "plugin-api/src/error.rs", "plugin-api/src/export.rs", "plugin-api/src/frames.rs", "plugin-api/src/lib.rs",
    "plugin-api/src/message.rs", "plugin-api/src/model.rs", "plugin-api/src/tensor.rs",
);

/// The scorer contract.
const SCORER_KIT: &[File] = files!("../../../":
    "plugin-api/wit/scorer.wit", "scorers/kit/Cargo.toml",
    "scorers/kit/src/ask.rs",
    "scorers/kit/src/describe.rs",
    "scorers/kit/src/diagnosis.rs",
    "scorers/kit/src/export.rs",
    "scorers/kit/src/lib.rs",
    "scorers/kit/src/probability.rs",
    "scorers/kit/src/ranking.rs",
    "scorers/kit/src/resample.rs",
    "scorers/kit/src/text.rs",
    "scorers/kit/src/text/choice.rs",
    "scorers/kit/src/text/contractions.rs",
    "scorers/kit/src/text/overlap.rs",
    "scorers/kit/src/text/porter.rs",
    "scorers/kit/src/text/squad.rs",
    "scorers/kit/src/text/tokeniser.rs",
    "scorers/kit/src/text/vqa.rs",
    "scorers/kit/src/vectors.rs",
);

/// Versions and lints that the vendored crates inherit, and the exact versions that they were tested with.
const ROOT_MANIFEST: &str = include_str!("../../../Cargo.toml");
const LOCK: &str = include_str!("../../../Cargo.lock");

impl NewArgs {
    /// Writes the project and says what to do next.
    pub fn run(self) -> Result<u8> {
        match self.kind {
            Kind::Plugin(project) => project.write_crate(PLUGIN, PLUGIN_API, "plugin-api", "plugin-api", ""),
            Kind::Scorer(project) => {
                project.write_crate(SCORER, SCORER_KIT, "scorer-kit", "scorers/kit", SCORER_PROFILE)
            }
            Kind::Dataset(project) => project.write_dataset(),
        }
    }
}

const SCORER_PROFILE: &str = "\n[profile.release]\ncodegen-units = 1\nlto = \"fat\"\npanic = \"abort\"\nstrip = true\n";

impl Project {
    fn write_crate(self, own: &[File], vendored: &[File], contract: &str, folder: &str, profile: &str) -> Result<u8> {
        let dir = self.dir()?;
        let manifest = manifest(&self.name, contract, folder, profile)?;
        write(&dir, "Cargo.toml", &manifest)?;
        write(&dir, "Cargo.lock", LOCK)?;
        write(&dir, ".gitignore", "/target\n")?;
        for (path, text) in own {
            write(&dir, path, &self.named(text))?;
        }
        for (path, text) in vendored {
            let text = if path.ends_with("Cargo.toml") { without_tests(text)? } else { text.to_string() };
            write(&dir.join("vendor"), path, &text)?;
        }
        self.done(&dir)
    }

    fn write_dataset(self) -> Result<u8> {
        let dir = self.dir()?;
        for (path, text) in DATASET {
            write(&dir, &self.named(path), &self.named(text))?;
        }
        for (file, brightness) in [("bright-1", 230), ("bright-2", 200), ("dark-1", 20), ("dark-2", 60)] {
            let path = dir.join(&self.name).join("images").join(format!("{file}.png"));
            let parent = path.parent().unwrap_or(&dir);
            fs::create_dir_all(parent).map_err(Error::io(parent))?;
            // A gradient: no two of the pictures are alike.
            let picture =
                image::RgbImage::from_fn(48, 40, |x, y| image::Rgb([brightness, (x * 2) as u8, (y * 2) as u8]));
            picture.save(&path).map_err(|e| Error::failed(format!("{}: {e}", path.display())))?;
        }
        self.done(&dir)
    }

    fn dir(&self) -> Result<PathBuf> {
        check_name("project", &self.name)?;
        let dir = self.into.clone().unwrap_or_else(|| PathBuf::from(&self.name));
        if dir.exists() {
            return Err(Error::usage(format!("{} exists already: choose another name, or --into DIR", dir.display())));
        }
        Ok(dir)
    }

    fn named(&self, text: &str) -> String {
        text.replace("NAME", &self.name)
    }

    fn done(&self, dir: &Path) -> Result<u8> {
        println!("wrote {}; {} says how to build and use it", dir.display(), dir.join("README.md").display());
        Ok(COMPLETE)
    }
}

fn write(dir: &Path, path: &str, text: &str) -> Result<()> {
    let path = dir.join(path);
    let parent = path.parent().unwrap_or(dir);
    fs::create_dir_all(parent).map_err(Error::io(parent))?;
    fs::write(&path, text).map_err(Error::io(&path))
}

/// A contract's manifest without what serves its own tests only.
fn without_tests(manifest: &str) -> Result<String> {
    let mut manifest: toml::Table =
        toml::from_str(manifest).map_err(|e| Error::failed(format!("a contract's manifest: {e}")))?;
    for key in ["dev-dependencies", "example", "test", "bench"] {
        manifest.remove(key);
    }
    toml::to_string(&manifest).map_err(|e| Error::failed(format!("a contract's manifest: {e}")))
}

/// The project's own Cargo.toml: a workspace that holds the vendored contract with the versions it inherits.
fn manifest(name: &str, contract: &str, folder: &str, profile: &str) -> Result<String> {
    let root: toml::Table =
        toml::from_str(ROOT_MANIFEST).map_err(|e| Error::failed(format!("the root manifest: {e}")))?;
    let workspace = root.get("workspace").and_then(toml::Value::as_table).cloned().unwrap_or_default();
    let mut inherited = toml::Table::new();
    inherited.insert("resolver".into(), "3".into());
    inherited.insert("members".into(), vec![format!("vendor/{folder}")].into());
    for key in ["package", "lints"] {
        inherited.insert(key.into(), workspace.get(key).cloned().unwrap_or(toml::Table::new().into()));
    }
    let mut dependencies = workspace.get("dependencies").and_then(toml::Value::as_table).cloned().unwrap_or_default();
    // Crates of this project are not there; what the contract needs of them is vendored.
    dependencies.retain(|_, value| value.get("path").is_none());
    inherited.insert("dependencies".into(), dependencies.into());
    let tail = toml::to_string(&toml::Table::from_iter([("workspace".to_string(), inherited.into())]))
        .map_err(|e| Error::failed(format!("the new manifest: {e}")))?;
    Ok(format!(
        "[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2024\"\npublish = false\n\n\
         [lib]\ncrate-type = [\"cdylib\"]\n\n\
         [dependencies]\n{contract} = {{ path = \"vendor/{folder}\" }}\n{profile}\n\
         # What the vendored contract inherits.\n{tail}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_source_file_of_the_contracts_is_vendored() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let folders =
            [("plugin-api/src", PLUGIN_API), ("scorers/kit/src", SCORER_KIT), ("scorers/kit/src/text", SCORER_KIT)];
        for (folder, vendored) in folders {
            for entry in fs::read_dir(root.join(folder)).expect("readable").flatten() {
                let path = format!("{folder}/{}", entry.file_name().to_string_lossy());
                let known = folders.iter().any(|(known, _)| *known == path);
                assert!(known || vendored.iter().any(|(file, _)| *file == path), "{path} is missing in cli/new.rs");
            }
        }
    }
}
