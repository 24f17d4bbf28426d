//! The manifests found on a search path.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use super::Manifest;
use crate::error::{Error, Result, suggest};

/// Manifests by id.
#[derive(Debug, Default)]
pub struct Catalog {
    manifests: BTreeMap<String, Manifest>,
}

impl Catalog {
    /// Reads every `*.toml` of the directories; the first directory that has an id wins.
    ///
    /// A directory that does not exist is passed over; a manifest that is invalid is an error.
    pub fn load(dirs: &[PathBuf]) -> Result<Self> {
        let mut catalog = Self::default();
        for path in dirs.iter().map(|dir| manifests_in(dir)).collect::<Result<Vec<_>>>()?.concat() {
            let manifest = Manifest::load(&path)?;
            catalog.manifests.entry(manifest.id.clone()).or_insert(manifest);
        }
        Ok(catalog)
    }

    /// The manifest of that id, or an error with the nearest id.
    pub fn get(&self, id: &str) -> Result<&Manifest> {
        self.manifests.get(id).ok_or_else(|| {
            let hint = suggest(id, self.manifests.keys().map(String::as_str));
            Error::usage(format!("unknown dataset `{id}`{hint}"))
        })
    }

    /// All manifests in the order of their ids.
    pub fn iter(&self) -> impl Iterator<Item = &Manifest> {
        self.manifests.values()
    }
}

fn manifests_in(dir: &Path) -> Result<Vec<PathBuf>> {
    if !dir.is_dir() {
        return Ok(Vec::new());
    }
    let entries = std::fs::read_dir(dir).map_err(Error::io(dir))?;
    let mut paths: Vec<PathBuf> =
        entries.map(|entry| entry.map(|e| e.path())).collect::<std::io::Result<_>>().map_err(Error::io(dir))?;
    paths.retain(|path| path.is_file() && path.extension().is_some_and(|extension| extension == "toml"));
    paths.sort();
    Ok(paths)
}
