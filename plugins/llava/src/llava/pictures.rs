//! From images to pixel values: padded to a square or not, and then as the tower's processor has it; reference
//! `process_images` of LLaVA's authors, and `transformers.LlavaImageProcessor`, 4.53.1.

use std::path::Path;

use blocks::{
    Error, Result,
    image::{ImageProcessor, Pixels},
};
use bridge::{
    Preprocess,
    files::{object, text},
};
use serde_json::{Map, Value};

use super::vision::{Family, Vision};

/// Mean colour of OpenAI's images.
const OPENAI: [f64; 3] = [0.48145466, 0.4578275, 0.40821073];

/// How an image that is no square becomes one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fit {
    /// Padded with the mean colour.
    Pad,
    /// As the processor does it.
    Processor,
}

/// Turns images into pixel values.
pub struct Processor {
    /// Colour of the padding, where there is any.
    background: Option<[u8; 3]>,
    inner: ImageProcessor,
}

impl Processor {
    /// Reads `preprocessor_config.json` in the first of `dirs` that has one; where none does, images are brought to the
    /// size of the tower as OpenAI's CLIP does. `fit` goes before what the file says; without `named`, the class is that
    /// of the tower whatever the file names.
    ///
    /// # Errors
    /// The file is corrupt, or names another class than those built in.
    pub fn from_dirs(dirs: &[&Path], vision: &Vision, named: bool, fit: Option<Fit>) -> Result<Self> {
        let found = dirs.iter().map(|dir| (dir, dir.join("preprocessor_config.json"))).find(|(_, path)| path.is_file());
        let Some((dir, path)) = found else {
            let inner = match vision.family {
                Family::Clip => ImageProcessor::clip(vision.vit.image_size)?,
                Family::Siglip => ImageProcessor::siglip_from_dir(dirs.first().unwrap_or(&Path::new("")))?,
            };
            let background = (fit == Some(Fit::Pad)).then(|| colour(mean_of(vision.family)));
            return Ok(Self { background, inner });
        };
        let raw = object(&path)?;
        let (family, pads) = match named {
            true => class(&raw).map_err(|reason| Error::invalid(&path, reason))?,
            false => (vision.family, false),
        };
        let pads = fit.map_or(pads, |fit| fit == Fit::Pad);
        let mean = read_mean(&raw, family).map_err(|reason| Error::invalid(&path, reason))?;
        let inner = match family {
            Family::Clip => ImageProcessor::from_dir(dir)?,
            Family::Siglip => ImageProcessor::siglip_from_dir(dir)?,
        };
        Ok(Self { background: pads.then(|| colour(mean)), inner })
    }
}

impl Preprocess for Processor {
    fn process(&self, width: usize, height: usize, rgb: &[u8]) -> Result<Pixels> {
        match self.background {
            Some(colour) if width != height && rgb.len() == width * height * 3 && !rgb.is_empty() => {
                let side = width.max(height);
                self.inner.process(side, side, &square(width, height, rgb, colour))
            }
            _ => self.inner.process(width, height, rgb),
        }
    }
}

/// The image in the middle of a square; of an odd number of rows or columns around it, one less precedes it.
fn square(width: usize, height: usize, rgb: &[u8], colour: [u8; 3]) -> Vec<u8> {
    let side = width.max(height);
    let (top, left) = ((side - height) / 2, (side - width) / 2);
    let mut padded = colour.repeat(side * side);
    for (row, pixels) in rgb.chunks_exact(width * 3).enumerate() {
        let start = ((top + row) * side + left) * 3;
        padded[start..][..pixels.len()].copy_from_slice(pixels);
    }
    padded
}

/// The class that the file names, by which `transformers` would read it, and whether it pads.
fn class(raw: &Map<String, Value>) -> std::result::Result<(Family, bool), String> {
    let old = text(raw, "feature_extractor_type", "LlavaImageProcessor").replace("FeatureExtractor", "ImageProcessor");
    let class = text(raw, "image_processor_type", &old);
    match class.strip_suffix("Fast").unwrap_or(class) {
        "LlavaImageProcessor" => Ok((Family::Clip, raw.get("do_pad") == Some(&Value::Bool(true)))),
        "CLIPImageProcessor" => Ok((Family::Clip, false)),
        "SiglipImageProcessor" => Ok((Family::Siglip, false)),
        other => Err(format!(
            "`image_processor_type` is `{other}`; known are `LlavaImageProcessor`, `CLIPImageProcessor` and \
             `SiglipImageProcessor`"
        )),
    }
}

fn mean_of(family: Family) -> [f64; 3] {
    match family {
        Family::Clip => OPENAI,
        Family::Siglip => [0.5; 3],
    }
}

fn read_mean(raw: &Map<String, Value>, family: Family) -> std::result::Result<[f64; 3], String> {
    let value = raw.get("image_mean").unwrap_or(&Value::Null);
    let wrong = || format!("`image_mean` is {value}; expected a number or three");
    match value {
        Value::Null => Ok(mean_of(family)),
        Value::Array(values) => {
            let values: Option<Vec<f64>> = values.iter().map(Value::as_f64).collect();
            values.and_then(|values| values.try_into().ok()).ok_or_else(wrong)
        }
        value => value.as_f64().map(|value| [value; 3]).ok_or_else(wrong),
    }
}

/// Truncated, as in the reference.
fn colour(mean: [f64; 3]) -> [u8; 3] {
    mean.map(|value| (value * 255.0) as u8)
}
