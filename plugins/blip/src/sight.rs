//! How the models of this plugin that write see an image.

use blocks::{
    image::ImageProcessor,
    layers::Norm,
    vision::{Vit, VitConfig},
    weights::Weights,
};
use bridge::{
    Place,
    convert::{config, failed, input},
    pixels,
    reader::{Picture, Seen},
    stack,
};
use candle_core::{DType, Device, Tensor};
use plugin_api::{Error, Image, Result};

/// Images that are encoded in one pass.
const BATCH: usize = 16;

/// A vision tower and what prepares images for it.
pub struct Sight {
    place: Place,
    processor: ImageProcessor,
    vision: Vit,
    /// In place of the tower's last norm.
    norm: Option<Norm>,
}

impl Sight {
    /// Takes `vision` of the weights, and `preprocessor_config.json`.
    ///
    /// # Errors
    /// The file is corrupt, or as [`Vit::new`].
    pub fn new(place: Place, vision: &VitConfig, weights: &Weights) -> Result<Self> {
        let processor = ImageProcessor::blip_from_dir(&place.dir).map_err(config)?;
        let vision = Vit::new(vision, &weights.at("vision")).map_err(|e| place.blame("config.json", e))?;
        Ok(Self::of(place, processor, vision, None))
    }

    /// Of its parts; `norm` takes the place of the tower's last norm.
    pub fn of(place: Place, processor: ImageProcessor, vision: Vit, norm: Option<Norm>) -> Self {
        Self { place, processor, vision, norm }
    }

    /// Pixel values `[1, 3, side, side]`.
    ///
    /// # Errors
    /// The image is empty, or the processor yields another size than the tower takes.
    pub fn prepare(&self, image: &Image<'_>) -> Result<Picture> {
        let pixels = pixels(&self.processor, &[*image], self.vision.config().image_size)?;
        Ok(Picture { pixels: stack(&pixels, &Device::Cpu, DType::F32)?, grid: Vec::new() })
    }

    /// Normalised tokens `[pictures, tokens, width]`.
    ///
    /// # Errors
    /// None but those of the device.
    pub fn states(&self, pictures: &[&Picture]) -> blocks::Result<Tensor> {
        let batches = pictures.chunks(BATCH).map(|some| {
            let pixels = some.iter().map(|picture| &picture.pixels).collect::<Vec<_>>();
            let pixels = Tensor::cat(&pixels, 0)?.to_device(&self.place.device)?.to_dtype(self.place.dtype)?;
            match &self.norm {
                Some(norm) => {
                    norm.forward(&self.vision.hidden(&pixels, self.vision.config().encoder.depth, false)?, false)
                }
                None => self.vision.token_states(&pixels, false),
            }
        });
        Ok(Tensor::cat(&batches.collect::<blocks::Result<Vec<_>>>()?, 0)?)
    }

    /// The same for each picture, `[tokens, width]`.
    ///
    /// # Errors
    /// None but those of the device.
    pub fn each(&self, pictures: &[&Picture]) -> blocks::Result<Vec<Tensor>> {
        let states = self.states(pictures)?;
        (0..pictures.len()).map(|n| Ok(states.get(n)?)).collect()
    }

    /// The class token after the last norm, `[pictures, width]`.
    ///
    /// # Errors
    /// There are no pictures.
    pub fn features(&self, pictures: &[&Picture]) -> Result<Tensor> {
        match pictures {
            [] => Err(Error::input("there are no images")),
            _ => self.states(pictures).map_err(input)?.get_on_dim(1, 0).map_err(failed),
        }
    }

    /// Side of an image, in pixels.
    pub fn image_size(&self) -> u32 {
        self.vision.config().image_size as u32
    }

    /// Width of a token.
    pub fn width(&self) -> u32 {
        self.vision.config().encoder.width as u32
    }

    /// The one picture of a prompt.
    ///
    /// # Errors
    /// There is none, or there are several.
    pub fn one<'a, 'b>(pictures: &'a [Seen<'b>]) -> Result<&'a Seen<'b>> {
        match pictures {
            [one] => Ok(one),
            _ => Err(Error::input(format!("this model takes one image with a prompt, not {}", pictures.len()))),
        }
    }
}
