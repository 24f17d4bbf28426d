//! The one error type that crosses the boundary.

use std::fmt;

/// What went wrong, as far as the host needs to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum ErrorKind {
    /// The model lacks the capability that was asked for.
    Unsupported = 1,
    /// The model cannot be opened as configured: missing weights, wrong shapes, unknown architecture.
    Config = 2,
    /// The request makes no sense to this model.
    Input = 3,
    /// Memory ran out.
    OutOfMemory = 4,
    /// The plugin panicked; `detail` has the place.
    Panic = 5,
    /// The host asked to stop.
    Cancelled = 6,
    /// Anything else.
    Other = 100,
}

impl ErrorKind {
    /// The kind with this number; unknown numbers, of newer plugins, are `Other`.
    pub fn from_code(code: u32) -> Self {
        match code {
            1 => Self::Unsupported,
            2 => Self::Config,
            3 => Self::Input,
            4 => Self::OutOfMemory,
            5 => Self::Panic,
            6 => Self::Cancelled,
            _ => Self::Other,
        }
    }
}

/// An error of a plugin. `?` turns any `std::error::Error` into one of kind `Other`.
#[derive(Debug, Clone)]
pub struct Error {
    /// What went wrong.
    pub kind: ErrorKind,
    /// One sentence in lower case, without a full stop.
    pub message: String,
    /// Place and backtrace of a panic; empty otherwise.
    pub detail: String,
}

/// Result of a plugin.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// An error without detail.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), detail: String::new() }
    }

    /// The model cannot be opened as configured.
    pub fn config(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Config, message)
    }

    /// The request makes no sense to this model.
    pub fn input(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Input, message)
    }

    /// The model lacks this capability.
    pub fn unsupported(what: &str) -> Self {
        Self::new(ErrorKind::Unsupported, format!("this model does not support `{what}`"))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

// `Error` itself stays outside `std::error::Error`: otherwise this conversion would clash with the
// reflexive one, and authors would have to map every error by hand.
impl<E: std::error::Error> From<E> for Error {
    fn from(e: E) -> Self {
        let mut message = e.to_string();
        let mut source = e.source();
        while let Some(cause) = source {
            message = format!("{message}: {cause}");
            source = cause.source();
        }
        Self::new(ErrorKind::Other, message)
    }
}
