//! An image as a whole and, where the model is to look closely, in tiles; reference `XGenMMImageProcessor` of the authors,
//! which takes any resolution as LLaVA-NeXT does (Liu et al. 2024).

use std::path::Path;

use blocks::{
    Error, Result,
    image::{Filter, ImageProcessor, OpenClipPreprocessing, Pixels, Rgb, Window, resize},
};
use bridge::files::{Parsed, object};
use candle_core::{Device, Tensor};
use serde_json::{Map, Value, json};

/// Columns and rows of tiles that an image may be cut into, where no file says.
const GRIDS: [(usize, usize); 5] = [(1, 2), (2, 1), (2, 2), (3, 1), (1, 3)];

/// Turns images into pixel values.
pub struct Views {
    /// Side of a view in pixels.
    side: usize,
    /// Of an image that is shown as a whole only.
    whole: ImageProcessor,
    /// Of views, which have their size already.
    view: ImageProcessor,
    /// Width and height in pixels of what an image is cut from; none where it is not cut.
    canvases: Vec<(usize, usize)>,
}

impl Views {
    /// Reads `preprocessor_config.json` in `dir`, if there is one, for a tower that takes squares of `side` pixels.
    ///
    /// # Errors
    /// The file is corrupt, or asks for what is not built in.
    pub fn from_dir(dir: &Path, side: usize, anyres: bool) -> Result<Self> {
        let path = dir.join("preprocessor_config.json");
        let raw = if path.is_file() { object(&path)? } else { Map::new() };
        let whole = processor(&raw, side).map_err(|reason| Error::invalid(&path, reason))?;
        let canvases = match anyres {
            true => canvases(&raw, side).map_err(|reason| Error::invalid(&path, reason))?,
            false => Vec::new(),
        };
        Ok(Self { side, view: whole.clone().without_resize(), whole, canvases })
    }

    /// Pixel values `[views, 3, side, side]`, the whole image first, then tiles row by row.
    ///
    /// # Errors
    /// The image is empty or its bytes do not fit its size.
    pub fn process(&self, width: usize, height: usize, rgb: &[u8]) -> Result<Tensor> {
        let side = self.side;
        if self.canvases.is_empty() || rgb.is_empty() || rgb.len() != width * height * 3 {
            return stack(&[self.whole.process(width, height, rgb)?], side);
        }
        let image = Rgb { width, height, data: rgb };
        let mut views = vec![scaled(&image, (side, side))];
        let canvas = padded(&image, best((width, height), &self.canvases));
        for row in (0..canvas.height).step_by(side) {
            for column in (0..canvas.width).step_by(side) {
                let rows = canvas.data.chunks_exact(canvas.width * 3).skip(row).take(side);
                let data = rows.flat_map(|pixels| &pixels[column * 3..][..side * 3]).copied().collect();
                views.push(Rgb { width: side, height: side, data });
            }
        }
        let pixels = views.iter().map(|view| self.view.process(view.width, view.height, &view.data));
        stack(&pixels.collect::<Result<Vec<_>>>()?, side)
    }
}

/// The canvas of those with `(width, height)` that keeps most of an image's pixels, and among these the one that wastes
/// least; reference `select_best_resolution`.
fn best((width, height): (usize, usize), canvases: &[(usize, usize)]) -> (usize, usize) {
    let (mut best, mut kept, mut wasted) = (canvases[0], 0, usize::MAX);
    for &(columns, rows) in canvases {
        let scale = (columns as f64 / width as f64).min(rows as f64 / height as f64);
        let fitting = (width as f64 * scale) as usize * (height as f64 * scale) as usize;
        let keeps = fitting.min(width * height);
        let wastes = columns * rows - keeps;
        if keeps > kept || (keeps == kept && wastes < wasted) {
            (best, kept, wasted) = ((columns, rows), keeps, wastes);
        }
    }
    best
}

/// The image as large as fits, in the middle of a black canvas; reference `resize_and_pad_image`.
fn padded(image: &Rgb<&[u8]>, (width, height): (usize, usize)) -> Rgb<Vec<u8>> {
    let across = width as f64 / image.width as f64;
    let down = height as f64 / image.height as f64;
    let size = match across < down {
        true => (width, ((image.height as f64 * across).ceil() as usize).min(height)),
        false => (((image.width as f64 * down).ceil() as usize).min(width), height),
    };
    let small = scaled(image, size);
    let (left, top) = ((width - size.0) / 2, (height - size.1) / 2);
    let mut data = vec![0; width * height * 3];
    for (row, pixels) in small.data.chunks_exact(size.0 * 3).enumerate() {
        data[((top + row) * width + left) * 3..][..pixels.len()].copy_from_slice(pixels);
    }
    Rgb { width, height, data }
}

/// By the filter that Pillow takes where none is named.
fn scaled(image: &Rgb<&[u8]>, (width, height): (usize, usize)) -> Rgb<Vec<u8>> {
    let all = |length| Window { start: 0, length };
    resize(image.clone(), (width, height), Filter::Bicubic, all(width), all(height))
}

fn stack(views: &[Pixels], side: usize) -> Result<Tensor> {
    let values = views.iter().flat_map(|view| &view.data).copied().collect::<Vec<_>>();
    Ok(Tensor::from_vec(values, (views.len(), 3, side, side), &Device::Cpu)?)
}

/// open_clip's transform under the names of the file; a whole image is squashed unless it says otherwise.
fn processor(raw: &Map<String, Value>, side: usize) -> Parsed<ImageProcessor> {
    let told = |key: &str| raw.get(key).cloned().unwrap_or_default();
    let size = match told("size") {
        Value::Null => json!([side, side]),
        Value::Array(sides) => Value::Array(sides),
        size if size.is_object() => json!([size["height"], size["width"]]),
        size => json!([size, size]),
    };
    if size != json!([side, side]) {
        return Err(format!("`size` is {}, but the vision tower takes {side}x{side} pixels", told("size")));
    }
    let mode = if told("resize_mode").is_null() { json!("squash") } else { told("resize_mode") };
    let config = json!({
        "mean": told("image_mean"), "std": told("image_std"), "interpolation": told("interpolation_mode"),
        "resize_mode": mode
    });
    let config: OpenClipPreprocessing =
        serde_json::from_value(config).map_err(|e| format!("not a configuration of an image processor: {e}"))?;
    ImageProcessor::open_clip(&config, side).map_err(|e| e.to_string())
}

fn canvases(raw: &Map<String, Value>, side: usize) -> Parsed<Vec<(usize, usize)>> {
    let found: Vec<(usize, usize)> = match raw.get("grids").filter(|grids| !grids.is_null()) {
        None => return Ok(GRIDS.map(|(columns, rows)| (columns * side, rows * side)).to_vec()),
        Some(grids) => serde_json::from_value(grids.clone())
            .map_err(|_| format!("`grids` is {grids}; expected pairs of width and height"))?,
    };
    let fits = |length: usize| length > 0 && length.is_multiple_of(side);
    match found.iter().all(|&(width, height)| fits(width) && fits(height)) && !found.is_empty() {
        true => Ok(found),
        false => Err(format!("`grids` is {}; expected multiples of {side} pixels", raw["grids"])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_canvas_keeps_most_of_the_image() {
        let canvases = GRIDS.map(|(columns, rows)| (columns * 10, rows * 10));
        let cases =
            [((40, 40), (20, 20)), ((60, 20), (30, 10)), ((10, 90), (10, 30)), ((5, 9), (10, 20)), ((9, 5), (10, 20))];
        for (size, expected) in cases {
            assert_eq!(best(size, &canvases), expected, "{size:?}");
        }
    }

    #[test]
    fn what_surrounds_an_image_is_black() {
        let image = Rgb { width: 1, height: 2, data: &[9; 6][..] };
        let padded = padded(&image, (4, 4));
        let row = [0, 0, 0, 9, 9, 9, 9, 9, 9, 0, 0, 0];
        assert_eq!(padded.data, row.repeat(4));
    }

    #[test]
    fn files_that_do_not_fit_are_refused() {
        let raw = |raw: Value| raw.as_object().unwrap().clone();
        assert!(processor(&raw(json!({"size": [30, 30]})), 30).is_ok());
        assert!(processor(&raw(json!({"size": 28})), 30).unwrap_err().contains("takes 30x30 pixels"));
        assert!(processor(&raw(json!({"resize_mode": "longest"})), 30).unwrap_err().contains("image processor"));
        assert_eq!(canvases(&raw(json!({"grids": [[30, 60]]})), 30), Ok(vec![(30, 60)]));
        assert!(canvases(&raw(json!({"grids": [[30, 40]]})), 30).unwrap_err().contains("multiples of 30"));
        assert!(canvases(&raw(json!({"grids": 3})), 30).unwrap_err().contains("pairs of width and height"));
    }
}
