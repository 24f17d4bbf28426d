//! Finding a model's checkpoint, and its digest.

use std::{
    env,
    ffi::OsStr,
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use crate::{
    error::{Error, Result},
    model::{PluginFile, Row},
};

/// The directory with a row's checkpoint, `given` (a flag or the suite) before the row's own. None where
/// the model needs no weights.
///
/// # Errors
/// The directory is not there, and the message says how to get it.
pub fn find(row: &Row, plugin: &PluginFile, given: Option<&Path>) -> Result<Option<PathBuf>> {
    if let Some(dir) = given {
        return existing(dir.into(), &format!("the weights given for `{}`", row.id)).map(Some);
    }
    let Some(weights) = &row.weights else {
        return match row.obtain.as_str() {
            "" => Ok(None),
            how => Err(Error::usage(format!("name the directory of `{}`'s weights with --weights: {how}", row.id))),
        };
    };
    if let Some(dir) = weights.strip_prefix("path:") {
        let base = plugin.manifest.as_deref().and_then(Path::parent).unwrap_or(Path::new("."));
        return existing(base.join(dir), &format!("the weights of `{}`", row.id)).map(Some);
    }
    if let Some(repository) = weights.strip_prefix("hf:") {
        return in_hub_cache(row, repository).map(Some);
    }
    let place = plugin.manifest.as_deref().unwrap_or(&plugin.library);
    Err(Error::invalid(
        place,
        format!("weights = \"{weights}\" of `{}`: expected `hf:OWNER/NAME` or `path:DIR`", row.id),
    ))
}

/// Digest of a checkpoint: names and contents of all its files but the model card, in the order of the names. Digests of
/// large files are kept in `cache`, by what the file system says of the file, so that asking again costs nothing.
pub fn digest(dir: &Path, cache: Option<&Path>) -> Result<String> {
    let mut paths: Vec<PathBuf> = fs::read_dir(dir)
        .map_err(Error::io(dir))?
        .flatten()
        .map(|entry| entry.path())
        .filter(|p| p.is_file() && p.extension().is_none_or(|e| e != "md"))
        .collect();
    paths.sort();
    let mut all = blake3::Hasher::new();
    for path in paths {
        all.update(path.file_name().unwrap_or_default().as_encoded_bytes());
        all.update(file_hash(&path, cache)?.as_bytes());
    }
    Ok(all.finalize().to_hex()[..32].to_string())
}

/// Bytes from which on it costs more to read a file than to look up its digest.
const LARGE: u64 = 16 << 20;

fn file_hash(path: &Path, cache: Option<&Path>) -> Result<blake3::Hash> {
    let about = fs::metadata(path).map_err(Error::io(path))?;
    let identity = format!("{} {} {} {} {}", about.dev(), about.ino(), about.len(), about.mtime(), about.mtime_nsec());
    let kept = cache.filter(|_| about.len() >= LARGE).map(|dir| dir.join(crate::ids::digest(identity.as_bytes())));
    let known = kept.as_ref().and_then(|kept| fs::read_to_string(kept).ok());
    if let Some(hash) = known.and_then(|hex| blake3::Hash::from_hex(hex.trim()).ok()) {
        return Ok(hash);
    }
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(fs::File::open(path).map_err(Error::io(path))?).map_err(Error::io(path))?;
    let hash = hasher.finalize();
    if let Some((kept, dir)) = kept.zip(cache) {
        // Without a cache everything works, only slower.
        let _ = fs::create_dir_all(dir).and_then(|()| fs::write(kept, hash.to_hex().as_str()));
    }
    Ok(hash)
}

fn existing(dir: PathBuf, what: &str) -> Result<PathBuf> {
    if dir.is_dir() {
        return Ok(dir);
    }
    Err(Error::usage(format!("{what}: {} is no directory", dir.display())))
}

fn in_hub_cache(row: &Row, repository: &str) -> Result<PathBuf> {
    let hub = hub_cache();
    let folder = hub.join(format!("models--{}", repository.replace('/', "--")));
    let revision = row.revision.as_deref().unwrap_or("main");
    let commit = fs::read_to_string(folder.join("refs").join(revision)).map(|c| c.trim().to_string());
    let snapshot = folder.join("snapshots").join(commit.as_deref().unwrap_or(revision));
    if snapshot.is_dir() {
        return Ok(snapshot);
    }
    Err(Error::usage(format!(
        "the weights of `{}` are not in the Hugging Face cache {}: run `hf download {repository} --revision {revision}`, \
         or name their directory with --weights",
        row.id,
        hub.display(),
    )))
}

fn hub_cache() -> PathBuf {
    let set = |name: &str| env::var_os(name).filter(|v| v != OsStr::new("")).map(PathBuf::from);
    set("HF_HUB_CACHE")
        .or_else(|| set("HF_HOME").map(|home| home.join("hub")))
        .or_else(|| set("XDG_CACHE_HOME").map(|cache| cache.join("huggingface/hub")))
        .unwrap_or_else(|| set("HOME").unwrap_or_default().join(".cache/huggingface/hub"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kept_digest_is_that_of_the_file_as_it_is_now() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let (weights, cache) = (dir.path().join("weights"), dir.path().join("cache"));
        fs::create_dir(&weights).expect("created");
        let write =
            |byte: u8| fs::write(weights.join("model.safetensors"), vec![byte; LARGE as usize]).expect("written");
        write(1);
        let first = digest(&weights, None).expect("readable");
        assert_eq!(digest(&weights, Some(&cache)).expect("readable"), first);
        assert_eq!(fs::read_dir(&cache).expect("made").count(), 1);
        assert_eq!(digest(&weights, Some(&cache)).expect("readable"), first);
        write(2);
        assert_ne!(digest(&weights, Some(&cache)).expect("readable"), first);
        fs::write(weights.join("README.md"), "no part of it").expect("written");
        assert_eq!(digest(&weights, Some(&cache)).expect("readable"), digest(&weights, None).expect("readable"));
    }
}
