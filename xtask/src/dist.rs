//! Writing into `dist/`: only what changed, each file in one step, so that a running host is never disturbed
//! and nothing that a user dropped in is touched.

use std::{
    fs,
    path::{Path, PathBuf},
    process,
};

use anyhow::{Context, Result};

/// Brings the file `to` to the content of `from`; true when that changed something.
pub fn copy(from: &Path, to: &Path) -> Result<bool> {
    let bytes = fs::read(from).with_context(|| format!("cannot read {}", from.display()))?;
    replace(to, &bytes, |new| fs::copy(from, new).map(drop))
}

/// Brings the file `to` to this content; true when that changed something.
pub fn write(to: &Path, content: &[u8]) -> Result<bool> {
    replace(to, content, |new| fs::write(new, content))
}

/// Copies every file of `from` that `wanted` accepts, folders below included; the number of files that changed.
pub fn copy_folder(from: &Path, to: &Path, wanted: &dyn Fn(&Path) -> bool) -> Result<usize> {
    let mut changed = 0;
    for path in entries(from)? {
        let target = to.join(path.file_name().unwrap_or_default());
        if path.is_dir() {
            changed += copy_folder(&path, &target, wanted)?;
        } else if wanted(&path) {
            changed += usize::from(copy(&path, &target)?);
        }
    }
    Ok(changed)
}

/// What a folder holds, sorted.
pub fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let listing = fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let mut paths: Vec<PathBuf> = listing.map(|e| e.map(|e| e.path())).collect::<Result<_, _>>()?;
    paths.sort();
    Ok(paths)
}

fn replace(to: &Path, content: &[u8], make: impl Fn(&Path) -> std::io::Result<()>) -> Result<bool> {
    if fs::read(to).is_ok_and(|old| old == content) {
        return Ok(false);
    }
    let folder = to.parent().with_context(|| format!("{} has no folder", to.display()))?;
    let name = to.file_name().unwrap_or_default().to_string_lossy();
    let new = folder.join(format!(".{name}.{}", process::id()));
    fs::create_dir_all(folder)
        .and_then(|()| make(&new))
        .and_then(|()| fs::rename(&new, to))
        .with_context(|| format!("cannot write {}", to.display()))?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_equal_file_is_left_alone_and_a_changed_one_replaced() {
        let folder = std::env::temp_dir().join(format!("xtask-dist-{}", process::id()));
        let file = folder.join("deep/part.toml");
        assert!(write(&file, b"one").expect("written"));
        let written = fs::metadata(&file).and_then(|m| m.modified()).expect("has a time");
        assert!(!write(&file, b"one").expect("compared"));
        assert_eq!(fs::metadata(&file).and_then(|m| m.modified()).expect("has a time"), written);
        assert!(write(&file, b"two").expect("replaced"));
        assert_eq!(fs::read(&file).expect("readable"), b"two");
        assert_eq!(entries(&folder.join("deep")).expect("readable"), [file], "no temporary file is left");
        fs::remove_dir_all(folder).expect("removable");
    }
}
