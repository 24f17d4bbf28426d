//! User-facing errors and the exit codes that they end in.
//!
//! | code | meaning |
//! |---|---|
//! | 0 | complete |
//! | 1 | some samples failed, or the work could not be finished |
//! | 2 | usage: flags, names, suite files |
//! | 3 | an invalid plugin, manifest, dataset copy, scorer or submission |
//! | 130 | interrupted |

use std::{
    io,
    path::{Path, PathBuf},
};

mod toml_file;

pub use toml_file::{parse_toml, read_toml};

/// Everything is there.
pub const COMPLETE: u8 = 0;
/// Some samples failed, or the work could not be finished.
pub const INCOMPLETE: u8 = 1;
/// Wrong flags, names or suite files.
pub const USAGE: u8 = 2;
/// An invalid plugin, manifest, dataset copy, scorer or submission.
pub const INVALID: u8 = 3;
/// Stopped by the user.
pub const INTERRUPTED: u8 = 130;

/// Result of the host.
pub type Result<T> = std::result::Result<T, Error>;

/// An error that a user reads: one sentence in lower case that says where and what to do.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Wrong flags, names or suite files.
    #[error("{0}")]
    Usage(String),
    /// An invalid plugin, manifest, dataset copy, scorer or submission.
    #[error("{}: {message}", .path.display())]
    Invalid {
        /// The file, with its line where known (`path:line`).
        path: PathBuf,
        /// What is wrong and what would be right.
        message: String,
    },
    /// A file could not be read or written.
    #[error("{}: {source}", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The work could not be finished.
    #[error("{0}")]
    Failed(String),
    /// Stopped by the user; what is on disk stays valid.
    #[error("interrupted; run the same command again to go on")]
    Interrupted,
}

impl Error {
    /// Wrong flags, names or suite files.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::Usage(message.into())
    }

    /// An invalid file.
    pub fn invalid(path: impl AsRef<Path>, message: impl Into<String>) -> Self {
        Self::Invalid { path: path.as_ref().into(), message: message.into() }
    }

    /// The work could not be finished.
    pub fn failed(message: impl Into<String>) -> Self {
        Self::Failed(message.into())
    }

    /// For `map_err` on anything that touches `path`.
    pub fn io(path: impl AsRef<Path>) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { path: path.as_ref().into(), source }
    }

    /// The exit code that this error ends in.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Usage(_) => USAGE,
            Self::Invalid { .. } => INVALID,
            Self::Io { .. } | Self::Failed(_) => INCOMPLETE,
            Self::Interrupted => INTERRUPTED,
        }
    }
}

impl Clone for Error {
    /// The same sentence and exit code; of an operating system's error, what it said.
    fn clone(&self) -> Self {
        match self {
            Self::Usage(message) => Self::Usage(message.clone()),
            Self::Failed(message) => Self::Failed(message.clone()),
            Self::Interrupted => Self::Interrupted,
            Self::Invalid { path, message } => Self::Invalid { path: path.clone(), message: message.clone() },
            Self::Io { path, source } => {
                Self::Io { path: path.clone(), source: io::Error::new(source.kind(), source.to_string()) }
            }
        }
    }
}

/// `; did you mean …?` for the nearest of the known names, or the list of them when none is near.
pub fn suggest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let mut known: Vec<&str> = known.into_iter().collect();
    known.sort_unstable();
    known.dedup();
    let near = known.iter().map(|k| (strsim::damerau_levenshtein(name, k), k)).min();
    match near {
        Some((distance, k)) if distance <= name.len().max(k.len()).div_ceil(3) => format!("; did you mean `{k}`?"),
        Some(_) => format!(" (known: {})", known.join(", ")),
        None => String::new(),
    }
}
