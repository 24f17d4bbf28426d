//! Submissions: a run packed into one file that anyone can check without its models.
//!
//! ```text
//! rules      what is checked, by number; SUBMISSIONS.md is the list
//! layout     which files a submission holds, in which order
//! archive    the bytes: a zip archive of exactly one form
//! index      submission.json: who, which division, and the digest of every file
//! signature  a minisign signature beside the archive
//! board      submissions side by side, as a static site
//! ```
//!
//! What is here knows files and bytes only; what they mean is looked into by `run::submit`.

mod archive;
mod board;
mod index;
mod layout;
mod rules;
mod signature;

pub use archive::{Archive, Member, Source, write};
pub use board::{Board, Entry, Number, Rejected, write_site};
pub use index::{Division, FORMAT, FileRecord, Index, digests};
pub use layout::{INDEX, Kind, RUN, cell_file, manifest_file, samples_file, scorer_file};
pub use rules::{DOCUMENT, Rule, Violation};
pub use signature::{SIGNATURE, check as check_signature, sign};

use std::path::Path;

use crate::error::Result;

/// Opens a submission and checks what needs no knowledge of runs: rules 101 to 204.
///
/// # Errors
/// The file cannot be read at all; whatever is wrong with its content is a violation.
pub fn open(path: &Path) -> Result<(Archive, Option<Index>, Vec<Violation>)> {
    let (archive, mut violations) = Archive::open(path)?;
    let index = index::check(&archive, &mut violations)?;
    violations.sort();
    violations.dedup();
    Ok((archive, index, violations))
}

#[cfg(test)]
mod tests;
