//! Finding, checking and hashing the files of a dataset.

use std::{
    collections::BTreeSet,
    fs::File,
    io::Read,
    path::{Path, PathBuf},
};

use rayon::prelude::*;
use sha2::{Digest, Sha256};

use super::{
    Checksum, Manifest, Reader,
    reader::{ImageRef, Table},
};
use crate::error::{Error, Result};

/// The data files of a split; for an image folder the split's directory.
pub fn of_split(manifest: &Manifest, root: &Path, name: &str) -> Result<Vec<PathBuf>> {
    let split = manifest.split(name)?;
    if manifest.reader == Reader::ImageFolder {
        let key = split.key.as_deref().unwrap_or(name);
        let dir = glob(root, key)?.into_iter().find(|path| path.is_dir());
        return dir.map(|dir| vec![dir]).ok_or_else(|| missing(manifest, root, key));
    }
    let (patterns, any_of) = match split.has_files() {
        true => (&split.files, &split.any_of),
        false => (&manifest.files, &manifest.any_of),
    };
    if !any_of.is_empty() {
        for pattern in any_of {
            let mut matches = glob(root, pattern)?;
            matches.retain(|path| path.is_file());
            if !matches.is_empty() {
                return Ok(matches);
            }
        }
        return Err(missing(manifest, root, &any_of.join("` or `")));
    }
    let found = patterns.iter().map(|pattern| {
        let matches = glob(root, pattern)?;
        if matches.is_empty() { Err(missing(manifest, root, pattern)) } else { Ok(matches) }
    });
    Ok(found.collect::<Result<Vec<_>>>()?.concat())
}

/// Digest over the names (relative to the root) and contents of the data files and of the images outside them.
pub fn fingerprint(root: &Path, data: &[PathBuf], tables: &[Table]) -> Result<String> {
    let images = tables.iter().flat_map(|table| &table.rows).flat_map(|row| &row.images).filter_map(ImageRef::file);
    let files: BTreeSet<&Path> =
        data.iter().map(PathBuf::as_path).filter(|path| path.is_file()).chain(images).collect();
    let files: Vec<&Path> = files.into_iter().collect();
    let digests: Vec<String> = files.par_iter().map(|file| content_digest(file)).collect::<Result<_>>()?;
    let mut hasher = blake3::Hasher::new();
    for (file, digest) in files.iter().zip(digests) {
        let name = file.strip_prefix(root).unwrap_or(file).to_string_lossy().replace('\\', "/");
        hasher.update(format!("{name}\0{digest}\n").as_bytes());
    }
    Ok(hasher.finalize().to_hex()[..32].to_string())
}

/// A sentence for each way in which the file differs from its published checksums.
pub fn verify(path: &Path, published: &Checksum) -> Result<Vec<String>> {
    let mut found = Vec::new();
    if let Some(expected) = &published.md5 {
        let mut context = md5::Context::new();
        stream(path, |chunk| context.consume(chunk))?;
        found.push(("md5", expected, format!("{:x}", context.finalize())));
    }
    if let Some(expected) = &published.sha256 {
        let mut hasher = Sha256::new();
        stream(path, |chunk| hasher.update(chunk))?;
        let hex = hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        found.push(("sha256", expected, hex));
    }
    if let Some(expected) = &published.blake3 {
        let mut hasher = blake3::Hasher::new();
        stream(path, |chunk| {
            hasher.update(chunk);
        })?;
        found.push(("blake3", expected, hasher.finalize().to_hex().to_string()));
    }
    let differing = found.into_iter().filter(|(_, expected, actual)| !expected.eq_ignore_ascii_case(actual));
    Ok(differing
        .map(|(kind, expected, actual)| format!("{}: {kind} is {actual}, published is {expected}", path.display()))
        .collect())
}

fn content_digest(path: &Path) -> Result<String> {
    if !path.exists() {
        return Ok("missing".into());
    }
    let mut hasher = blake3::Hasher::new();
    stream(path, |chunk| {
        hasher.update(chunk);
    })?;
    Ok(hasher.finalize().to_hex().to_string())
}

fn stream(path: &Path, mut sink: impl FnMut(&[u8])) -> Result<()> {
    let mut file = File::open(path).map_err(Error::io(path))?;
    let mut chunk = vec![0; 1 << 20];
    loop {
        match file.read(&mut chunk).map_err(Error::io(path))? {
            0 => return Ok(()),
            n => sink(&chunk[..n]),
        }
    }
}

/// Sorted paths that match a pattern whose last component may hold one `*`.
pub fn glob(root: &Path, pattern: &str) -> Result<Vec<PathBuf>> {
    let path = root.join(pattern);
    if !pattern.contains('*') {
        return Ok(if path.exists() { vec![path] } else { Vec::new() });
    }
    let dir = path.parent().unwrap_or(root);
    if !dir.is_dir() {
        return Ok(Vec::new());
    }
    let name = |path: &Path| path.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_string();
    let wanted = name(&path);
    let entries = std::fs::read_dir(dir).map_err(Error::io(dir))?;
    let mut paths: Vec<PathBuf> =
        entries.map(|entry| entry.map(|e| e.path())).collect::<std::io::Result<_>>().map_err(Error::io(dir))?;
    paths.retain(|path| fits(&wanted, &name(path)));
    paths.sort();
    Ok(paths)
}

/// Whether a relative path matches a pattern, as of [`glob`].
pub fn fits(pattern: &str, path: &str) -> bool {
    let Some((start, end)) = pattern.split_once('*') else { return pattern == path };
    let between = path.strip_prefix(start).and_then(|rest| rest.strip_suffix(end));
    between.is_some_and(|text| !text.contains('/'))
}

fn missing(manifest: &Manifest, root: &Path, what: &str) -> Error {
    Error::invalid(root, format!("`{what}` of dataset `{}` is missing: {}", manifest.id, manifest.obtain.trim()))
}
