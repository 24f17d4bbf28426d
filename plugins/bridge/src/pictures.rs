//! From images to pixel tensors.

use blocks::image::{ImageProcessor, Pixels};
use candle_core::{DType, Device, Tensor};
use plugin_api::{Error, Image, Result, digest};

use crate::convert::{failed, input};

/// From images to pixels.
pub trait Preprocess: Send + Sync + 'static {
    /// Pixel values of an image of `width` x `height` pixels, three bytes each.
    ///
    /// # Errors
    /// The image is empty or its bytes do not fit its size.
    fn process(&self, width: usize, height: usize, rgb: &[u8]) -> blocks::Result<Pixels>;
}

impl Preprocess for ImageProcessor {
    fn process(&self, width: usize, height: usize, rgb: &[u8]) -> blocks::Result<Pixels> {
        Self::process(self, width, height, rgb)
    }
}

/// Pixel values of images, for a model that takes squares of `side` pixels.
///
/// # Errors
/// There are no images, or the processor yields another size than the model takes.
pub fn pixels(processor: &dyn Preprocess, images: &[Image<'_>], side: usize) -> Result<Vec<Pixels>> {
    if images.is_empty() {
        return Err(Error::input("there are no images"));
    }
    let pixels = images.iter().map(|i| processor.process(i.width as usize, i.height as usize, i.rgb));
    let pixels = pixels.collect::<blocks::Result<Vec<_>>>().map_err(input)?;
    match pixels.iter().find(|p| (p.height, p.width) != (side, side)) {
        Some(p) => Err(Error::config(format!(
            "preprocessor_config.json yields images of {}x{} pixels, but the model takes {side}x{side}",
            p.width, p.height
        ))),
        None => Ok(pixels),
    }
}

/// Pixel values of images of one size as one tensor `[n, 3, height, width]`.
///
/// # Errors
/// None but those of the device.
pub fn stack(pixels: &[Pixels], device: &Device, dtype: DType) -> Result<Tensor> {
    let values = pixels.iter().flat_map(|p| &p.data).copied().collect::<Vec<_>>();
    let shape = (pixels.len(), 3, pixels[0].height, pixels[0].width);
    Tensor::from_vec(values, shape, device).and_then(|p| p.to_dtype(dtype)).map_err(failed)
}

/// The digest of each image's pixel values, as predictions record it.
pub fn input_digests(pixels: &[Pixels]) -> Vec<String> {
    let digest = |p: &Pixels| digest(&p.data.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<_>>());
    pixels.iter().map(digest).collect()
}
