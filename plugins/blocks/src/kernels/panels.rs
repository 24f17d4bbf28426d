//! Products of few rows with a matrix that many share, and the softmax between two of them.

use pulp::Simd;

use super::activation::exp;

/// Columns of a panel, a whole number of vectors of any instruction set.
const PANEL: usize = 64;
/// Rows whose products are summed up at the same time.
const ROWS: usize = 6;

/// A matrix cut into panels of [`PANEL`] columns, each stored row by row; the last is filled up with zeros.
pub struct Panels {
    rows: usize,
    columns: usize,
    values: Vec<f32>,
}

impl Panels {
    pub fn new(rows: usize, columns: usize) -> Self {
        Self { rows, columns, values: vec![0.0; columns.div_ceil(PANEL) * rows * PANEL] }
    }

    pub fn columns(&self) -> usize {
        self.columns
    }

    /// Length of a row of a product that has room for the last panel as a whole.
    pub fn row(&self) -> usize {
        self.columns.next_multiple_of(PANEL)
    }

    pub fn set_row(&mut self, row: usize, values: &[f32]) {
        let rows = self.values.chunks_exact_mut(PANEL).skip(row).step_by(self.rows);
        rows.zip(values.chunks(PANEL)).for_each(|(to, values)| to[..values.len()].copy_from_slice(values));
    }

    pub fn set_column(&mut self, column: usize, values: &[f32]) {
        let panel = &mut self.values[column / PANEL * self.rows * PANEL..][..self.rows * PANEL];
        panel.iter_mut().skip(column % PANEL).step_by(PANEL).zip(values).for_each(|(to, x)| *to = *x);
    }

    /// `factor * a b`, for rows of `a`, where `b` is this matrix. A row of `to` may be longer than needed; what is
    /// beyond the columns is then of no meaning.
    #[inline(always)]
    pub fn times<S: Simd>(&self, simd: S, a: &[f32], a_row: usize, to: &mut [f32], to_row: usize, factor: f32) {
        let mut a = a.chunks(a_row);
        let mut groups = to.chunks_exact_mut(to_row * ROWS);
        for group in &mut groups {
            let rows: [&[f32]; ROWS] = std::array::from_fn(|_| &a.next().unwrap_or_default()[..self.rows]);
            self.group(simd, rows, group, to_row, factor);
        }
        for row in groups.into_remainder().chunks_exact_mut(to_row) {
            self.group(simd, [&a.next().unwrap_or_default()[..self.rows]], row, to_row, factor);
        }
    }

    #[inline(always)]
    fn group<S: Simd, const R: usize>(&self, simd: S, a: [&[f32]; R], to: &mut [f32], to_row: usize, factor: f32) {
        for (n, panel) in self.values.chunks_exact(self.rows * PANEL).enumerate() {
            let needed = (self.columns - n * PANEL).min(PANEL).div_ceil(S::F32_LANES);
            let mut place = Place { to: &mut *to, row: to_row, start: n * PANEL, factor };
            let mut vector = 0;
            // As many sums at a time as there are registers for.
            if S::F32_LANES == 16 {
                while vector + 4 <= needed {
                    block::<S, R, 4>(simd, a, panel, vector, &mut place);
                    vector += 4;
                }
            }
            while vector + 2 <= needed {
                block::<S, R, 2>(simd, a, panel, vector, &mut place);
                vector += 2;
            }
            if vector < needed {
                block::<S, R, 1>(simd, a, panel, vector, &mut place);
            }
        }
    }
}

/// Where sums go, times a factor.
struct Place<'a> {
    to: &'a mut [f32],
    row: usize,
    start: usize,
    factor: f32,
}

/// `R` rows times `V` vectors of a panel, from `first` on.
#[inline(always)]
fn block<S: Simd, const R: usize, const V: usize>(
    simd: S,
    a: [&[f32]; R],
    panel: &[f32],
    first: usize,
    place: &mut Place<'_>,
) {
    let mut sums = [[simd.splat_f32s(0.0); V]; R];
    for (n, row) in panel.chunks_exact(PANEL).enumerate() {
        let b = &S::as_simd_f32s(row).0[first..first + V];
        for (a, sums) in a.iter().zip(&mut sums) {
            let a = simd.splat_f32s(a[n]);
            sums.iter_mut().zip(b).for_each(|(sum, b)| *sum = simd.mul_add_f32s(a, *b, *sum));
        }
    }
    let factor = simd.splat_f32s(place.factor);
    for (row, sums) in place.to.chunks_exact_mut(place.row).zip(sums) {
        let to = &mut row[place.start + first * S::F32_LANES..];
        let length = to.len().min(V * S::F32_LANES);
        let (whole, rest) = S::as_mut_simd_f32s(&mut to[..length]);
        whole.iter_mut().zip(sums).for_each(|(to, sum)| *to = simd.mul_f32s(sum, factor));
        if let Some(sum) = sums.get(whole.len()) {
            let last = [simd.mul_f32s(*sum, factor)];
            rest.iter_mut().zip(pulp::bytemuck::cast_slice::<_, f32>(&last)).for_each(|(to, x)| *to = *x);
        }
    }
}

/// A row of scores to its exponentials, less the largest score; returns their sum.
#[inline(always)]
pub fn exponentials(row: &mut [f32]) -> f32 {
    /// One running value for each lane, so that the compiler may use them all at once.
    const LANES: usize = 32;
    let mut most = [f32::NEG_INFINITY; LANES];
    let (lanes, rest) = row.as_chunks::<LANES>();
    lanes
        .iter()
        .for_each(|lane| most.iter_mut().zip(lane).for_each(|(most, x)| *most = if *x > *most { *x } else { *most }));
    let most = most.iter().chain(rest).fold(f32::NEG_INFINITY, |most, x| most.max(*x));
    row.iter_mut().for_each(|x| *x = exp(*x - most));
    let mut sums = [0.0; LANES];
    let (lanes, rest) = row.as_chunks::<LANES>();
    lanes.iter().for_each(|lane| sums.iter_mut().zip(lane).for_each(|(sum, x)| *sum += x));
    sums.iter().chain(rest).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_value_that_outweighs_all_does_not_overflow() {
        let mut row = vec![-1e4; 37];
        row[20] = 1e4;
        assert_eq!((exponentials(&mut row), row[20], row[21]), (1.0, 1.0, 0.0));
    }
}
