//! Leases: which process works on what of a run directory.
//!
//! A lease is a locked file in `leases/` that says who holds it. It ends with its process, so that others go on where a
//! killed one stopped. Should a file system not share its locks, work is done twice, and nothing is lost.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
};

use crate::{
    error::{Error, Result},
    ids::digest,
    lock,
};

/// The leases of a run directory.
#[derive(Debug, Clone)]
pub struct Leases {
    dir: PathBuf,
}

/// The right to do something alone; it ends when this is dropped.
#[derive(Debug)]
pub struct Lease {
    path: PathBuf,
    _file: File,
}

/// One of several equal parts of a run's shards: what one machine does of a run that others do elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// Which one, from 1.
    pub number: u64,
    /// How many there are.
    pub of: u64,
}

impl Leases {
    /// The leases of a run directory, which need not exist.
    pub fn new(run: &Path) -> Self {
        Self { dir: run.join("leases") }
    }

    /// Takes a lease, unless another process holds it.
    pub fn take(&self, what: &str) -> Result<Option<Lease>> {
        let path = self.dir.join(what);
        let held = self.locked(&path, lock::attempt)?;
        Ok(held.map(|file| Lease::new(path, file)))
    }

    /// Takes a lease as soon as nobody else holds it.
    pub fn wait(&self, what: &str) -> Result<Lease> {
        let path = self.dir.join(what);
        let file = self.locked(&path, lock::wait)?;
        Ok(Lease::new(path, file))
    }

    /// Locks a file of the directory, which a process that ends may remove at any time while it is empty.
    fn locked<T>(&self, path: &Path, lock: fn(&Path) -> Result<T>) -> Result<T> {
        loop {
            fs::create_dir_all(&self.dir).map_err(Error::io(&self.dir))?;
            match lock(path) {
                Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {}
                outcome => return outcome,
            }
        }
    }

    /// Who holds which leases.
    pub fn holders(&self) -> BTreeMap<String, String> {
        let held = |path: &Path| File::open(path).is_ok_and(|file| file.try_lock_shared().is_err());
        let paths = fs::read_dir(&self.dir).into_iter().flatten().flatten().map(|entry| entry.path());
        paths
            .filter(|path| held(path))
            .filter_map(|path| {
                let name = path.file_name()?.to_str()?.to_string();
                Some((name, fs::read_to_string(&path).unwrap_or_default().trim().to_string()))
            })
            .collect()
    }

    /// Removes what killed processes have left.
    pub fn tidy(&self) {
        let paths = fs::read_dir(&self.dir).into_iter().flatten().flatten().map(|entry| entry.path());
        for path in paths {
            if let Ok(Some(file)) = lock::attempt(&path) {
                drop(Lease { path, _file: file });
            }
        }
        // It stays where another process still holds a lease.
        let _ = fs::remove_dir(&self.dir);
    }
}

impl Lease {
    fn new(path: PathBuf, mut file: File) -> Self {
        // What it says is for people; that it is locked is what counts.
        let _ = file.set_len(0).and_then(|()| writeln!(file, "process {} on {}", std::process::id(), host_name()));
        Self { path, _file: file }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        // Before the lock ends: who waits for it sees that the file is gone, and makes another.
        let _ = fs::remove_file(&self.path);
    }
}

impl Part {
    /// Whether a shard of a cell belongs to this part. Cells begin with different parts, so that small ones spread.
    pub fn has(self, cell: &str, shard: usize) -> bool {
        let first = u64::from_str_radix(&digest(cell.as_bytes())[..8], 16).unwrap_or(0);
        (first + shard as u64) % self.of == self.number - 1
    }
}

impl std::str::FromStr for Part {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let parts = text.split_once('/').and_then(|(number, of)| Some((number.parse().ok()?, of.parse().ok()?)));
        match parts {
            Some((number, of)) if 1 <= number && number <= of => Ok(Self { number, of }),
            _ => Err("expected I/N with I from 1 to N, such as 2/4".into()),
        }
    }
}

impl std::fmt::Display for Part {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.number, self.of)
    }
}

fn host_name() -> String {
    fs::read_to_string("/proc/sys/kernel/hostname").map_or_else(|_| "this machine".into(), |name| name.trim().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_is_held_by_one_and_named_while_it_lasts() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let leases = Leases::new(dir.path());
        let held = leases.take("cell.0").expect("works").expect("free");
        assert!(leases.take("cell.0").expect("works").is_none());
        assert!(leases.take("cell.1").expect("works").is_some());
        assert!(leases.holders()["cell.0"].starts_with(&format!("process {} on ", std::process::id())));
        drop(held);
        assert_eq!(leases.holders(), BTreeMap::new());
        assert!(leases.take("cell.0").expect("works").is_some());
    }

    #[test]
    fn what_a_killed_process_left_is_free_and_goes() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let leases = Leases::new(dir.path());
        let held = leases.take("held").expect("works");
        fs::write(dir.path().join("leases/left"), "process 1 on moon").expect("writable");
        leases.tidy();
        let files = fs::read_dir(dir.path().join("leases")).expect("stays").count();
        assert_eq!((files, held.is_some()), (1, true));
        drop(held);
        leases.tidy();
        assert!(!dir.path().join("leases").exists());
    }

    #[test]
    fn a_lease_can_be_had_while_others_tidy_up() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let leases = Leases::new(dir.path());
        std::thread::scope(|scope| {
            let tidying = scope.spawn(|| (0..2000).for_each(|_| leases.tidy()));
            while !tidying.is_finished() {
                drop(leases.take("cell").expect("works"));
            }
        });
    }

    #[test]
    fn every_shard_belongs_to_one_part() {
        let parts: Vec<Part> = ["1/3", "2/3", "3/3"].iter().map(|part| part.parse().expect("a part")).collect();
        for (cell, shard) in ["a", "b", "c"].iter().flat_map(|cell| (0..7).map(move |shard| (cell, shard))) {
            assert_eq!(parts.iter().filter(|part| part.has(cell, shard)).count(), 1);
        }
        assert!(["0/3", "4/3", "3", "a/b", "1/0"].iter().all(|wrong| wrong.parse::<Part>().is_err()));
    }
}
