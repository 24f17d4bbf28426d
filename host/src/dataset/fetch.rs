//! Downloads of the datasets that anyone may have, from where the publisher keeps them.
//!
//! A download that was cut off goes on where it ended, and a file takes its name only when its checksum fits. Archives
//! that the manifest names are unpacked where they lie.

use std::path::{Component, Path, PathBuf};

use super::{Access, Checksum, Download, Manifest, files};
use crate::error::{Error, Result};

mod http;
mod hub;
mod unpack;

pub use hub::HubAccess;

/// What a progress display is told: the file, the bytes that are there, and those of the whole file where known.
pub type Progress<'a> = dyn FnMut(&str, u64, Option<u64>) + 'a;

/// Fetches the files of a dataset into `root`, and gives their paths; what is already there and valid is left alone.
///
/// `size` is the edge length of the images where the dataset comes in several; the first listed is the default.
///
/// # Errors
/// A dataset that is not open, or whose download no manifest knows: how to obtain it. A server that refuses, a
/// connection that stays broken, a file that differs from its published checksum, an archive that leads out of `root`.
pub fn fetch(
    manifest: &Manifest,
    root: &Path,
    size: Option<u32>,
    hub: &HubAccess,
    progress: &mut Progress<'_>,
) -> Result<Vec<PathBuf>> {
    if manifest.access != Access::Open {
        return Err(Error::usage(format!(
            "dataset `{}` is given only to people who accept its terms, never to a program: {}",
            manifest.id,
            manifest.obtain.trim()
        )));
    }
    std::fs::create_dir_all(root).map_err(Error::io(root))?;
    let files = download(manifest, root, size, hub, progress)?;
    for (archive, directory) in &manifest.unpack {
        let target = inside(root, &directory.to_string_lossy())?;
        unpack::unpack(&inside(root, archive)?, &target, &mut |done, total| progress(archive, done, Some(total)))?;
    }
    Ok(files)
}

fn download(
    manifest: &Manifest,
    root: &Path,
    size: Option<u32>,
    hub: &HubAccess,
    progress: &mut Progress<'_>,
) -> Result<Vec<PathBuf>> {
    let chosen = chosen(manifest, size)?;
    if !chosen.is_empty() {
        let wanted = |download: &Download| Wanted {
            file: download.file.clone(),
            url: download.url.clone(),
            token: None,
            published: manifest.checksums.get(&download.file).cloned().unwrap_or_default(),
        };
        return chosen.into_iter().map(|download| one(&wanted(download), root, progress)).collect();
    }
    let Some(repository) = &manifest.hub else {
        return Err(Error::usage(format!(
            "dataset `{}` has no download that a program can use: {}",
            manifest.id,
            manifest.obtain.trim()
        )));
    };
    let patterns = hub::patterns(manifest, repository);
    if let Some(cached) = hub.cached(repository, &patterns)? {
        return cached.into_iter().map(|(file, source)| copy(&source, &root.join(file))).collect();
    }
    hub.list(repository, &patterns)?.iter().map(|wanted| one(wanted, root, progress)).collect()
}

/// One file to download.
#[derive(Debug)]
struct Wanted {
    /// Relative to the root.
    file: String,
    url: String,
    /// Sent to this host only, never along a redirect.
    token: Option<String>,
    published: Checksum,
}

fn chosen(manifest: &Manifest, size: Option<u32>) -> Result<Vec<&Download>> {
    let sizes: Vec<u32> = manifest.downloads.iter().filter_map(|download| download.size).collect();
    if let Some(size) = size.filter(|size| !sizes.contains(size)) {
        let known = sizes.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let known = if known.is_empty() { "it comes in one size".into() } else { format!("it comes in {known}") };
        return Err(Error::usage(format!("dataset `{}` does not come in size {size}: {known}", manifest.id)));
    }
    let size = size.or(sizes.first().copied());
    let fits = |download: &&Download| download.size.is_none() || download.size == size;
    Ok(manifest.downloads.iter().filter(fits).collect())
}

fn one(wanted: &Wanted, root: &Path, progress: &mut Progress<'_>) -> Result<PathBuf> {
    let path = inside(root, &wanted.file)?;
    if path.is_file() {
        return match files::verify(&path, &wanted.published)?.into_iter().next() {
            None => Ok(path),
            Some(difference) => {
                Err(Error::failed(format!("{difference}; remove the file, and it will be downloaded again")))
            }
        };
    }
    if let Some(dir) = path.parent() {
        std::fs::create_dir_all(dir).map_err(Error::io(dir))?;
    }
    let part = PathBuf::from(format!("{}.part", path.display()));
    http::download(&wanted.url, wanted.token.as_deref(), &part, &mut |done, total| {
        progress(&wanted.file, done, total)
    })?;
    if let Some(difference) = files::verify(&part, &wanted.published)?.into_iter().next() {
        std::fs::remove_file(&part).map_err(Error::io(&part))?;
        return Err(Error::failed(format!("{}: {difference}; the download was discarded", wanted.url)));
    }
    std::fs::rename(&part, &path).map_err(Error::io(&path))?;
    Ok(path)
}

fn copy(source: &Path, target: &Path) -> Result<PathBuf> {
    if !target.is_file() {
        if let Some(dir) = target.parent() {
            std::fs::create_dir_all(dir).map_err(Error::io(dir))?;
        }
        std::fs::copy(source, target).map_err(Error::io(source))?;
    }
    Ok(target.into())
}

/// A server's or a manifest's file name must not lead out of the root.
fn inside(root: &Path, file: &str) -> Result<PathBuf> {
    let plain = Path::new(file).components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
    if plain { Ok(root.join(file)) } else { Err(Error::failed(format!("`{file}` leads out of {}", root.display()))) }
}

#[cfg(test)]
mod tests;
