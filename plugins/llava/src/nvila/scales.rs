//! Dynamic S2: an image at several scales, the last in as many tiles as suit its shape (Liu et al. 2024); reference
//! `dynamic_s2_preprocess` and `merge_features_for_dynamic_s2` of the VILA repository.

use blocks::{
    Error, Result,
    image::{Filter, Rgb, Window, resize},
};
use candle_core::{DType, Device, Tensor};

/// The scales of a model, and how its tiles are joined.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scales {
    /// Sides in pixels, from small to large; the first is that of a tile.
    sides: Vec<usize>,
    /// Most tiles at the last scale.
    most: usize,
    /// The scale whose map of features the others are brought to.
    output: usize,
}

/// Tiles in a column and in a row.
pub type Grid = (usize, usize);

impl Scales {
    /// Scales with these sides, at most `most` tiles at the last one, all brought to the one at the index `output`, which
    /// counts from the end below 0.
    ///
    /// # Errors
    /// There are none, a side is no multiple of the smallest, or there is no such scale.
    pub fn new(mut sides: Vec<usize>, most: usize, output: i64) -> std::result::Result<Self, String> {
        sides.sort_unstable();
        let first = sides.first().copied().unwrap_or_default();
        if first == 0 || sides.iter().any(|side| !side.is_multiple_of(first)) {
            return Err(format!("`s2_scales` is {sides:?}; expected multiples of the smallest"));
        }
        let place = if output < 0 { output + sides.len() as i64 } else { output };
        match usize::try_from(place).ok().filter(|&place| place < sides.len()) {
            Some(output) => Ok(Self { sides, most, output }),
            None => Err(format!("`s2_resize_output_to_scale_idx` is {output}, but there are {} scales", sides.len())),
        }
    }

    /// Side of a tile in pixels.
    pub fn tile(&self) -> usize {
        self.sides[0]
    }

    /// Number of scales.
    pub fn count(&self) -> usize {
        self.sides.len()
    }

    /// The grid of the last scale for an image: of those with at least as many tiles as a square has and at most as many
    /// as may be, the one whose shape is nearest. Among equally near ones, an image that fills at least half of a
    /// larger grid gets that one.
    pub fn grid(&self, width: usize, height: usize) -> Grid {
        let shape = width as f64 / height as f64;
        let (mut nearest, mut best) = (f64::INFINITY, (1, 1));
        for tiles in self.squares(self.count() - 1).pow(2)..=self.most {
            for columns in (1..=tiles).filter(|columns| tiles.is_multiple_of(*columns)) {
                let rows = tiles / columns;
                let distance = (shape - columns as f64 / rows as f64).abs();
                let large = 2 * width * height > self.tile().pow(2) * tiles;
                if distance < nearest || (distance == nearest && large) {
                    (nearest, best) = (distance, (rows, columns));
                }
            }
        }
        best
    }

    /// All tiles of an image, scale after scale and row by row, each of the size that [`Scales::tile`] tells.
    pub fn tiles(&self, image: Rgb<&[u8]>, grid: Grid) -> Vec<Rgb<Vec<u8>>> {
        let tile = self.tile();
        let mut tiles = Vec::new();
        for (rows, columns) in self.grids(grid) {
            let window = |n: usize| Window { start: n * tile, length: tile };
            let size = (columns * tile, rows * tile);
            let cells = (0..rows).flat_map(|row| (0..columns).map(move |column| (row, column)));
            tiles.extend(
                cells.map(|(row, column)| resize(image.clone(), size, Filter::Bicubic, window(column), window(row))),
            );
        }
        tiles
    }

    /// States `[tiles, tokens, width]` of all tiles to those of the output scale's tiles, at all scales one behind the
    /// other: `[fewer tiles, tokens, scales * width]`, and the grid of these.
    ///
    /// # Errors
    /// There are more or fewer tiles, or tokens of one are no square.
    pub fn merge(&self, states: &Tensor, grid: Grid) -> Result<(Tensor, Grid)> {
        let (_, tokens, width) = states.dims3()?;
        let side = tokens.isqrt();
        let output = self.grids(grid).nth(self.output).unwrap_or(grid);
        let size = (output.0 * side, output.1 * side);
        let mut start = 0;
        let mut maps = Vec::new();
        for (rows, columns) in self.grids(grid) {
            let map = stitch(&states.narrow(0, start, rows * columns)?, (rows, columns))?;
            start += rows * columns;
            maps.push(average(&map, size)?);
        }
        let map = Tensor::cat(&maps, 2)?;
        let cells = map.reshape((output.0, side, output.1, side, self.count() * width))?;
        let tiles = cells.permute((0, 2, 1, 3, 4))?.reshape((output.0 * output.1, tokens, self.count() * width))?;
        Ok((tiles, output))
    }

    /// States `[1, tokens, width]` of an image that is one tile, as if it were the same at all scales.
    ///
    /// # Errors
    /// None but those of the device.
    pub fn repeat(&self, states: &Tensor) -> Result<Tensor> {
        Ok(states.repeat((1, 1, self.count()))?)
    }

    fn grids(&self, last: Grid) -> impl Iterator<Item = Grid> {
        let squares = (0..self.count() - 1).map(|scale| (self.squares(scale), self.squares(scale)));
        squares.chain([last])
    }

    /// Tiles along a side of a scale.
    fn squares(&self, scale: usize) -> usize {
        self.sides[scale] / self.sides[0]
    }
}

/// Tiles `[rows * columns, side * side, width]` to the map that they are parts of, `[rows * side, columns * side, width]`.
///
/// # Errors
/// There are more or fewer tiles, or they are no squares.
pub fn stitch(tiles: &Tensor, (rows, columns): Grid) -> Result<Tensor> {
    let (_, tokens, width) = tiles.dims3()?;
    let side = tokens.isqrt();
    if side * side != tokens {
        return Err(Error::Setting(format!("{tokens} tokens are no square")));
    }
    let cells = tiles.reshape((rows, columns, side, side, width))?;
    Ok(cells.permute((0, 2, 1, 3, 4))?.reshape((rows * side, columns * side, width))?)
}

/// A map `[height, width, channels]` in another size, each value the mean of those it covers even in part, computed in f32;
/// reference `torch.nn.functional.interpolate` with `mode="area"`.
fn average(map: &Tensor, (height, width): (usize, usize)) -> Result<Tensor> {
    let (rows, columns, channels) = map.dims3()?;
    if (rows, columns) == (height, width) {
        return Ok(map.clone());
    }
    let device = map.device();
    let wide = map.to_dtype(DType::F32)?.reshape((rows, columns * channels))?;
    let wide = shares(rows, height, device)?.matmul(&wide)?.reshape((height, columns, channels))?;
    let small = shares(columns, width, device)?.broadcast_matmul(&wide)?;
    Ok(small.to_dtype(map.dtype())?)
}

/// `[output, input]`: what each position of an axis is the mean of.
fn shares(input: usize, output: usize, device: &Device) -> Result<Tensor> {
    let mut shares = vec![0f32; output * input];
    for (n, row) in shares.chunks_exact_mut(input).enumerate() {
        let covered = n * input / output..((n + 1) * input).div_ceil(output);
        let share = 1.0 / covered.len() as f32;
        row[covered].fill(share);
    }
    Ok(Tensor::from_vec(shares, (output, input), device)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scales(output: i64) -> Scales {
        Scales::new(vec![448, 896, 1344], 12, output).unwrap()
    }

    #[test]
    fn a_grid_follows_the_shape_of_the_image() {
        let cases = [
            ((1000, 1000), (3, 3)),
            ((1920, 1080), (3, 4)),
            ((100, 240), (5, 2)),
            ((5000, 10), (1, 12)),
            ((1, 1), (3, 3)),
        ];
        for ((width, height), grid) in cases {
            assert_eq!(scales(-1).grid(width, height), grid, "{width}x{height}");
        }
        // As near to five columns as to six: a large image gets more tiles.
        assert_eq!((scales(-1).grid(110, 40), scales(-1).grid(2750, 1000)), ((2, 5), (2, 6)));
        assert_eq!(Scales::new(vec![10, 50], 12, 0).unwrap().grid(3, 2), (1, 1));
    }

    #[test]
    fn averages_cover_what_they_touch() {
        let map = Tensor::new(&[[[1f32], [2.0]], [[3.0], [6.0]]], &Device::Cpu).unwrap();
        let small = average(&map, (1, 3)).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
        assert_eq!(small, [2.0, 3.0, 4.0]);
        assert_eq!(average(&map, (2, 2)).unwrap().to_vec3::<f32>().unwrap(), map.to_vec3::<f32>().unwrap());
    }

    #[test]
    fn scales_that_cannot_be_are_refused() {
        assert!(Scales::new(vec![], 12, 0).unwrap_err().contains("multiples of the smallest"));
        assert!(Scales::new(vec![448, 900], 12, 0).unwrap_err().contains("[448, 900]"));
        assert!(Scales::new(vec![448], 12, 1).unwrap_err().contains("there are 1 scales"));
    }
}
