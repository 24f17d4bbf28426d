//! Where a model is opened from.

use std::path::{Path, PathBuf};

use blocks::device::{device, dtype};
use candle_core::{DType, Device};
use plugin_api::{Error, Open, Result};

use crate::convert::config;

/// A checkpoint, and where its tensors go.
#[derive(Debug, Clone)]
pub struct Place {
    /// Directory of the checkpoint.
    pub dir: PathBuf,
    /// Where the tensors go.
    pub device: Device,
    /// Their number format.
    pub dtype: DType,
}

impl Place {
    /// Of a request to open `architecture`.
    ///
    /// # Errors
    /// There is no directory, or the device or format is unknown.
    pub fn of(open: &Open, architecture: &str) -> Result<Self> {
        let dir = open
            .weights
            .clone()
            .ok_or_else(|| Error::config(format!("architecture `{architecture}` needs a directory with weights")))?;
        let (device, dtype) = (device(&open.device).map_err(config)?, dtype(&open.dtype).map_err(config)?);
        Ok(Self { dir, device, dtype })
    }

    /// An error of assembling a model; one that concerns a dimension is an error of the file that states it.
    pub fn blame(&self, file: impl AsRef<Path>, e: blocks::Error) -> Error {
        config(match e {
            blocks::Error::Setting(reason) => blocks::Error::invalid(self.dir.join(file), reason),
            other => other,
        })
    }

    /// As [`Place::blame`], where no file but the tensors states the dimensions.
    pub fn blame_dir(&self, e: blocks::Error) -> Error {
        config(match e {
            blocks::Error::Setting(reason) => blocks::Error::invalid(&self.dir, reason),
            other => other,
        })
    }
}
