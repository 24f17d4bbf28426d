//! From images to patches.

use std::path::Path;

use blocks::{
    image::{Filter, PatchProcessor, Rgb, Window, resize},
    vision::QwenVitConfig,
};
use bridge::{
    Options,
    convert::{config, failed, input},
    reader::Picture,
};
use candle_core::{Device, Tensor};
use plugin_api::{Image, Result};

/// Side to which MedVLMBench brings images.
const BENCHMARK_SIDE: usize = 224;

/// Turns images into patches.
pub struct Pictures {
    processor: PatchProcessor,
    /// Images are brought to this square first.
    side: Option<usize>,
    /// Values of a patch.
    values: usize,
}

impl Pictures {
    /// By the `processor` that `preprocessor_config.json` in `dir` gives, for the tower `vision`, with the options `side`,
    /// `max_pixels` and `compat`.
    ///
    /// # Errors
    /// The processor is that of another tower, or an option is of no use.
    pub fn new(
        mut processor: PatchProcessor,
        dir: &Path,
        vision: &QwenVitConfig,
        options: &Options<'_>,
    ) -> Result<Self> {
        let (found, expected) = (processor.dimensions(), [vision.patch, vision.frames, vision.merge]);
        if found != expected {
            let reason = format!("patches, frames and squares are {found:?}, but those of the tower are {expected:?}");
            return Err(config(blocks::Error::invalid(dir.join("preprocessor_config.json"), reason)));
        }
        if let Some(most) = options.count("max_pixels")? {
            processor = processor.with_max_pixels(most);
        }
        let compat = options.medvlmbench()?.then_some(BENCHMARK_SIDE);
        Ok(Self { processor, side: options.count("side")?.or(compat), values: vision.patch_values() })
    }

    /// Patches `[patches, values]`, with the numbers of rows and columns.
    ///
    /// # Errors
    /// The image is empty, too narrow, or its bytes do not fit its size.
    pub fn prepare(&self, image: &Image<'_>) -> Result<Picture> {
        let (width, height, data) = (image.width as usize, image.height as usize, image.rgb);
        let whole = !data.is_empty() && data.len() == width * height * 3;
        let patches = match self.side.filter(|_| whole) {
            Some(side) => {
                let all = Window { start: 0, length: side };
                let square = resize(Rgb { width, height, data }, (side, side), Filter::Bicubic, all, all);
                self.processor.process(side, side, &square.data)
            }
            None => self.processor.process(width, height, data),
        };
        let patches = patches.map_err(input)?;
        let shape = (patches.rows * patches.columns, self.values);
        let pixels = Tensor::from_vec(patches.data, shape, &Device::Cpu).map_err(failed)?;
        Ok(Picture { pixels, grid: vec![patches.rows, patches.columns] })
    }
}
