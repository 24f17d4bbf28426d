//! Where the samples of a page go: into it while they are few, else into files beside it.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use crate::{
    error::{Error, Result},
    ids::digest,
    report::{EmbeddedParts, PARTS, Pages, Parts},
    run::write_atomically,
};

/// The place of a run's samples.
pub(super) struct Place {
    dir: PathBuf,
    embedded: EmbeddedParts,
    beside: Option<Beside>,
}

#[derive(Default)]
struct Beside {
    written: BTreeSet<PathBuf>,
    digests: String,
}

impl Place {
    /// The place in a run directory.
    pub fn new(run: &Path, beside: bool) -> Self {
        let beside = beside.then(Beside::default);
        Self { dir: run.join(PARTS), embedded: EmbeddedParts::default(), beside }
    }

    /// Removes what an earlier report left there, and hands over the index of the rest.
    pub fn finish(self, cells: Vec<crate::report::CellIndex>) -> Result<Pages> {
        let beside = self.beside.unwrap_or_default();
        if self.dir.exists() {
            remove_others(&self.dir, &beside.written)?;
        }
        Ok(match beside.written.is_empty() {
            true => Pages::embedded(cells, self.embedded),
            false => Pages::beside(cells, digest(beside.digests.as_bytes())),
        })
    }
}

impl Parts for Place {
    fn put(&mut self, name: &str, json: String) -> Result<()> {
        let Some(beside) = &mut self.beside else { return self.embedded.put(name, json) };
        let path = self.dir.join(format!("{name}.js"));
        let script = format!("medvlm(\"{name}\",{json});\n");
        write_atomically(&path, script.as_bytes())?;
        beside.digests.push_str(&format!("{name} {}\n", digest(script.as_bytes())));
        beside.written.insert(path);
        Ok(())
    }
}

/// Removes scripts that are not among the written ones, and folders that are then empty.
fn remove_others(dir: &Path, written: &BTreeSet<PathBuf>) -> Result<()> {
    for entry in std::fs::read_dir(dir).map_err(Error::io(dir))? {
        let path = entry.map_err(Error::io(dir))?.path();
        if path.is_dir() {
            remove_others(&path, written)?;
        } else if path.extension().is_some_and(|kind| kind == "js") && !written.contains(&path) {
            std::fs::remove_file(&path).map_err(Error::io(&path))?;
        }
    }
    if std::fs::read_dir(dir).map_err(Error::io(dir))?.next().is_none() {
        std::fs::remove_dir(dir).map_err(Error::io(dir))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_earlier_report_left_is_removed_and_nothing_else() {
        let run = tempfile::tempdir().expect("a directory");
        let write = |beside: bool, names: &[&str]| {
            let mut place = Place::new(run.path(), beside);
            names.iter().for_each(|name| place.put(name, "[]".into()).expect("written"));
            place.finish(Vec::new()).expect("finished");
        };
        write(true, &["c0/0", "c0/1", "c1/0"]);
        let there = |name: &str| run.path().join("report").join(name).exists();
        assert!(there("c0/1.js") && there("c1/0.js"));
        std::fs::write(run.path().join("report/notes.txt"), "mine").expect("written");
        write(true, &["c0/0"]);
        assert!(there("c0/0.js") && !there("c0/1.js") && !there("c1"));
        write(false, &["c0/0"]);
        assert!(!there("c0") && there("notes.txt"));
    }
}
