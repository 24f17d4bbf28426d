//! `transformers.Qwen2VLImageProcessor` (4.53.1) and `Qwen2VLImageProcessorFast` (4.57.6): images near their own size, cut
//! into patches.

use std::path::Path;

use serde::Deserialize;
use serde_json::Value;

use super::{
    processor::{FILE, ImageProcessor, Pixels},
    resize::{Filter, Rgb, Window, resize, resize_tensor},
};
use crate::{Error, Result, error::read_json};

/// The longer edge may be so many times the shorter one.
const LONGEST: f64 = 200.0;

/// Turns RGB images into patches.
#[derive(Debug, Clone)]
pub struct PatchProcessor {
    inner: ImageProcessor,
    filter: Option<Filter>,
    /// The fewest and the most pixels.
    pixels: [usize; 2],
    patch: usize,
    frames: usize,
    merge: usize,
    /// As torch and torchvision compute, not NumPy and Pillow.
    on_tensors: bool,
}

/// The patches of one image.
#[derive(Debug, Clone, PartialEq)]
pub struct Patches {
    /// Patches above each other.
    pub rows: usize,
    /// Patches side by side.
    pub columns: usize,
    /// Patch after patch, those of a square of `merge` by `merge` following each other: channels, frames, rows and columns.
    pub data: Vec<f32>,
}

/// The file as written, beside what [`ImageProcessor`] reads.
#[derive(Deserialize)]
#[serde(default)]
struct Config {
    do_resize: Option<bool>,
    resample: Option<u64>,
    size: Option<Value>,
    min_pixels: Option<usize>,
    max_pixels: Option<usize>,
    patch_size: usize,
    temporal_patch_size: usize,
    merge_size: usize,
}

impl Default for Config {
    fn default() -> Self {
        let (do_resize, resample, size, min_pixels, max_pixels) = (None, None, None, None, None);
        let (patch_size, temporal_patch_size, merge_size) = (14, 2, 2);
        Self { do_resize, resample, size, min_pixels, max_pixels, patch_size, temporal_patch_size, merge_size }
    }
}

impl PatchProcessor {
    /// Reads `preprocessor_config.json` in `dir`; without the file, the defaults of the class hold.
    ///
    /// # Errors
    /// The file is no JSON or holds a value that the reference would refuse.
    pub fn from_dir(dir: &Path) -> Result<Self> {
        Self::read(dir, false)
    }

    /// As [`PatchProcessor::from_dir`], but of the class whose name ends in `Fast`: it resizes as torchvision does, and the
    /// edges in `size` are the fewest and the most pixels.
    ///
    /// # Errors
    /// As [`PatchProcessor::from_dir`].
    pub fn fast_from_dir(dir: &Path) -> Result<Self> {
        Self::read(dir, true)
    }

    /// The same for images of at most so many pixels.
    pub fn with_max_pixels(mut self, most: usize) -> Self {
        self.pixels[1] = most;
        self
    }

    /// Side of a patch, frames in it, and patches along the side of the square whose patches follow each other.
    pub fn dimensions(&self) -> [usize; 3] {
        [self.patch, self.frames, self.merge]
    }

    /// Patches of an image of `width` x `height` pixels, three bytes each.
    ///
    /// # Errors
    /// The image is empty, its bytes do not fit its size, it is too narrow, or it is not resized and does not consist of
    /// whole patches.
    pub fn process(&self, width: usize, height: usize, rgb: &[u8]) -> Result<Patches> {
        if rgb.is_empty() || rgb.len() != width * height * 3 {
            let bytes = rgb.len();
            return Err(Error::Setting(format!("{bytes} bytes do not make an RGB image of {width}x{height} pixels")));
        }
        let pixels = match self.filter {
            Some(filter) => {
                let (tall, wide) = self.size(height, width)?;
                let (image, size) = (Rgb { width, height, data: rgb }, (wide, tall));
                let [rows, columns] = [tall, wide].map(|length| Window { start: 0, length });
                let resized = match self.on_tensors {
                    true => resize_tensor(image, size, filter),
                    false => resize(image, size, filter, columns, rows),
                };
                self.inner.process(wide, tall, &resized.data)?
            }
            None => self.inner.process(width, height, rgb)?,
        };
        let factor = self.patch * self.merge;
        if [pixels.height, pixels.width].iter().any(|length| length % factor != 0) {
            let reason = format!(
                "an image of {}x{} pixels does not consist of squares of {factor} pixels, and `do_resize` is false",
                pixels.width, pixels.height
            );
            return Err(Error::Setting(reason));
        }
        Ok(self.cut(&pixels))
    }

    /// Height and width after resizing; `smart_resize` of the reference.
    fn size(&self, height: usize, width: usize) -> Result<(usize, usize)> {
        let (tall, wide, factor) = (height as f64, width as f64, (self.patch * self.merge) as f64);
        if tall.max(wide) / tall.min(wide) > LONGEST {
            let reason = format!("an image of {width}x{height} pixels has an edge more than {LONGEST} times the other");
            return Err(Error::Setting(reason));
        }
        let [least, most] = self.pixels.map(|pixels| pixels as f64);
        let round = |length: f64| (length / factor).round_ties_even() * factor;
        let area = round(tall) * round(wide);
        let fit = |length: f64| -> f64 {
            if area > most {
                let shrink = (tall * wide / most).sqrt();
                ((length / shrink / factor).floor() * factor).max(factor)
            } else if area < least {
                let grow = (least / (tall * wide)).sqrt();
                (length * grow / factor).ceil() * factor
            } else {
                round(length)
            }
        };
        Ok((fit(tall) as usize, fit(wide) as usize))
    }

    fn cut(&self, pixels: &Pixels) -> Patches {
        let Self { patch, frames, merge, .. } = *self;
        let (rows, columns) = (pixels.height / patch, pixels.width / patch);
        let mut data = Vec::with_capacity(pixels.data.len() * frames);
        let squares = (0..rows).step_by(merge).flat_map(|row| (0..columns).step_by(merge).map(move |c| (row, c)));
        let inner = |(row, column)| (0..merge).flat_map(move |r| (0..merge).map(move |c| (row + r, column + c)));
        for (row, column) in squares.flat_map(inner) {
            for plane in pixels.data.chunks_exact(pixels.height * pixels.width) {
                // A still image is shown for all frames.
                for _ in 0..frames {
                    for line in row * patch..(row + 1) * patch {
                        data.extend_from_slice(&plane[line * pixels.width + column * patch..][..patch]);
                    }
                }
            }
        }
        Patches { rows, columns, data }
    }

    fn read(dir: &Path, on_tensors: bool) -> Result<Self> {
        let path = dir.join(FILE);
        let config: Config = if path.is_file() { read_json(&path)? } else { Config::default() };
        let inner = ImageProcessor::sized_from_dir(dir, on_tensors)?;
        Self::from_config(inner, &config, on_tensors).map_err(|reason| Error::invalid(path, reason))
    }

    fn from_config(inner: ImageProcessor, config: &Config, on_tensors: bool) -> std::result::Result<Self, String> {
        let edges = match &config.size {
            Some(size) => {
                let edges = ["shortest_edge", "longest_edge"].map(|edge| size.get(edge).and_then(Value::as_u64));
                let [Some(least), Some(most)] = edges else {
                    return Err(format!("`size` is {size}; expected `shortest_edge` and `longest_edge`"));
                };
                // On arrays, the reference takes no more from `size` than that it has these two.
                Some([least, most].map(|edge| edge as usize)).filter(|_| on_tensors)
            }
            None => None,
        };
        let number = config.resample.unwrap_or(3);
        let filter = Filter::from_number(number)
            .ok_or_else(|| format!("`resample` is {number}; known are 0 to 5, as in Pillow"))?;
        if on_tensors && !matches!(filter, Filter::Nearest | Filter::Bilinear | Filter::Bicubic) {
            return Err(format!("`resample` is {number}; torchvision knows 0, 2 and 3"));
        }
        let [patch, frames, merge] = [config.patch_size, config.temporal_patch_size, config.merge_size];
        if patch * frames * merge == 0 {
            return Err("`patch_size`, `temporal_patch_size` and `merge_size` have to be above 0".into());
        }
        let [least, most] = edges.unwrap_or([56 * 56, 28 * 28 * 1280]);
        let pixels = [config.min_pixels.unwrap_or(least), config.max_pixels.unwrap_or(most)];
        let filter = config.do_resize.unwrap_or(true).then_some(filter);
        Ok(Self { inner, filter, pixels, patch, frames, merge, on_tensors })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn processor(config: &str) -> std::result::Result<PatchProcessor, String> {
        PatchProcessor::from_config(ImageProcessor::clip(2).unwrap(), &serde_json::from_str(config).unwrap(), false)
    }

    fn fast(config: &str) -> std::result::Result<PatchProcessor, String> {
        PatchProcessor::from_config(ImageProcessor::clip(2).unwrap(), &serde_json::from_str(config).unwrap(), true)
    }

    /// Values of `smart_resize`.
    #[test]
    fn sizes() {
        let default = processor("{}").unwrap();
        for (size, expected) in [
            ((480, 640), (476, 644)),
            ((42, 70), (56, 56)),
            ((5, 3), (84, 56)),
            ((2000, 3000), (812, 1204)),
            ((28, 5600), (28, 5600)),
        ] {
            assert_eq!(default.size(size.0, size.1).unwrap(), expected, "{size:?}");
        }
        assert!(default.size(3, 700).unwrap_err().to_string().contains("more than 200 times"));
        let small = default.with_max_pixels(2000);
        assert_eq!(small.size(100, 200).unwrap(), (28, 56));
    }

    #[test]
    fn what_the_reference_refuses() {
        let edges = r#"{"size": {"shortest_edge": 1, "longest_edge": 2}}"#;
        assert_eq!(processor(edges).unwrap().pixels, [3136, 1003520]);
        assert_eq!(fast(edges).unwrap().pixels, [1, 2]);
        assert!(fast(r#"{"resample": 1}"#).unwrap_err().contains("torchvision knows"));
        assert!(processor(r#"{"size": {"height": 1}}"#).unwrap_err().contains("expected `shortest_edge`"));
        assert!(processor(r#"{"resample": 9}"#).unwrap_err().contains("known are 0 to 5"));
        assert!(processor(r#"{"merge_size": 0}"#).unwrap_err().contains("above 0"));
    }
}
