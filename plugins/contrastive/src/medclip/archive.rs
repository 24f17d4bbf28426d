//! The archive in which the weights are published.

use std::{fs::File, io, path::Path};

use blocks::{Error, Result};
use tempfile::TempDir;
use zip::ZipArchive;

/// What `medclip.MedCLIPModel.from_pretrained` downloads.
pub const ARCHIVE: &str = "medclip-vit-pretrained.zip";
/// The file in it that counts.
const MEMBER: &str = "pytorch_model.bin";

/// A temporary directory with the weights from the archive in `dir`; `None` if the weights lie there unpacked or
/// there is no archive.
///
/// # Errors
/// The archive is corrupt or lacks the weights, or there is no room to unpack them.
pub fn unpack(dir: &Path) -> Result<Option<TempDir>> {
    let path = dir.join(ARCHIVE);
    if !path.is_file() || [MEMBER, "model.safetensors"].iter().any(|file| dir.join(file).is_file()) {
        return Ok(None);
    }
    let failed = |reason: String| Error::invalid(&path, reason);
    let file = File::open(&path).map_err(|source| Error::Read { path: path.clone(), source })?;
    let mut archive =
        ZipArchive::new(file).map_err(|e| failed(format!("truncated, corrupt or not a zip file: {e}")))?;
    let index = (0..archive.len()).find(|&n| {
        let name = archive.by_index_raw(n).ok().and_then(|member| member.enclosed_name());
        name.is_some_and(|name| name.file_name().is_some_and(|file| file == MEMBER))
    });
    let index = index.ok_or_else(|| failed(format!("there is no `{MEMBER}` in the archive")))?;
    let unpacked = tempfile::tempdir().map_err(|e| failed(format!("cannot make a directory to unpack it: {e}")))?;
    let mut member = archive.by_index(index).map_err(|e| failed(format!("cannot read `{MEMBER}`: {e}")))?;
    File::create(unpacked.path().join(MEMBER))
        .and_then(|mut target| io::copy(&mut member, &mut target))
        .map_err(|e| failed(format!("cannot unpack `{MEMBER}`: {e}")))?;
    Ok(Some(unpacked))
}
