//! open_clip's evaluation transform (`open_clip.transform.image_transform`, 3.3.0), which is torchvision's.

use serde::Deserialize;

use super::{
    ImageProcessor,
    processor::{MEAN, OddCrop, PerChannel, STD, Size},
    resize::Filter,
};
use crate::{Error, Result};

/// `preprocess_cfg`; what is absent or null has the default of the library. Its size is that of the model.
#[derive(Default, Clone, Copy, Deserialize)]
#[serde(default)]
pub struct OpenClipPreprocessing {
    mean: Option<PerChannel>,
    std: Option<PerChannel>,
    interpolation: Option<Interpolation>,
    resize_mode: Option<ResizeMode>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Interpolation {
    /// Of training only: the reference evaluates such models with bicubic interpolation.
    Random,
    Bicubic,
    Bilinear,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum ResizeMode {
    Shortest,
    Squash,
}

impl ImageProcessor {
    /// Images of `side` x `side` pixels.
    ///
    /// # Errors
    /// `side` is 0.
    pub fn open_clip(config: &OpenClipPreprocessing, side: usize) -> Result<Self> {
        if side == 0 {
            return Err(Error::Setting("an image size of 0 pixels makes no sense".into()));
        }
        let filter = match config.interpolation {
            Some(Interpolation::Bilinear) => Filter::Bilinear,
            Some(Interpolation::Bicubic | Interpolation::Random) | None => Filter::Bicubic,
        };
        let size = match config.resize_mode {
            Some(ResizeMode::Squash) => Size::Exact(side, side),
            Some(ResizeMode::Shortest) | None => Size::ShortestEdge(side),
        };
        let (mean, std) = (config.mean.map_or(MEAN, PerChannel::values), config.std.map_or(STD, PerChannel::values));
        Ok(Self::of_square(side, (size, filter), OddCrop::Even, (mean, std)))
    }
}
