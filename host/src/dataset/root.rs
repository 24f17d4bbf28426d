//! Where the local copy of a dataset is.

use std::path::{Path, PathBuf};

use super::Manifest;
use crate::error::{Error, Result};

/// Environment variable with the directory that holds one directory per dataset.
const DATA: &str = "MEDVLM_DATA";

/// The given root, else the bundled copy, else `$MEDVLM_DATA/<id>`.
pub fn locate(manifest: &Manifest, root: Option<&Path>) -> Result<PathBuf> {
    locate_with(manifest, root, std::env::var_os(DATA).map(PathBuf::from))
}

/// Where a downloaded copy goes: the given root, else `$MEDVLM_DATA/<id>`.
///
/// # Errors
/// Neither is given.
pub fn for_download(manifest: &Manifest, root: Option<&Path>) -> Result<PathBuf> {
    let shared = || Some(PathBuf::from(std::env::var_os(DATA)?).join(&manifest.id));
    root.map(Path::to_path_buf).or_else(shared).ok_or_else(|| {
        Error::usage(format!("nowhere to put dataset `{}`: name a directory with `--root`, or set {DATA}", manifest.id))
    })
}

fn locate_with(manifest: &Manifest, root: Option<&Path>, data: Option<PathBuf>) -> Result<PathBuf> {
    let bundled = || Some(manifest.path.parent()?.join(manifest.bundled.as_ref()?));
    let shared = || Some(data?.join(&manifest.id)).filter(|dir| dir.is_dir());
    let found = root.map(Path::to_path_buf).or_else(bundled).or_else(shared).ok_or_else(|| {
        Error::usage(format!(
            "no copy of dataset `{id}`: {obtain}; then name its directory with `--root`, or set {DATA} to the directory \
             that holds `{id}`",
            id = manifest.id,
            obtain = manifest.obtain.trim(),
        ))
    })?;
    match found.is_dir() {
        true => Ok(found),
        false => {
            let obtain = manifest.obtain.trim();
            Err(Error::invalid(found, format!("no such directory for dataset `{}`: {obtain}", manifest.id)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::rows::tests::manifest;

    #[test]
    fn the_root_is_the_given_then_the_bundled_then_the_shared_one() {
        let dir = tempfile::tempdir().expect("directory");
        let at = |name: &str| {
            std::fs::create_dir_all(dir.path().join(name)).expect("created");
            dir.path().join(name)
        };
        let (given, bundled, shared) = (at("given"), at("bundled"), at("shared/tiny"));
        let mut tiny = manifest("");
        (tiny.id, tiny.path, tiny.bundled) = ("tiny".into(), dir.path().join("tiny.toml"), Some("bundled".into()));
        let data = || Some(dir.path().join("shared"));
        assert_eq!(locate_with(&tiny, Some(&given), data()).expect("given"), given);
        assert_eq!(locate_with(&tiny, None, data()).expect("bundled"), bundled);
        tiny.bundled = None;
        assert_eq!(locate_with(&tiny, None, data()).expect("shared"), shared);
    }

    #[test]
    fn without_a_copy_the_error_says_how_to_obtain_one() {
        let mut tiny = manifest("");
        tiny.id = "tiny".into();
        let error = locate_with(&tiny, None, None).expect_err("no copy");
        assert_eq!(
            error.to_string(),
            "no copy of dataset `tiny`: ask the author; then name its directory with `--root`, or set MEDVLM_DATA to the \
             directory that holds `tiny`"
        );
        let error = locate_with(&tiny, Some(Path::new("absent")), None).expect_err("no directory");
        assert_eq!(error.to_string(), "absent: no such directory for dataset `tiny`: ask the author");
    }
}
