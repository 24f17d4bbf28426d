//! Files that processes lock. The system ends a lock with its process, so that a killed one blocks nobody.
//!
//! Locks hold between machines where the file system shares `flock` (NFS 4, Lustre, GPFS, BeeGFS with their defaults).

use std::{
    fs::{File, Metadata, OpenOptions, TryLockError},
    os::unix::fs::MetadataExt,
    path::Path,
};

use crate::error::{Error, Result};

/// Opens or creates a file, and waits until no other process holds it.
pub fn wait(path: &Path) -> Result<File> {
    loop {
        let file = open(path)?;
        file.lock().map_err(Error::io(path))?;
        if is_current(&file, path) {
            return Ok(file);
        }
    }
}

/// Opens or creates a file and locks it, unless another process holds it.
pub fn attempt(path: &Path) -> Result<Option<File>> {
    loop {
        let file = open(path)?;
        match file.try_lock() {
            Ok(()) if is_current(&file, path) => return Ok(Some(file)),
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(source)) => return Err(Error::Io { path: path.into(), source }),
        }
    }
}

/// Whether a path still leads to an open file: who waited for a lock may have waited for a file that was replaced.
pub fn is_current(file: &File, path: &Path) -> bool {
    let identity = |metadata: Metadata| (metadata.dev(), metadata.ino());
    matches!((file.metadata().map(identity), path.metadata().map(identity)), (Ok(a), Ok(b)) if a == b)
}

/// Opens a file to read and write, and creates it where there is none.
pub fn open(path: &Path) -> Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path).map_err(Error::io(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_is_held_once_and_ends_with_its_file() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let path = dir.path().join("lock");
        let held = attempt(&path).expect("works").expect("free");
        assert!(attempt(&path).expect("works").is_none());
        drop(held);
        assert!(attempt(&path).expect("works").is_some());
    }

    #[test]
    fn who_waits_for_a_file_that_is_replaced_gets_the_new_one() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let path = dir.path().join("lock");
        let held = wait(&path).expect("works");
        let waiting = std::thread::spawn({
            let path = path.clone();
            move || wait(&path).map(|file| is_current(&file, &path))
        });
        std::thread::sleep(std::time::Duration::from_millis(50));
        std::fs::remove_file(&path).expect("removed");
        std::fs::write(&path, "new").expect("written");
        drop(held);
        assert!(waiting.join().expect("ends").expect("works"));
    }
}
