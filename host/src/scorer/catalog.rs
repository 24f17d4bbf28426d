//! The scorers that lie on the search path.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use crate::error::{Error, Result, suggest};

/// Scorer components by name; the name is the stem of the file.
#[derive(Debug, Clone, Default)]
pub struct Catalog {
    scorers: BTreeMap<String, PathBuf>,
}

impl Catalog {
    /// Lists the `*.wasm` files of each directory. The first directory that has a name wins; one that does not exist
    /// is empty.
    pub fn load(dirs: &[PathBuf]) -> Result<Self> {
        let mut scorers = BTreeMap::new();
        for dir in dirs.iter().filter(|dir| dir.exists()) {
            for entry in fs::read_dir(dir).map_err(Error::io(dir))? {
                let path = entry.map_err(Error::io(dir))?.path();
                if let (Some("wasm"), Some(id)) = (extension(&path), path.file_stem().and_then(|s| s.to_str())) {
                    scorers.entry(id.to_string()).or_insert_with(|| path.clone());
                }
            }
        }
        Ok(Self { scorers })
    }

    /// The component of a scorer. Fails with the nearest known name.
    pub fn find(&self, id: &str) -> Result<&Path> {
        self.scorers.get(id).map(PathBuf::as_path).ok_or_else(|| {
            Error::usage(format!("unknown scorer `{id}`{}", suggest(id, self.scorers.keys().map(String::as_str))))
        })
    }

    /// Name and component of every scorer, in the order of the names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Path)> {
        self.scorers.iter().map(|(id, path)| (id.as_str(), path.as_path()))
    }
}

fn extension(path: &Path) -> Option<&str> {
    path.extension().and_then(|e| e.to_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_directory_wins_and_an_unknown_name_suggests_the_nearest() {
        let (first, second) = (tempfile::tempdir().expect("dir"), tempfile::tempdir().expect("dir"));
        fs::write(first.path().join("auroc.wasm"), b"").expect("write");
        fs::write(second.path().join("auroc.wasm"), b"").expect("write");
        fs::write(second.path().join("accuracy.wasm"), b"").expect("write");
        fs::write(second.path().join("README.md"), b"").expect("write");
        let missing = first.path().join("missing");

        let catalog =
            Catalog::load(&[first.path().into(), missing, second.path().into()]).expect("readable directories");
        assert_eq!(catalog.iter().map(|(id, _)| id).collect::<Vec<_>>(), ["accuracy", "auroc"]);
        assert_eq!(catalog.find("auroc").expect("known"), first.path().join("auroc.wasm"));
        let error = catalog.find("aurok").expect_err("unknown");
        assert_eq!(error.to_string(), "unknown scorer `aurok`; did you mean `auroc`?");
        assert_eq!(error.exit_code(), crate::error::USAGE);
    }
}
