//! Ways from a grid of tokens to windows and back, each one selection of rows.

use candle_core::{DType, Device, Tensor};

use crate::Result;

/// Added to the score of two tokens that a window holds, but that are no neighbours in the grid.
const APART: f32 = -100.0;

/// Tokens to take from each image.
pub struct Rows {
    index: Tensor,
    /// Some are the one after the last, which is zero.
    beyond: bool,
}

/// A square grid, moved up and to the left by `shift` around its edges, and cut into square windows.
pub struct Windows {
    places: usize,
    /// Token of the grid for each place of each window; none where the grid was filled up.
    split: Rows,
    /// Place of each token of the grid.
    join: Tensor,
    /// Row of the table of relative positions for each pair of places.
    relative: Tensor,
    /// `[windows, 1, places, places]`, where the shift brings tokens together that are apart.
    apart: Option<Tensor>,
}

impl Rows {
    fn new(index: Vec<u32>, tokens: usize, device: &Device) -> Result<Self> {
        let beyond = index.iter().any(|&token| token as usize == tokens);
        Ok(Self { index: Tensor::new(index, device)?, beyond })
    }

    /// The four tokens that become one, in the order of the reference: down first, then across.
    pub fn neighbours(side: usize, device: &Device) -> Result<Self> {
        let half = side.div_ceil(2);
        let index = (0..half * half * 4).map(|n| {
            let (row, column) = (n / 4 / half * 2 + n % 2, n / 4 % half * 2 + n % 4 / 2);
            if row < side && column < side { (row * side + column) as u32 } else { (side * side) as u32 }
        });
        Self::new(index.collect(), side * side, device)
    }

    /// `[batch, tokens, width]` to `[batch, rows, width]`.
    pub fn of(&self, x: &Tensor) -> Result<Tensor> {
        let padded = if self.beyond { x.pad_with_zeros(1, 0, 1)? } else { x.contiguous()? };
        Ok(padded.index_select(&self.index, 1)?)
    }
}

impl Windows {
    pub fn new(side: usize, window: usize, shift: usize, (device, dtype): (&Device, DType)) -> Result<Self> {
        let (padded, places) = (side.next_multiple_of(window), window * window);
        let rows = padded / window;
        let (mut split, mut join, mut regions) = (Vec::new(), vec![0; side * side], Vec::new());
        for slot in 0..padded * padded {
            let (index, place) = (slot / places, slot % places);
            let (y, x) = (index / rows * window + place / window, index % rows * window + place % window);
            let (row, column) = ((y + shift) % padded, (x + shift) % padded);
            if row < side && column < side {
                join[row * side + column] = slot as u32;
                split.push((row * side + column) as u32);
            } else {
                split.push((side * side) as u32);
            }
            // Bands as in the reference: what no window shares, what the last one keeps, what came around the edge.
            let band = |at: usize| usize::from(at + window >= padded) + usize::from(at + shift >= padded);
            regions.push((band(y), band(x)));
        }
        let distance = |a: &(usize, usize), b: &(usize, usize)| if a == b { 0.0 } else { APART };
        let apart = match shift {
            0 => None,
            _ => {
                let values = regions.chunks_exact(places).flat_map(|window| pairs(window, distance)).collect();
                Some(Tensor::from_vec(values, (rows * rows, 1, places, places), device)?.to_dtype(dtype)?)
            }
        };
        Ok(Self {
            places,
            split: Rows::new(split, side * side, device)?,
            join: Tensor::new(join, device)?,
            relative: Tensor::new(relative_positions(window), device)?,
            apart,
        })
    }

    /// `[batch, tokens, width]` to `[batch * windows, places, width]`.
    pub fn split(&self, x: &Tensor) -> Result<Tensor> {
        let (_, _, width) = x.dims3()?;
        Ok(self.split.of(x)?.reshape(((), self.places, width))?)
    }

    /// `[batch * windows, places, width]` to `[batch, tokens, width]`.
    pub fn join(&self, x: &Tensor) -> Result<Tensor> {
        let (_, _, width) = x.dims3()?;
        Ok(x.reshape(((), self.split.index.elem_count(), width))?.index_select(&self.join, 1)?)
    }

    /// What is added to scores, `[1 or windows, heads, places, places]`, from a table `[offsets, heads]`.
    pub fn scores(&self, table: &Tensor) -> Result<Tensor> {
        let (_, heads) = table.dims2()?;
        let bias = table.index_select(&self.relative, 0)?.reshape((1, self.places, self.places, heads))?;
        let bias = bias.permute((0, 3, 1, 2))?.contiguous()?;
        Ok(match &self.apart {
            Some(apart) => bias.broadcast_add(apart)?,
            None => bias,
        })
    }
}

fn relative_positions(window: usize) -> Vec<u32> {
    let places: Vec<_> = (0..window * window).map(|place| (place / window, place % window)).collect();
    let offset = |a: usize, b: usize| a + window - 1 - b;
    pairs(&places, |a, b| (offset(a.0, b.0) * (2 * window - 1) + offset(a.1, b.1)) as u32)
}

fn pairs<P, T>(places: &[P], of: impl Fn(&P, &P) -> T) -> Vec<T> {
    let of = &of;
    places.iter().flat_map(|a| places.iter().map(move |b| of(a, b))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const CPU: (&Device, DType) = (&Device::Cpu, DType::F32);

    #[test]
    fn joining_undoes_splitting() {
        for (side, window, shift) in [(8, 4, 2), (9, 4, 2), (7, 7, 0), (5, 2, 1), (13, 5, 2)] {
            let windows = Windows::new(side, window, shift, CPU).unwrap();
            let x = Tensor::randn(0f32, 1.0, (2, side * side, 3), &Device::Cpu).unwrap();
            let parts = windows.split(&x).unwrap();
            assert_eq!(parts.dims(), [2 * side.div_ceil(window).pow(2), window * window, 3]);
            let back = windows.join(&parts).unwrap();
            assert_eq!(back.to_vec3::<f32>().unwrap(), x.to_vec3::<f32>().unwrap());
        }
    }

    #[test]
    fn a_shift_separates_what_came_around_the_edge() {
        let windows = Windows::new(4, 2, 1, CPU).unwrap();
        let split = windows.split.index.to_vec1::<u32>().unwrap();
        assert_eq!(split, [5, 6, 9, 10, 7, 4, 11, 8, 13, 14, 1, 2, 15, 12, 3, 0]);
        let apart = windows.apart.unwrap().squeeze(1).unwrap().to_vec3::<f32>().unwrap();
        assert_eq!(apart[0], vec![[0.0; 4]; 4]);
        assert_eq!(apart[1][0], [0.0, APART, 0.0, APART]);
        assert_eq!(apart[2][0], [0.0, 0.0, APART, APART]);
        assert_eq!(apart[3][0], [0.0, APART, APART, APART]);
    }

    #[test]
    fn relative_positions_and_neighbours_follow_the_reference() {
        assert_eq!(relative_positions(2), [4, 3, 1, 0, 5, 4, 2, 1, 7, 6, 4, 3, 8, 7, 5, 4]);
        let merged = Rows::neighbours(3, &Device::Cpu).unwrap().index.to_vec1::<u32>().unwrap();
        assert_eq!(merged, [0, 3, 1, 4, 2, 5, 9, 9, 6, 9, 7, 9, 8, 9, 9, 9]);
    }
}
