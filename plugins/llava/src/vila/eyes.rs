//! From images to vectors of the language model.

use blocks::{
    Error, Result,
    image::{Filter, ImageProcessor, Pixels, Rgb, Window, resize},
    vision::Vit,
};
use bridge::reader::Picture;
use candle_core::{Device, Tensor};

use super::projector::Projector;
use crate::nvila::{Grid, Scales, stitch};

/// Tiles that pass the tower at a time.
const TILES: usize = 8;

/// A vision tower and what comes before and after it.
pub struct Eyes {
    /// Rescales and normalises tiles that have the tower's size already.
    pub processor: ImageProcessor,
    /// The tower.
    pub tower: Vit,
    /// Layers of it whose states count.
    pub depth: usize,
    /// From these to the language model.
    pub projector: Projector,
    /// The scales of a model that looks at several.
    pub scales: Option<Scales>,
}

impl Eyes {
    /// Pixel values of an image, `[tiles, 3, side, side]`: squashed, or with `closely` at all scales that the model has.
    ///
    /// # Errors
    /// The image is empty or its bytes do not fit its size.
    pub fn prepare(&self, width: usize, height: usize, rgb: &[u8], closely: bool) -> Result<Picture> {
        if rgb.is_empty() || rgb.len() != width * height * 3 {
            let bytes = rgb.len();
            return Err(Error::Setting(format!("{bytes} bytes do not make an RGB image of {width}x{height} pixels")));
        }
        let image = Rgb { width, height, data: rgb };
        let (tiles, grid) = match &self.scales {
            Some(scales) if closely => {
                let grid = scales.grid(width, height);
                (scales.tiles(image, grid), vec![grid.0, grid.1])
            }
            _ => {
                let side = self.tower.config().image_size;
                let all = Window { start: 0, length: side };
                (vec![resize(image, (side, side), Filter::Bicubic, all, all)], Vec::new())
            }
        };
        let pixels = tiles.iter().map(|tile| self.processor.process(tile.width, tile.height, &tile.data));
        Ok(Picture { pixels: stack(&pixels.collect::<Result<Vec<_>>>()?)?, grid })
    }

    /// Vectors `[tokens, width]` of each picture; all their tiles pass the tower together, some at a time.
    ///
    /// # Errors
    /// None but those of the device.
    pub fn encode(&self, pictures: &[&Picture]) -> Result<Vec<Tensor>> {
        let pixels = pictures.iter().map(|picture| &picture.pixels).collect::<Vec<_>>();
        let states = self.states(&Tensor::cat(&pixels, 0)?)?;
        let mut start = 0;
        let vectors = pictures.iter().map(|picture| {
            let tiles = picture.pixels.dim(0)?;
            start += tiles;
            self.vectors(&states.narrow(0, start - tiles, tiles)?, &picture.grid)
        });
        vectors.collect()
    }

    /// States `[tiles, tokens, width]` of pixel values.
    fn states(&self, pixels: &Tensor) -> Result<Tensor> {
        let (device, dtype) = self.tower.placement();
        let total = pixels.dim(0)?;
        let states = (0..total).step_by(TILES).map(|start| {
            let tiles = pixels.narrow(0, start, TILES.min(total - start))?;
            self.tower.hidden(&tiles.to_device(device)?.to_dtype(dtype)?, self.depth, false)
        });
        Ok(Tensor::cat(&states.collect::<Result<Vec<_>>>()?, 0)?)
    }

    /// States `[tiles, tokens, width]` of one picture to its vectors.
    fn vectors(&self, states: &Tensor, grid: &[usize]) -> Result<Tensor> {
        let (states, grid): (Tensor, Grid) = match (&self.scales, grid) {
            (Some(scales), &[rows, columns]) => scales.merge(states, (rows, columns))?,
            (Some(scales), _) => (scales.repeat(states)?, (1, 1)),
            (None, _) => (states.clone(), (1, 1)),
        };
        let vectors = self.projector.forward(&states)?;
        match grid {
            (1, 1) => Ok(vectors.squeeze(0)?),
            _ => Ok(stitch(&vectors, grid)?.flatten(0, 1)?),
        }
    }
}

fn stack(pixels: &[Pixels]) -> Result<Tensor> {
    let values = pixels.iter().flat_map(|pixels| &pixels.data).copied().collect::<Vec<_>>();
    let (height, width) = pixels.first().map_or((0, 0), |pixels| (pixels.height, pixels.width));
    Ok(Tensor::from_vec(values, (pixels.len(), 3, height, width), &Device::Cpu)?)
}
