//! In which order patches are computed, and which of them see each other.

use candle_core::{Device, Tensor};

use super::Grid;
use crate::{Result, decoder::Angles};

const THETA: f32 = 1e4;

/// Consecutive sequences of one length, which are computed as one batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Run {
    pub count: usize,
    pub length: usize,
}

/// The order of the patches of some images.
///
/// Without windows it is that of the input. With windows, patches go by groups, those of one vector each: window after
/// window, image after image. Windows of an image have few sizes, and those of one size follow each other.
pub struct Order {
    /// The input's index of each group.
    groups: Vec<u32>,
    /// Row and column of each patch.
    places: Vec<Grid>,
    /// One sequence an image.
    pub images: Vec<Run>,
    /// One sequence a window.
    pub windows: Vec<Run>,
}

impl Order {
    /// Groups are squares of `merge` by `merge` patches, and windows of `window` by `window` groups.
    pub fn new(grids: &[Grid], merge: usize, window: Option<usize>) -> Self {
        let mut order = Self { groups: Vec::new(), places: Vec::new(), images: Vec::new(), windows: Vec::new() };
        let mut first = 0;
        for &[rows, columns] in grids {
            let cells = [rows / merge, columns / merge];
            push(&mut order.images, rows * columns);
            let windows = match window {
                Some(side) => cover(cells, side),
                None => vec![squares([0, 0], cells)],
            };
            for window in windows {
                push(&mut order.windows, window.len() * merge.pow(2));
                for [row, column] in window {
                    order.groups.push((first + row * cells[1] + column) as u32);
                    let places = squares([row * merge, column * merge], [(row + 1) * merge, (column + 1) * merge]);
                    order.places.extend(places);
                }
            }
            first += cells[0] * cells[1];
        }
        order
    }

    /// Row and column of each patch in its image, in this order.
    pub fn places(&self) -> impl Iterator<Item = Grid> {
        self.places.iter().copied()
    }

    /// From the order of the input to this one, by groups.
    pub fn forth(&self, device: &Device) -> Result<Tensor> {
        Ok(Tensor::new(&self.groups[..], device)?)
    }

    /// From this order to that of the input, by groups.
    pub fn back(&self, device: &Device) -> Result<Tensor> {
        let mut back = vec![0; self.groups.len()];
        self.groups.iter().zip(0u32..).for_each(|(&group, at)| back[group as usize] = at);
        Ok(Tensor::new(back, device)?)
    }

    /// Angles of the patches for heads of `head` values: the first half of them follows the row, the other the column.
    pub fn angles(&self, head: usize, device: &Device) -> Result<Angles> {
        // As the reference: powers in f32.
        let frequencies: Vec<f32> =
            (0..head / 4).map(|i| 1.0 / THETA.powf((2 * i) as f32 / (head / 2) as f32)).collect();
        let axes = self.places.iter().flatten();
        let angles: Vec<f32> =
            axes.flat_map(|&position| frequencies.iter().map(move |frequency| position as f32 * frequency)).collect();
        let table = |of: fn(f32) -> f32| -> Result<Tensor> {
            let values = angles.iter().copied().map(of).collect();
            Ok(Tensor::from_vec(values, (self.places.len(), head / 2), device)?)
        };
        Ok(Angles { cos: table(f32::cos)?, sin: table(f32::sin)? })
    }
}

/// Windows that cover a grid, the cells of each; the longest come first.
fn cover([rows, columns]: Grid, side: usize) -> Vec<Vec<Grid>> {
    let starts = |length: usize| (0..length).step_by(side);
    let corners = starts(rows).flat_map(|row| starts(columns).map(move |column| [row, column]));
    let window = |[row, column]: Grid| squares([row, column], [rows.min(row + side), columns.min(column + side)]);
    let mut windows: Vec<Vec<Grid>> = corners.map(window).collect();
    windows.sort_by_key(|window| std::cmp::Reverse(window.len()));
    windows
}

/// The cells from one corner to another, row by row.
fn squares([top, left]: Grid, [bottom, right]: Grid) -> Vec<Grid> {
    (top..bottom).flat_map(|row| (left..right).map(move |column| [row, column])).collect()
}

fn push(runs: &mut Vec<Run>, length: usize) {
    match runs.last_mut() {
        Some(run) if run.length == length => run.count += 1,
        _ => runs.push(Run { count: 1, length }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patches_of_a_group_follow_each_other() {
        let order = Order::new(&[[4, 4], [2, 4], [4, 2]], 2, None);
        assert_eq!(order.places[..6], [[0, 0], [0, 1], [1, 0], [1, 1], [0, 2], [0, 3]]);
        assert_eq!(order.images, [Run { count: 1, length: 16 }, Run { count: 2, length: 8 }]);
        assert_eq!(order.groups, (0..8).collect::<Vec<_>>());
    }

    #[test]
    fn windows_at_the_edges_are_cut() {
        let order = Order::new(&[[2, 2], [6, 10]], 2, Some(2));
        // 3 x 5 groups behind the first one: two whole windows, one at the right, two below, one at the corner.
        let whole = [1, 2, 6, 7, 3, 4, 8, 9];
        let cut = [5, 10, 11, 12, 13, 14, 15];
        assert_eq!(order.groups, [&[0][..], &whole, &cut].concat());
        let runs = [(1, 4), (2, 16), (3, 8), (1, 4)].map(|(count, length)| Run { count, length });
        assert_eq!(order.windows, runs);
        assert_eq!(order.places[4 * 13..][..2], [[4, 4], [4, 5]]);
        let back = order.back(&Device::Cpu).unwrap().to_vec1::<u32>().unwrap();
        assert_eq!((back[5], back[15]), (9, 15));
    }
}
