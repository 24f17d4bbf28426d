//! The error of this crate.

use std::path::{Path, PathBuf};

/// What went wrong; each message is one sentence with the path it concerns.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file is absent or unreadable.
    #[error("cannot read {path}", path = path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file was read, but its contents are wrong.
    #[error("{path}: {reason}", path = path.display())]
    Invalid {
        /// The file or directory.
        path: PathBuf,
        /// Why, in lower case.
        reason: String,
    },
    /// A setting that names nothing known.
    #[error("{0}")]
    Setting(String),
    /// A tensor operation failed.
    #[error("{}", sentence(.0))]
    Tensor(#[from] candle_core::Error),
}

/// Result of this crate.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// The contents of `path` are wrong.
    pub fn invalid(path: impl AsRef<Path>, reason: impl Into<String>) -> Self {
        Self::Invalid { path: path.as_ref().to_path_buf(), reason: reason.into() }
    }
}

/// What candle says of an error, without the backtrace that it appends where `RUST_BACKTRACE` is set.
pub fn sentence(e: &candle_core::Error) -> String {
    use candle_core::Error::{Context, WithBacktrace, WithPath};
    match e {
        WithBacktrace { inner, .. } => sentence(inner),
        WithPath { inner, path } => format!("{}: {}", path.display(), sentence(inner)),
        Context { inner, context } => format!("{context}: {}", sentence(inner)),
        other => other.to_string(),
    }
}

/// Reads a file as text.
pub(crate) fn read_text(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).map_err(|source| Error::Read { path: path.to_path_buf(), source })
}

/// Reads a JSON file into `T`.
pub(crate) fn read_json<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T> {
    serde_json::from_str(&read_text(path)?).map_err(|e| Error::invalid(path, format!("not the JSON expected: {e}")))
}
