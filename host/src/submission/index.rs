//! `submission.json`: who submits what in which division, and the digest of every file.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    str::FromStr,
};

use serde::{Deserialize, Serialize};

use super::{
    archive::{Archive, Member},
    layout::INDEX,
    rules::{Rule, Violation},
};
use crate::error::{Error, Result};

/// Version of the layout.
pub const FORMAT: u32 = 1;

/// The index of a submission.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Index {
    /// Version of the layout.
    pub format: u32,
    /// Version of the program that packed.
    pub medvlm: String,
    /// The division.
    pub division: Division,
    /// Who submits.
    pub submitter: String,
    /// How to reach them.
    pub contact: String,
    /// What they want to say.
    pub note: String,
    /// Digests of the files of trained adapters, by cell and name. The files stay with the submitter.
    pub adapters: BTreeMap<String, BTreeMap<String, String>>,
    /// Every other file.
    pub files: BTreeMap<String, FileRecord>,
    /// BLAKE3 of this index with nothing in this field.
    pub digest: String,
}

/// What a file is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileRecord {
    /// Its length.
    pub bytes: u64,
    /// BLAKE3 of its content.
    pub blake3: String,
}

/// What a submission may be compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Division {
    /// Official suite, prompts and scorers: the numbers of different submitters compare.
    Closed,
    /// Anything that can be verified.
    Open,
}

impl Index {
    /// The bytes that packing writes, with the digest in its field.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let blank = Self { digest: String::new(), ..self.clone() };
        let digest = blake3::hash(&json(&blank)?).to_hex().to_string();
        json(&Self { digest, ..blank })
    }
}

impl fmt::Display for Division {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Closed => "closed",
            Self::Open => "open",
        })
    }
}

impl FromStr for Division {
    type Err = Error;

    fn from_str(s: &str) -> Result<Self> {
        match s {
            "closed" => Ok(Self::Closed),
            "open" => Ok(Self::Open),
            _ => Err(Error::usage(format!("`{s}` is no division: there are `closed` and `open`"))),
        }
    }
}

/// The record of each member.
pub fn digests(members: &[Member]) -> Result<BTreeMap<String, FileRecord>> {
    let record = |member: &Member| {
        let digests = member.source.digests()?;
        Ok((member.name.clone(), FileRecord { bytes: digests.bytes, blake3: digests.hash.to_hex().to_string() }))
    };
    members.iter().map(record).collect()
}

/// Reads the index and compares the archive with it: rules 201 to 204.
pub(super) fn check(archive: &Archive, violations: &mut Vec<Violation>) -> Result<Option<Index>> {
    let index = read(archive, violations)?;
    let none = BTreeMap::new();
    let files = index.as_ref().map_or(&none, |index| &index.files);
    let mut refuse = |rule, place: &str, what: &str| violations.push(Violation::new(rule, place, what));
    let names: BTreeSet<&str> = archive.members().map(|(name, _)| name).collect();
    for (name, _) in archive.members() {
        let Some(found) = archive.digests(name)? else { continue };
        if !archive.has_crc(name, found.crc) {
            refuse(Rule::CanonicalArchive, name, "its content does not have the checksum of its header");
        }
        match files.get(name) {
            _ if name == INDEX || index.is_none() => {}
            None => refuse(Rule::SameFiles, name, "is not in the index"),
            Some(said) if said.bytes != found.bytes || said.blake3 != found.hash.to_hex().as_str() => {
                refuse(Rule::FileDigest, name, "is not what the index says");
            }
            Some(_) => {}
        }
    }
    for name in files.keys().filter(|name| !names.contains(name.as_str())) {
        refuse(Rule::SameFiles, name, "is in the index, and missing");
    }
    Ok(index)
}

fn read(archive: &Archive, violations: &mut Vec<Violation>) -> Result<Option<Index>> {
    let mut refuse = |rule, what: String| violations.push(Violation::new(rule, INDEX, what));
    let Some(bytes) = archive.read(INDEX)? else {
        refuse(Rule::Index, "is missing".into());
        return Ok(None);
    };
    let index: Index = match serde_json::from_slice(&bytes) {
        Ok(index) => index,
        Err(e) => {
            refuse(Rule::Index, format!("is no index of format {FORMAT}: {e}"));
            return Ok(None);
        }
    };
    if index.format != FORMAT {
        refuse(Rule::Index, format!("has format {}, this program knows {FORMAT}", index.format));
        return Ok(None);
    }
    if json(&index)? != bytes {
        refuse(Rule::Index, "is not written as packing writes it".into());
    } else if index.to_bytes()? != bytes {
        refuse(Rule::IndexDigest, "is not what its own digest says".into());
    }
    Ok(Some(index))
}

fn json(index: &Index) -> Result<Vec<u8>> {
    let mut bytes = serde_json::to_vec_pretty(index).map_err(|e| Error::failed(e.to_string()))?;
    bytes.push(b'\n');
    Ok(bytes)
}
