//! `transformers.CLIPImageProcessor` and its kin (4.53.1): resize, centre crop, rescale, normalise.

use std::path::Path;

use serde::Deserialize;
use serde_json::{Value, json};

use super::resize::{Filter, Rgb, Window, resize};
use crate::{Error, Result, error::read_json};

pub(super) const FILE: &str = "preprocessor_config.json";
/// Means and standard deviations of OpenAI's CLIP.
pub(super) const MEAN: [f64; 3] = [0.48145466, 0.4578275, 0.40821073];
pub(super) const STD: [f64; 3] = [0.26862954, 0.26130258, 0.27577711];

/// Turns RGB images into pixel values.
#[derive(Debug, Clone)]
pub struct ImageProcessor {
    resize: Option<(Size, Filter)>,
    crop: Option<(usize, usize)>,
    odd_crop: OddCrop,
    table: Table,
}

/// Pixel value of each byte of each channel.
type Table = Box<[[f32; 256]; 3]>;

/// Pixel values of one image, channel by channel.
#[derive(Debug, Clone, PartialEq)]
pub struct Pixels {
    /// Rows.
    pub height: usize,
    /// Pixels in a row.
    pub width: usize,
    /// `3 * height * width` values.
    pub data: Vec<f32>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Size {
    /// The shorter edge, the other in proportion.
    ShortestEdge(usize),
    /// Height and width.
    Exact(usize, usize),
}

/// Where a centre crop starts that leaves an odd number of rows or columns over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OddCrop {
    /// With one less before it than behind it, as in `transformers`.
    Down,
    /// At the even one of the two middle positions, as in torchvision.
    Even,
}

/// The file as written; what is absent or null has the class's default.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Config {
    do_resize: Option<bool>,
    size: Option<Value>,
    resample: Option<u64>,
    do_center_crop: Option<bool>,
    crop_size: Option<Value>,
    do_rescale: Option<bool>,
    rescale_factor: Option<f64>,
    do_normalize: Option<bool>,
    image_mean: Option<PerChannel>,
    image_std: Option<PerChannel>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(untagged)]
pub(super) enum PerChannel {
    Same(f64),
    Each([f64; 3]),
}

impl ImageProcessor {
    /// Reads `preprocessor_config.json` in `dir`; without the file, the defaults of the class hold.
    ///
    /// # Errors
    /// The file is no JSON or holds a value that the reference would refuse.
    pub fn from_dir(dir: &Path) -> Result<Self> {
        let path = dir.join(FILE);
        let config = if path.is_file() { read_json(&path)? } else { Config::default() };
        Self::from_config(config).map_err(|reason| Error::invalid(path, reason))
    }

    /// For squares of `side` pixels, with the defaults of the class otherwise: OpenAI's CLIP of another size.
    ///
    /// # Errors
    /// `side` is 0.
    pub fn clip(side: usize) -> Result<Self> {
        let config = Config { size: Some(json!(side)), crop_size: Some(json!(side)), ..Config::default() };
        Self::from_config(config).map_err(Error::Setting)
    }

    /// As [`ImageProcessor::from_dir`], but of SigLIP's class: squashed to height and width, no crop, mean and standard
    /// deviation 0.5.
    ///
    /// # Errors
    /// As [`ImageProcessor::from_dir`], or `size` does not name height and width.
    pub fn siglip_from_dir(dir: &Path) -> Result<Self> {
        Self::squashing(dir, 3)
    }

    /// As [`ImageProcessor::siglip_from_dir`], but bilinear by default; reference `transformers.Gemma3ImageProcessor`.
    /// Crops beside the whole image are not made, whatever the file says: `Gemma3Processor` does not ask for them.
    ///
    /// # Errors
    /// As [`ImageProcessor::siglip_from_dir`].
    pub fn gemma3_from_dir(dir: &Path) -> Result<Self> {
        Self::squashing(dir, 2)
    }

    fn squashing(dir: &Path, resample: u64) -> Result<Self> {
        let path = dir.join(FILE);
        let mut config = if path.is_file() { read_json(&path)? } else { Config::default() };
        config.resample.get_or_insert(resample);
        config.size.get_or_insert_with(|| json!({"height": 224, "width": 224}));
        config.do_center_crop = Some(false);
        config.image_mean.get_or_insert(PerChannel::Same(0.5));
        config.image_std.get_or_insert(PerChannel::Same(0.5));
        match config.size.as_ref().filter(|_| config.do_resize.unwrap_or(true)) {
            Some(size) if pair(size).is_none() => {
                Err(Error::invalid(path, format!("`size` is {size}; expected `height` and `width`")))
            }
            _ => Self::from_config(config).map_err(|reason| Error::invalid(path, reason)),
        }
    }

    /// As [`ImageProcessor::from_dir`], but of BLIP's class: squashed to height and width, by default 384 each, and no
    /// crop; reference `transformers.BlipImageProcessor`.
    ///
    /// # Errors
    /// As [`ImageProcessor::from_dir`], or `size` names no height and width.
    pub fn blip_from_dir(dir: &Path) -> Result<Self> {
        let path = dir.join(FILE);
        let mut config = if path.is_file() { read_json(&path)? } else { Config::default() };
        let size = config.size.take().unwrap_or_else(|| json!(384));
        let (height, width) = read_crop(&size).map_err(|_| {
            Error::invalid(&path, format!("`size` is {size}; expected a number, or `height` and `width`"))
        })?;
        config.size = Some(json!([height, width]));
        config.do_center_crop = Some(false);
        Self::from_config(config).map_err(|reason| Error::invalid(path, reason))
    }

    /// As [`ImageProcessor::from_dir`], for images that have their size already; the values are those that NumPy computes
    /// or, `on_tensors`, those of torch.
    ///
    /// # Errors
    /// As [`ImageProcessor::from_dir`].
    pub(super) fn sized_from_dir(dir: &Path, on_tensors: bool) -> Result<Self> {
        let path = dir.join(FILE);
        let config: Config = if path.is_file() { read_json(&path)? } else { Config::default() };
        let tensors = on_tensors.then(|| config.table_of_tensors());
        let config = Config { do_resize: Some(false), do_center_crop: Some(false), ..config };
        let inner = Self::from_config(config).map_err(|reason| Error::invalid(path, reason))?;
        Ok(Self { table: tensors.unwrap_or(inner.table), ..inner })
    }

    fn from_config(config: Config) -> std::result::Result<Self, String> {
        let table = config.table();
        let resize = match config.do_resize.unwrap_or(true) {
            true => {
                let number = config.resample.unwrap_or(3);
                let filter = Filter::from_number(number)
                    .ok_or_else(|| format!("`resample` is {number}; known are 0 to 5, as in Pillow"))?;
                Some((config.size.map_or(Ok(Size::ShortestEdge(224)), |size| read_size(&size))?, filter))
            }
            false => None,
        };
        let crop = match config.do_center_crop.unwrap_or(true) {
            true => Some(config.crop_size.map_or(Ok((224, 224)), |size| read_crop(&size))?),
            false => None,
        };
        Ok(Self { resize, crop, odd_crop: OddCrop::Down, table })
    }

    /// Resized with `filter`, cropped to the square of `side` pixels with `odd_crop`, its bytes divided by 255 in f32 and
    /// normalised.
    pub(super) fn of_square(
        side: usize,
        (size, filter): (Size, Filter),
        odd_crop: OddCrop,
        (mean, std): ([f64; 3], [f64; 3]),
    ) -> Self {
        let table = table(|byte| byte as f32 / 255.0, Some((mean, std)));
        Self { resize: Some((size, filter)), crop: Some((side, side)), odd_crop, table }
    }

    /// The same for images that have their size already.
    pub fn without_resize(self) -> Self {
        Self { resize: None, ..self }
    }

    /// Pixel values of an image of `width` x `height` pixels, three bytes each.
    ///
    /// # Errors
    /// The image is empty or its bytes do not fit its size.
    pub fn process(&self, width: usize, height: usize, rgb: &[u8]) -> Result<Pixels> {
        if rgb.is_empty() || rgb.len() != width * height * 3 {
            let bytes = rgb.len();
            return Err(Error::Setting(format!("{bytes} bytes do not make an RGB image of {width}x{height} pixels")));
        }
        let (new_height, new_width) = match self.resize {
            None => (height, width),
            Some((Size::Exact(new_height, new_width), _)) => (new_height, new_width),
            Some((Size::ShortestEdge(edge), _)) => shortest_edge(height, width, edge),
        };
        let (out_height, out_width) = self.crop.unwrap_or((new_height, new_width));
        let (rows, top) = centre(new_height, out_height, self.odd_crop);
        let (columns, left) = centre(new_width, out_width, self.odd_crop);
        let image = Rgb { width, height, data: rgb };
        // Without `do_resize` the size stays, and nearest neighbours are the image itself.
        let filter = self.resize.map_or(Filter::Nearest, |(_, filter)| filter);
        let visible = resize(image, (new_width, new_height), filter, columns, rows);
        Ok(self.place(&visible, (out_height, out_width), (top, left)))
    }

    /// Puts the visible part on a black canvas and looks the values up.
    fn place(&self, part: &Rgb<Vec<u8>>, (height, width): (usize, usize), (top, left): (usize, usize)) -> Pixels {
        let mut data = Vec::with_capacity(3 * height * width);
        for (channel, table) in self.table.iter().enumerate() {
            let start = data.len();
            data.resize(start + height * width, table[0]);
            let plane = &mut data[start..];
            for (row, source) in part.data.chunks_exact(part.width.max(1) * 3).enumerate() {
                let target = &mut plane[(top + row) * width + left..][..part.width];
                for (value, pixel) in target.iter_mut().zip(source.chunks_exact(3)) {
                    *value = table[usize::from(pixel[channel])];
                }
            }
        }
        Pixels { height, width, data }
    }
}

impl Config {
    /// The reference scales in f64, rounds to f32, and normalises in f32.
    fn table(&self) -> Table {
        let scale = self.scale();
        table(|byte| scale.map_or(byte as f32, |scale| (byte as f64 * scale) as f32), self.moments())
    }

    /// On tensors all is f32, and what is both scaled and normalised is so in one step; reference
    /// `BaseImageProcessorFast.rescale_and_normalize`, 4.57.6.
    fn table_of_tensors(&self) -> Table {
        match (self.scale(), self.moments()) {
            (Some(scale), Some((mean, std))) => {
                let scaled = |value: f64| f64::from(value as f32) * f64::from((1.0 / scale) as f32);
                table(|byte| byte as f32, Some((mean.map(scaled), std.map(scaled))))
            }
            (scale, moments) => table(|byte| scale.map_or(byte as f32, |scale| byte as f32 * scale as f32), moments),
        }
    }

    fn scale(&self) -> Option<f64> {
        self.do_rescale.unwrap_or(true).then(|| self.rescale_factor.unwrap_or(1.0 / 255.0))
    }

    /// Means and standard deviations.
    fn moments(&self) -> Option<([f64; 3], [f64; 3])> {
        let mean = self.image_mean.map_or(MEAN, PerChannel::values);
        let std = self.image_std.map_or(STD, PerChannel::values);
        self.do_normalize.unwrap_or(true).then_some((mean, std))
    }
}

impl PerChannel {
    pub(super) fn values(self) -> [f64; 3] {
        match self {
            Self::Same(value) => [value; 3],
            Self::Each(values) => values,
        }
    }
}

/// Height and width after resizing; the longer edge is truncated, not rounded.
fn shortest_edge(height: usize, width: usize, edge: usize) -> (usize, usize) {
    let long = |long: usize, short: usize| ((edge * long) as f64 / short as f64) as usize;
    if width <= height { (long(height, width), edge) } else { (edge, long(width, height)) }
}

/// The part of an axis that a centre crop shows, and where it starts in the crop.
fn centre(size: usize, crop: usize, odd: OddCrop) -> (Window, usize) {
    if size < crop {
        return (Window { start: 0, length: size }, (crop - size).div_ceil(2));
    }
    let half = (size - crop) / 2;
    let up = odd == OddCrop::Even && !(size - crop).is_multiple_of(2) && !half.is_multiple_of(2);
    (Window { start: half + usize::from(up), length: crop }, 0)
}

fn table(value: impl Fn(usize) -> f32, normalize: Option<([f64; 3], [f64; 3])>) -> Table {
    let mut table = Box::new([[0.0; 256]; 3]);
    for (channel, row) in table.iter_mut().enumerate() {
        for (byte, entry) in row.iter_mut().enumerate() {
            *entry = match normalize {
                Some((mean, std)) => (value(byte) - mean[channel] as f32) / std[channel] as f32,
                None => value(byte),
            };
        }
    }
    table
}

fn read_size(value: &Value) -> std::result::Result<Size, String> {
    let wrong = || format!("`size` is {value}; expected a number, `shortest_edge`, or `height` and `width`");
    if let Some(edge) = positive(value).or_else(|| positive(&value["shortest_edge"])) {
        return Ok(Size::ShortestEdge(edge));
    }
    let (height, width) = pair(value).ok_or_else(wrong)?;
    Ok(Size::Exact(height, width))
}

fn read_crop(value: &Value) -> std::result::Result<(usize, usize), String> {
    let square = positive(value).map(|side| (side, side));
    square
        .or_else(|| pair(value))
        .ok_or_else(|| format!("`crop_size` is {value}; expected a number, or `height` and `width`"))
}

fn pair(value: &Value) -> Option<(usize, usize)> {
    match value {
        Value::Array(sides) if sides.len() == 2 => Some((positive(&sides[0])?, positive(&sides[1])?)),
        _ => Some((positive(&value["height"])?, positive(&value["width"])?)),
    }
}

fn positive(value: &Value) -> Option<usize> {
    value.as_u64().filter(|&n| n > 0).map(|n| n as usize)
}
