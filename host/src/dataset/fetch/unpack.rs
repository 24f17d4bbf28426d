//! Zip archives beside the data: each member is written whole or not at all, and what is there is left alone.

use std::{
    fs::File,
    io::{self, BufReader},
    path::{Path, PathBuf},
};

use zip::{ZipArchive, read::ZipFile, result::ZipError};

use crate::error::{Error, Result};

/// Unpacks an archive into a directory; `progress` gets members done and in total.
///
/// # Errors
/// The archive is damaged, or a member leads out of the directory, is a link, or is longer than it says; nothing of
/// such an archive is written beyond the members before it.
pub fn unpack(archive: &Path, directory: &Path, progress: &mut dyn FnMut(u64, u64)) -> Result<()> {
    let file = BufReader::new(File::open(archive).map_err(Error::io(archive))?);
    let broken = |e: ZipError| Error::invalid(archive, format!("invalid zip archive: {e}"));
    let mut members = ZipArchive::new(file).map_err(broken)?;
    let total = members.len();
    for position in 0..total {
        let mut member = members.by_index(position).map_err(broken)?;
        let name = member.name().map_err(broken)?.into_owned();
        let refused = |why: &str| Error::failed(format!("{}: member `{name}` {why}", archive.display()));
        if member.is_symlink() {
            return Err(refused("is a link"));
        }
        let target = super::inside(directory, &name).map_err(|_| refused("leads out of the directory"))?;
        match member.is_dir() {
            true => std::fs::create_dir_all(&target).map_err(Error::io(&target))?,
            false => write(&mut member, &target)?.map_err(|cause| refused(&format!("cannot be unpacked: {cause}")))?,
        }
        progress(position as u64 + 1, total as u64);
    }
    Ok(())
}

/// Writes a member beside its place first; the inner error is what is wrong with the archive.
fn write<R: io::Read + ?Sized>(member: &mut ZipFile<'_, R>, target: &Path) -> Result<std::result::Result<(), String>> {
    let size = member.size();
    if target.metadata().is_ok_and(|there| there.is_file() && there.len() == size) {
        return Ok(Ok(()));
    }
    if let Some(parent) = target.parent() {
        std::fs::create_dir_all(parent).map_err(Error::io(parent))?;
    }
    let part = PathBuf::from(format!("{}.part", target.display()));
    let mut file = File::create(&part).map_err(Error::io(&part))?;
    let copied = io::copy(&mut io::Read::take(&mut *member, size.saturating_add(1)), &mut file);
    let whole = copied.map_err(|e| e.to_string()).and_then(|copied| match copied == size {
        true => Ok(()),
        false => Err(format!("it has not the {size} bytes that it says")),
    });
    match whole {
        Ok(()) => std::fs::rename(&part, target).map_err(Error::io(target))?,
        Err(_) => std::fs::remove_file(&part).map_err(Error::io(&part))?,
    }
    Ok(whole)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use zip::{ZipWriter, write::SimpleFileOptions};

    use super::*;

    fn archive(dir: &Path, members: &[(&str, &[u8])]) -> PathBuf {
        let path = dir.join("images.zip");
        let mut writer = ZipWriter::new(File::create(&path).expect("created"));
        for (name, content) in members {
            match name.strip_suffix('/') {
                Some(folder) => writer.add_directory(folder, SimpleFileOptions::default()).expect("added"),
                None => writer.start_file(*name, SimpleFileOptions::default()).expect("begun"),
            }
            writer.write_all(content).unwrap_or_else(|e| assert!(content.is_empty(), "{e}"));
        }
        writer.finish().expect("finished");
        path
    }

    fn refusal(dir: &Path, archive: &Path) -> String {
        let error = unpack(archive, &dir.join("copy"), &mut |_, _| {}).expect_err("refused").to_string();
        error[error.find("images.zip").expect("the archive is named")..].to_string()
    }

    #[test]
    fn members_keep_their_folders_and_what_is_there_is_left_alone() {
        let dir = tempfile::tempdir().expect("directory");
        let long = vec![7; 100_000];
        let path = archive(dir.path(), &[("imgs/", b""), ("imgs/a/source.jpg", b"picture"), ("imgs/b.jpg", &long)]);
        let copy = dir.path().join("copy");
        let mut seen = Vec::new();
        unpack(&path, &copy, &mut |done, total| seen.push((done, total))).expect("unpacked");
        assert_eq!(seen, [(1, 3), (2, 3), (3, 3)]);
        assert_eq!(std::fs::read(copy.join("imgs/b.jpg")).expect("read"), long);

        // Of a killed run: one member is whole, one was begun, one is short.
        std::fs::write(copy.join("imgs/a/source.jpg"), b"PICTURE").expect("written");
        std::fs::write(copy.join("imgs/b.jpg"), b"short").expect("written");
        std::fs::write(copy.join("imgs/b.jpg.part"), b"begun").expect("written");
        unpack(&path, &copy, &mut |_, _| {}).expect("unpacked");
        assert_eq!(std::fs::read(copy.join("imgs/a/source.jpg")).expect("read"), b"PICTURE");
        assert_eq!(std::fs::read(copy.join("imgs/b.jpg")).expect("read"), long);
        assert!(!copy.join("imgs/b.jpg.part").exists());
    }

    #[test]
    fn nothing_leads_out_of_the_directory() {
        for name in ["../evil.jpg", "imgs/../../evil.jpg", "/evil.jpg"] {
            let dir = tempfile::tempdir().expect("directory");
            let path = archive(dir.path(), &[("good.jpg", b"a"), (name, b"b")]);
            let error = refusal(dir.path(), &path);
            assert!(error.ends_with("leads out of the directory"), "{error}");
            assert!(!dir.path().join("evil.jpg").exists());
        }
        let dir = tempfile::tempdir().expect("directory");
        let path = dir.path().join("images.zip");
        let mut writer = ZipWriter::new(File::create(&path).expect("created"));
        writer.add_symlink("link", "/etc", SimpleFileOptions::default()).expect("added");
        writer.finish().expect("finished");
        assert_eq!(refusal(dir.path(), &path), "images.zip: member `link` is a link");
    }

    #[test]
    fn a_damaged_archive_leaves_no_broken_member() {
        let dir = tempfile::tempdir().expect("directory");
        let path = archive(dir.path(), &[("a.jpg", b"the quick brown fox")]);
        let mut bytes = std::fs::read(&path).expect("read");
        let position = bytes.windows(5).position(|window| window == b"quick").unwrap_or(40);
        bytes[position] ^= 1;
        std::fs::write(&path, &bytes).expect("written");
        assert!(refusal(dir.path(), &path).contains("member `a.jpg` cannot be unpacked: "));
        assert_eq!(std::fs::read_dir(dir.path().join("copy")).expect("listed").count(), 0);
        std::fs::write(&path, "no archive").expect("written");
        assert!(refusal(dir.path(), &path).starts_with("images.zip: invalid zip archive: "));
    }
}
