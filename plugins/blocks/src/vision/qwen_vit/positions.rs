//! Learned positions, which are stretched over an image of any size.

use candle_core::Tensor;

use super::{Grid, STD, order::Order};
use crate::{
    Result,
    weights::{Init, Weights},
};

/// A square of learned positions; reference `Qwen3VLVisionModel.fast_pos_embed_interpolate` of `transformers`, 4.57.6.
pub struct Positions {
    /// `[positions, width]`, row by row; more than fill the square are of no use.
    table: Tensor,
    side: usize,
}

/// Where a patch lies along one side of the square: the position before it, the one behind it, and how near it is to
/// the latter.
type Place = (usize, usize, f32);

impl Positions {
    /// Takes `weight`.
    pub fn new(count: usize, width: usize, weights: &Weights) -> Result<Self> {
        Ok(Self { table: weights.get("weight", (count, width), Init::Normal(STD))?, side: count.isqrt() })
    }

    /// Embeddings `[patches, width]` of the patches of images in their order, each between the four nearest positions.
    pub fn forward(&self, grids: &[Grid], order: &Order) -> Result<Tensor> {
        let mut corners: [(Vec<u32>, Vec<f32>); 4] = Default::default();
        let mut patches = order.places();
        for grid in grids {
            let [rows, columns] = grid.map(|length| along(self.side, length));
            for [row, column] in patches.by_ref().take(grid[0] * grid[1]) {
                let ((top, bottom, down), (left, right, across)) = (rows[row], columns[column]);
                let weights =
                    [(1.0 - down) * (1.0 - across), (1.0 - down) * across, down * (1.0 - across), down * across];
                let places = [(top, left), (top, right), (bottom, left), (bottom, right)];
                for ((corner, (row, column)), weight) in corners.iter_mut().zip(places).zip(weights) {
                    corner.0.push((row * self.side + column) as u32);
                    corner.1.push(weight);
                }
            }
        }
        let device = self.table.device();
        let parts = corners.into_iter().map(|(places, weights)| -> Result<Tensor> {
            let weights = Tensor::new(weights, device)?.to_dtype(self.table.dtype())?.unsqueeze(1)?;
            Ok(self.table.index_select(&Tensor::new(places, device)?, 0)?.broadcast_mul(&weights)?)
        });
        let sum = parts.reduce(|sum, part| Ok((sum? + part?)?));
        sum.unwrap_or_else(|| Ok(self.table.narrow(0, 0, 0)?))
    }
}

/// Patches along a side of `length`, the first and the last of them in the outermost of `side` positions.
fn along(side: usize, length: usize) -> Vec<Place> {
    let last = side.saturating_sub(1);
    let step = last as f32 / length.saturating_sub(1).max(1) as f32;
    let place = |patch: usize| {
        // As `torch.linspace`, which counts from the nearer end.
        let at = match patch < length / 2 || patch == 0 {
            true => patch as f32 * step,
            false => last as f32 - (length - 1 - patch) as f32 * step,
        };
        let before = at as usize;
        (before, (before + 1).min(last), at - before as f32)
    };
    (0..length).map(place).collect()
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    #[test]
    fn the_outermost_patches_are_at_the_outermost_positions() {
        assert_eq!(along(3, 3), [(0, 1, 0.0), (1, 2, 0.0), (2, 2, 0.0)]);
        assert_eq!(along(2, 5), [(0, 1, 0.0), (0, 1, 0.25), (0, 1, 0.5), (0, 1, 0.75), (1, 1, 0.0)]);
        assert_eq!(along(4, 1), [(0, 1, 0.0)]);
    }

    #[test]
    fn a_plane_stays_a_plane() {
        let side = 4;
        let table = Tensor::arange(0f32, 16.0, &Device::Cpu).unwrap().unsqueeze(1).unwrap();
        let grids = [[2, 4], [6, 2]];
        let order = Order::new(&grids, 2, None);
        let found = Positions { table, side }.forward(&grids, &order).unwrap().flatten_all().unwrap();
        let spread = |at: usize, length: usize| 3.0 * at as f32 / (length - 1) as f32;
        let sizes = [vec![grids[0]; 8], vec![grids[1]; 12]].concat();
        let of = |([row, column], [rows, columns]): (Grid, Grid)| 4.0 * spread(row, rows) + spread(column, columns);
        let expected: Vec<f32> = order.places().zip(sizes).map(of).collect();
        let found = found.to_vec1::<f32>().unwrap();
        assert!(found.iter().zip(&expected).all(|(a, b)| (a - b).abs() < 1e-5), "{found:?} {expected:?}");
    }
}
