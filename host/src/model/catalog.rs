//! Plugin libraries on the search path and the rows of their manifests.
//!
//! A plugin directory holds `NAME.so` (or `libNAME.so`), beside it an optional `NAME.toml` with
//! `[plugin]` (size and hash of the library) and one `[[model]]` row for each model.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use crate::{
    error::{Error, Result, read_toml, suggest},
    ids::{Task, check_model_name},
};

/// A plugin library with its manifest.
#[derive(Debug, Clone)]
pub struct PluginFile {
    /// File stem without `lib`.
    pub name: String,
    /// The dynamic library.
    pub library: PathBuf,
    /// Its manifest, where there is one.
    pub manifest: Option<PathBuf>,
    /// Size that the manifest records.
    pub bytes: Option<u64>,
    /// BLAKE3 that the manifest records.
    pub blake3: Option<String>,
    /// The reference that each architecture was found equal to on tiny random weights, by architecture.
    pub parity: BTreeMap<String, String>,
}

/// The architecture that sends what it is asked to an endpoint.
const REMOTE: &str = "remote";

/// A named entry of `models.toml`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Row {
    /// The name that suites use.
    pub id: String,
    /// Architecture of the plugin.
    pub architecture: String,
    /// Human-readable name.
    #[serde(default)]
    pub title: String,
    /// `hf:OWNER/NAME` (Hugging Face cache) or `path:DIR` (relative to the manifest); none where none is needed.
    #[serde(default)]
    pub weights: Option<String>,
    /// Where to find weights that no hub serves in the layout that the model reads; the user names their directory.
    #[serde(default)]
    pub obtain: String,
    /// Revision on the hub.
    #[serde(default)]
    pub revision: Option<String>,
    /// How to cite the model.
    #[serde(default)]
    pub citation: String,
    /// Licence of the weights.
    #[serde(default)]
    pub licence: String,
    /// The name of MedVLMBench, where the model is one of its own.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub medvlmbench: String,
    /// Number of parameters as published, to three digits; 0 where nobody says.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub parameters: u64,
    /// Tasks that the model was published for.
    #[serde(default)]
    pub tasks: Vec<Task>,
    /// Budget of new tokens; 0 for the architecture's own.
    #[serde(default)]
    pub max_new_tokens: u32,
    /// Handed to the architecture.
    #[serde(default)]
    pub options: serde_json::Map<String, serde_json::Value>,
}

impl Row {
    /// Whether the model is behind an endpoint, so that what it is asked may leave this machine.
    pub fn is_remote(&self) -> bool {
        self.architecture == REMOTE
    }

    /// The row without what is only said about the model: what its answers depend on, its checkpoint aside.
    pub fn essence(&self) -> Self {
        let Self { id, architecture, max_new_tokens, options, .. } = self.clone();
        Self { id, architecture, max_new_tokens, options, ..Self::default() }
    }

    /// The row of another model at the same kind of endpoint.
    fn renamed(&self, name: &str) -> Self {
        let plain = |c: char| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c.to_ascii_lowercase() } else { '-' };
        let mut row = self.clone();
        row.id = format!("{}-{}", self.id, name.chars().map(plain).collect::<String>());
        row.title = name.into();
        row.options.insert("model".into(), name.into());
        row
    }
}

/// Every plugin and model on the search path.
#[derive(Debug, Default)]
pub struct Catalog {
    plugins: Vec<PluginFile>,
    models: BTreeMap<String, (usize, Row)>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Manifest {
    #[serde(default)]
    plugin: Head,
    #[serde(default)]
    parity: BTreeMap<String, String>,
    #[serde(default)]
    model: Vec<Row>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Head {
    #[serde(default)]
    library: Option<String>,
    #[serde(default)]
    bytes: Option<u64>,
    #[serde(default)]
    blake3: Option<String>,
}

impl Catalog {
    /// Reads the plugin directories; of two plugins or models of one name the first wins.
    pub fn load(dirs: &[PathBuf]) -> Result<Self> {
        let mut catalog = Self::default();
        for dir in dirs {
            let Ok(entries) = fs::read_dir(dir) else { continue };
            let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
            paths.sort();
            for library in
                paths.into_iter().filter(|p| p.extension().is_some_and(|e| e == std::env::consts::DLL_EXTENSION))
            {
                catalog.add(library)?;
            }
        }
        Ok(catalog)
    }

    /// Adds one library with the manifest beside it.
    pub fn add(&mut self, library: PathBuf) -> Result<()> {
        let (plugin, rows) = read_plugin(library)?;
        if self.plugins.iter().any(|p| p.name == plugin.name) {
            return Ok(());
        }
        for row in rows {
            check_model_name(&row.id)?;
            self.models.entry(row.id.clone()).or_insert((self.plugins.len(), row));
        }
        self.plugins.push(plugin);
        Ok(())
    }

    /// The plugins, in search order.
    pub fn plugins(&self) -> &[PluginFile] {
        &self.plugins
    }

    /// The models with their plugins, by name.
    pub fn models(&self) -> impl Iterator<Item = (&Row, &PluginFile)> {
        self.models.values().map(|(plugin, row)| (row, &self.plugins[*plugin]))
    }

    /// The model of this name. `ROW:NAME` is the model `NAME` at the kind of endpoint that a remote row describes.
    pub fn find(&self, id: &str) -> Result<(Row, &PluginFile)> {
        if let Some((base, name)) = id.split_once(':')
            && let Some((plugin, row)) = self.models.get(base)
        {
            if !row.is_remote() || name.is_empty() {
                return Err(Error::usage(format!("`{id}` is no model: only a remote one is named as `remote:NAME`")));
            }
            return Ok((row.renamed(name), &self.plugins[*plugin]));
        }
        let (plugin, row) = self.models.get(id).ok_or_else(|| {
            let known = suggest(id, self.models.keys().map(String::as_str));
            Error::usage(format!("unknown model `{id}`{known}; `medvlm list models` shows all"))
        })?;
        Ok((row.clone(), &self.plugins[*plugin]))
    }
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
fn is_zero(n: &u64) -> bool {
    *n == 0
}

/// A library and the rows of the manifest beside it.
fn read_plugin(library: PathBuf) -> Result<(PluginFile, Vec<Row>)> {
    let stem = library.file_stem().and_then(|s| s.to_str()).unwrap_or_default();
    let name = stem.strip_prefix("lib").unwrap_or(stem).to_string();
    let path = library.with_file_name(format!("{name}.toml"));
    let manifest: Manifest = if path.exists() { read_toml(&path)? } else { Manifest::default() };
    if let Some(named) = manifest.plugin.library.as_deref().filter(|n| Path::new(n).file_name() != library.file_name())
    {
        return Err(Error::invalid(&path, format!("describes `{named}`, but lies beside `{}`", library.display())));
    }
    let plugin = PluginFile {
        name,
        manifest: path.exists().then_some(path),
        bytes: manifest.plugin.bytes,
        blake3: manifest.plugin.blake3,
        parity: manifest.parity,
        library,
    };
    Ok((plugin, manifest.model))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_remote_model_has_a_name_and_no_other_row_stands_for_many() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let row = |id: &str, kind: &str| format!("[[model]]\nid = '{id}'\narchitecture = '{kind}'\n");
        fs::write(dir.path().join("far.so"), "").expect("writable");
        fs::write(dir.path().join("far.toml"), row("remote", "remote") + &row("near", "clip")).expect("writable");
        let catalog = Catalog::load(&[dir.path().into()]).expect("valid");
        let (named, _) = catalog.find("remote:Org/Model:7b").expect("found");
        assert_eq!((named.id.as_str(), named.options["model"].as_str()), ("remote-org-model-7b", Some("Org/Model:7b")));
        assert!(catalog.find("near").is_ok_and(|(row, _)| !row.is_remote()));
        for unknown in ["near:x", "remote:", "neer", "neer:x"] {
            assert!(catalog.find(unknown).is_err(), "{unknown}");
        }
    }
}
