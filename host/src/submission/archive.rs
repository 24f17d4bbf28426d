//! A zip archive of exactly one form: members are stored as they are, in the order of the layout, without times, permissions,
//! comments or anything between them. So the same files make the same bytes with any version of any library, a byte that
//! carries no content cannot differ unseen, and no archive is larger unpacked than packed.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{Read, Write},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use super::{
    layout::{self, Kind},
    rules::{Rule, Violation},
};
use crate::error::{Error, Result};

mod format;

use format::{Header, LOCAL, Parsed};

/// Most members of an archive.
const MOST_MEMBERS: usize = 100_000;
/// Bytes that are read at a time.
const CHUNK: usize = 1 << 20;

/// A file to be packed.
#[derive(Debug, Clone)]
pub struct Member {
    /// Its name in the archive.
    pub name: String,
    /// Its content.
    pub source: Source,
}

/// Where a member's content is.
#[derive(Debug, Clone)]
pub enum Source {
    /// Here.
    Bytes(Vec<u8>),
    /// In a file, which must not change meanwhile.
    File(PathBuf),
}

/// An archive to be read. What it holds is trusted in nothing.
#[derive(Debug)]
pub struct Archive {
    path: PathBuf,
    file: File,
    length: u64,
    entries: BTreeMap<String, Entry>,
}

/// A member that can be looked at.
#[derive(Debug)]
struct Entry {
    size: u64,
    crc: u32,
    /// Where its content begins.
    start: u64,
}

/// Length, CRC-32 and BLAKE3 of a content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Digests {
    pub bytes: u64,
    pub crc: u32,
    pub hash: blake3::Hash,
}

/// Writes members in the order of the layout.
pub fn write(members: &[Member], out: &mut impl Write, path: &Path) -> Result<()> {
    let mut members: Vec<&Member> = members.iter().collect();
    members.sort_by(|a, b| layout::order(&a.name).cmp(&layout::order(&b.name)));
    let (mut directory, mut offset) = (Vec::new(), 0);
    let mut put = |bytes: &[u8]| out.write_all(bytes).map_err(Error::io(path));
    for member in &members {
        let digests = member.source.digests()?;
        let name = member.name.clone().into_bytes();
        let header = Header { name, size: digests.bytes, crc: digests.crc, offset };
        let local = header.local();
        put(&local)?;
        member.source.each_chunk(&mut put)?;
        offset += local.len() as u64 + header.size;
        directory.extend(header.central());
    }
    put(&directory)?;
    put(&format::end(members.len() as u64, offset, directory.len() as u64))
}

impl Source {
    pub(super) fn digests(&self) -> Result<Digests> {
        let mut digester = Digester::default();
        self.each_chunk(&mut |chunk| {
            digester.update(chunk);
            Ok(())
        })?;
        Ok(digester.digests())
    }

    fn each_chunk(&self, sink: &mut impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
        match self {
            Self::Bytes(bytes) => sink(bytes),
            Self::File(path) => {
                let mut file = File::open(path).map_err(Error::io(path))?;
                let mut chunk = vec![0; CHUNK];
                loop {
                    match file.read(&mut chunk).map_err(Error::io(path))? {
                        0 => return Ok(()),
                        read => sink(&chunk[..read])?,
                    }
                }
            }
        }
    }
}

impl Archive {
    /// Reads where the members are, and checks the form of the archive: rules 101 to 106.
    pub fn open(path: &Path) -> Result<(Self, Vec<Violation>)> {
        let file = File::open(path).map_err(Error::io(path))?;
        let length = file.metadata().map_err(Error::io(path))?.len();
        let mut archive = Self { path: path.into(), file, length, entries: BTreeMap::new() };
        let mut violations = Vec::new();
        archive.read_members(&mut violations)?;
        Ok((archive, violations))
    }

    /// Names of the members that can be used, with their sizes.
    pub fn members(&self) -> impl Iterator<Item = (&str, u64)> {
        self.entries.iter().map(|(name, entry)| (name.as_str(), entry.size))
    }

    /// Whether there is a member of that name.
    pub fn has(&self, name: &str) -> bool {
        self.find(name).is_some()
    }

    /// The content of a member; none where there is none.
    pub fn read(&self, name: &str) -> Result<Option<Vec<u8>>> {
        let Some(entry) = self.find(name) else { return Ok(None) };
        let mut bytes = Vec::with_capacity(entry.size as usize);
        self.each_chunk(entry, &mut |chunk| {
            bytes.extend_from_slice(chunk);
            Ok(())
        })?;
        Ok(Some(bytes))
    }

    /// Writes every member below a directory.
    pub fn extract(&self, dir: &Path) -> Result<()> {
        for (name, entry) in &self.entries {
            let path = dir.join(name);
            let parent = path.parent().unwrap_or(dir);
            std::fs::create_dir_all(parent).map_err(Error::io(parent))?;
            let mut out = File::create(&path).map_err(Error::io(&path))?;
            self.each_chunk(entry, &mut |chunk| out.write_all(chunk).map_err(Error::io(&path)))?;
        }
        Ok(())
    }

    /// Digest of the whole file.
    pub fn digest(&self) -> Result<blake3::Hash> {
        let file = File::open(&self.path).map_err(Error::io(&self.path))?;
        let mut hasher = blake3::Hasher::new();
        hasher.update_reader(file).map_err(Error::io(&self.path))?;
        Ok(hasher.finalize())
    }

    pub(super) fn digests(&self, name: &str) -> Result<Option<Digests>> {
        let Some(entry) = self.find(name) else { return Ok(None) };
        let mut digester = Digester::default();
        self.each_chunk(entry, &mut |chunk| {
            digester.update(chunk);
            Ok(())
        })?;
        Ok(Some(digester.digests()))
    }

    /// Whether the checksum in a member's header is that of its content.
    pub(super) fn has_crc(&self, name: &str, crc: u32) -> bool {
        self.find(name).is_some_and(|entry| entry.crc == crc)
    }

    fn find(&self, name: &str) -> Option<&Entry> {
        self.entries.get(name)
    }

    fn each_chunk(&self, entry: &Entry, sink: &mut impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
        let mut chunk = vec![0; CHUNK.min(entry.size as usize)];
        let mut done = 0;
        while done < entry.size {
            let now = (entry.size - done).min(chunk.len() as u64) as usize;
            self.file.read_exact_at(&mut chunk[..now], entry.start + done).map_err(Error::io(&self.path))?;
            sink(&chunk[..now])?;
            done += now as u64;
        }
        Ok(())
    }

    fn read_members(&mut self, violations: &mut Vec<Violation>) -> Result<()> {
        let (mut headers, mut at): (Vec<Header>, u64) = (Vec::new(), 0);
        while self.bytes(at, 4)? == LOCAL {
            let Parsed { header, length } = match format::parse(&self.bytes(at, format::LONGEST)?, at) {
                Ok(parsed) if parsed.length + parsed.header.size <= self.length.saturating_sub(at) => parsed,
                Ok(_) => {
                    violations.push(unreadable(at, "a member ends behind the end of the file"));
                    return Ok(());
                }
                Err(what) => {
                    violations.push(unreadable(at, &what));
                    return Ok(());
                }
            };
            if headers.len() == MOST_MEMBERS {
                violations.push(unreadable(at, &format!("more than {MOST_MEMBERS} members")));
                return Ok(());
            }
            let name = String::from_utf8_lossy(&header.name).into_owned();
            if self.bytes(at, length)? != header.local() {
                let what = "its header has something in it that packing does not write";
                violations.push(Violation::new(Rule::CanonicalArchive, &name, what));
            }
            at += length + header.size;
            self.admit(name, &header, length, violations);
            headers.push(header);
        }
        let names: Vec<&[u8]> = headers.iter().map(|header| header.name.as_slice()).collect();
        let order = |name: &[u8]| {
            let name = String::from_utf8_lossy(name).into_owned();
            (layout::order(&name).0, name)
        };
        if !names.is_sorted_by_key(|name| order(name)) {
            violations.push(Violation::new(Rule::CanonicalArchive, "", "members are not in the order of the layout"));
        }
        let mut rest: Vec<u8> = headers.iter().flat_map(Header::central).collect();
        rest.extend(format::end(headers.len() as u64, at, rest.len() as u64));
        if headers.is_empty() {
            violations.push(unreadable(0, "no member is at the beginning of the file: it is no submission"));
        } else if self.length - at != rest.len() as u64 || self.bytes(at, rest.len() as u64)? != rest {
            let known = format::begins_directory(&self.bytes(at, 4)?);
            let what = "what follows the members is not the directory that packing writes";
            let rule = if known { Rule::CanonicalArchive } else { Rule::Readable };
            violations.push(Violation::new(rule, "", format!("at byte {at}: {what}")));
        }
        Ok(())
    }

    /// Takes a member into the list, unless its name or size forbid to look at it.
    fn admit(&mut self, name: String, header: &Header, length: u64, violations: &mut Vec<Violation>) {
        let mut refuse = |rule, what: String| violations.push(Violation::new(rule, &name, what));
        if !layout::is_plain(&name) || name.as_bytes() != header.name {
            return refuse(Rule::PlainNames, "is no plain relative name".into());
        }
        let Some(kind) = Kind::of(&name) else {
            return refuse(Rule::KnownMembers, "a submission holds no such file".into());
        };
        if self.has(&name) {
            return refuse(Rule::UniqueNames, "is there more than once".into());
        }
        if header.size > kind.most_bytes() {
            let (size, most) = (header.size, kind.most_bytes());
            return refuse(Rule::BoundedMembers, format!("has {size} bytes, {most} at most"));
        }
        let entry = Entry { size: header.size, crc: header.crc, start: header.offset + length };
        self.entries.insert(name, entry);
    }

    /// At most so many bytes from a position.
    fn bytes(&self, at: u64, most: u64) -> Result<Vec<u8>> {
        let mut bytes = vec![0; most.min(self.length.saturating_sub(at)) as usize];
        self.file.read_exact_at(&mut bytes, at).map_err(Error::io(&self.path))?;
        Ok(bytes)
    }
}

#[derive(Default)]
struct Digester {
    bytes: u64,
    crc: crc32fast::Hasher,
    hash: blake3::Hasher,
}

impl Digester {
    fn update(&mut self, chunk: &[u8]) {
        self.bytes += chunk.len() as u64;
        self.crc.update(chunk);
        self.hash.update(chunk);
    }

    fn digests(self) -> Digests {
        Digests { bytes: self.bytes, crc: self.crc.finalize(), hash: self.hash.finalize() }
    }
}

fn unreadable(at: u64, what: &str) -> Violation {
    Violation::new(Rule::Readable, "", format!("at byte {at}: {what}"))
}
