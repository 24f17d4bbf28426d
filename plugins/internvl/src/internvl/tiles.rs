//! An image in as many tiles as suit its shape, and once as a whole; reference the slow
//! `transformers.GotOcr2ImageProcessor` as `InternVLProcessor` calls it, 4.53.1.

use std::path::Path;

use blocks::{
    Error, Result,
    image::{Filter, ImageProcessor, Pixels, Rgb, Window, resize},
};
use bridge::files::{Parsed, object};
use candle_core::{Device, Tensor};
use serde_json::{Map, Value};

/// Turns images into pixel values.
pub struct Tiles {
    /// Side of a tile in pixels.
    side: usize,
    /// Fewest and most tiles.
    range: (usize, usize),
    /// Of whole images.
    whole: ImageProcessor,
    /// Of tiles, which have their size already.
    tile: ImageProcessor,
}

impl Tiles {
    /// Reads `preprocessor_config.json` in `dir`, for a tower that takes squares of `side` pixels. That an image is cut at all
    /// is not up to this file.
    ///
    /// # Errors
    /// The file is missing or corrupt, or yields another size than the tower takes.
    pub fn from_dir(dir: &Path, side: usize) -> Result<Self> {
        let path = dir.join("preprocessor_config.json");
        let raw = object(&path)?;
        let range = check(&raw, side).map_err(|reason| Error::invalid(path, reason))?;
        let whole = ImageProcessor::blip_from_dir(dir)?;
        Ok(Self { side, range, tile: whole.clone().without_resize(), whole })
    }

    /// Side of a tile in pixels.
    pub fn side(&self) -> usize {
        self.side
    }

    /// Pixel values `[tiles, 3, side, side]`, the tiles row by row and, unless it is the only one, the whole image.
    ///
    /// # Errors
    /// The image is empty or its bytes do not fit its size.
    pub fn process(&self, width: usize, height: usize, rgb: &[u8]) -> Result<Tensor> {
        if self.range.1 <= 1 || rgb.is_empty() || rgb.len() != width * height * 3 {
            return self.stack(&[self.whole.process(width, height, rgb)?]);
        }
        let (columns, rows) = grid((width, height), self.side, self.range);
        let image = Rgb { width, height, data: rgb };
        let cut = |(columns, rows): (usize, usize), column: usize, row: usize| {
            let window = |n: usize| Window { start: n * self.side, length: self.side };
            let size = (columns * self.side, rows * self.side);
            // The filter of the file is not taken here.
            let tile = resize(image.clone(), size, Filter::Bicubic, window(column), window(row));
            self.tile.process(tile.width, tile.height, &tile.data)
        };
        let cells = (0..rows).flat_map(|row| (0..columns).map(move |column| (column, row)));
        let mut tiles = cells.map(|(column, row)| cut((columns, rows), column, row)).collect::<Result<Vec<_>>>()?;
        if tiles.len() != 1 {
            tiles.push(cut((1, 1), 0, 0)?);
        }
        self.stack(&tiles)
    }

    fn stack(&self, tiles: &[Pixels]) -> Result<Tensor> {
        let side = self.side;
        if let Some(odd) = tiles.iter().find(|tile| (tile.height, tile.width) != (side, side)) {
            let Pixels { width, height, .. } = odd;
            return Err(Error::Setting(format!("the processor yields {width}x{height} pixels, not {side}x{side}")));
        }
        let values = tiles.iter().flat_map(|tile| &tile.data).copied().collect::<Vec<_>>();
        Ok(Tensor::from_vec(values, (tiles.len(), 3, side, side), &Device::Cpu)?)
    }
}

/// Columns and rows of tiles for an image of `(width, height)` pixels: of those with at least and at most so many tiles, the
/// ones whose shape is nearest. Among equally near ones, an image that fills more than half of a larger one gets that.
fn grid((width, height): (usize, usize), side: usize, (least, most): (usize, usize)) -> (usize, usize) {
    let shape = width as f64 / height as f64;
    let (mut nearest, mut best) = (f64::INFINITY, (1, 1));
    for tiles in least.max(1)..=most {
        for columns in (1..=tiles).filter(|columns| tiles.is_multiple_of(*columns)) {
            let rows = tiles / columns;
            let distance = (shape - columns as f64 / rows as f64).abs();
            let large = 2 * width * height > side * side * tiles;
            if distance < nearest || (distance == nearest && large) {
                (nearest, best) = (distance, (columns, rows));
            }
        }
    }
    best
}

/// Fewest and most tiles, if their size is that of the tower.
fn check(raw: &Map<String, Value>, side: usize) -> Parsed<(usize, usize)> {
    let size = raw.get("size").filter(|size| !size.is_null()).cloned().unwrap_or_else(|| 384.into());
    let sides = if size.is_u64() { [&size, &size] } else { [&size["height"], &size["width"]] };
    if sides.iter().any(|found| found.as_u64() != Some(side as u64)) {
        return Err(format!("`size` is {size}, but the vision tower takes {side}x{side} pixels"));
    }
    let count = |key: &str, default| match raw.get(key) {
        None | Some(Value::Null) => Ok(default),
        Some(value) => {
            let count = value.as_u64().map(|count| count as usize);
            count.ok_or_else(|| format!("`{key}` is {value}; expected a number of tiles"))
        }
    };
    Ok((count("min_patches", 1)?, count("max_patches", 12)?))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_grid_follows_the_shape_of_the_image() {
        let cases = [((448, 448), (1, 1)), ((2000, 2000), (3, 3)), ((1920, 1080), (4, 2)), ((100, 240), (2, 5))];
        for (size, expected) in cases {
            assert_eq!(grid(size, 448, (1, 12)), expected, "{size:?}");
        }
        assert_eq!(grid((9000, 10), 448, (1, 12)), (12, 1));
        assert_eq!(grid((300, 300), 448, (2, 3)), (1, 2));
        assert_eq!(grid((300, 300), 448, (5, 2)), (1, 1));
    }

    #[test]
    fn sizes_other_than_the_towers_are_refused() {
        let check = |raw: Value| super::check(raw.as_object().unwrap(), 448);
        assert_eq!(check(json!({"size": {"height": 448, "width": 448}, "max_patches": 6})), Ok((1, 6)));
        assert_eq!(check(json!({"size": 448, "min_patches": null})), Ok((1, 12)));
        assert!(check(json!({})).unwrap_err().contains("`size` is 384"));
        assert!(check(json!({"size": {"shortest_edge": 448}})).unwrap_err().contains("takes 448x448"));
        assert!(check(json!({"size": 448, "max_patches": -1})).unwrap_err().contains("`max_patches` is -1"));
    }
}
