//! Self-attention on the joint product of query, key and value, which are read where they lie.

use candle_core::{CpuStorage, CustomOp1, D, Layout, Result, Shape, Tensor};
use candle_nn::ops::softmax_last_dim;
use gemm::Parallelism;
use rayon::prelude::*;

use super::{activation::exp, applies, values};

/// Rows of queries whose scores one core holds at a time.
const TILE: usize = 64;

/// `[batch, tokens, 3 * width]`, query, key and value side by side, to `[batch, tokens, width]`, without gradients:
/// softmax of `scale * q k^T` over the keys, times `v`, for each of the `heads` (Vaswani et al. 2017).
///
/// # Errors
/// The last axis is no multiple of `3 * heads`.
pub fn attention(qkv: &Tensor, heads: usize, scale: f64) -> crate::Result<Tensor> {
    let (batch, tokens, width) = qkv.dims3()?;
    if applies(qkv) && qkv.is_contiguous() {
        return Ok(qkv.apply_op1_no_bwd(&Attend { heads, scale: scale as f32 })?);
    }
    let split = qkv.reshape((batch, tokens, 3, heads, width / (3 * heads)))?.permute((2, 0, 3, 1, 4))?.contiguous()?;
    let (q, k, v) = (split.get(0)?, split.get(1)?, split.get(2)?);
    let weights = softmax_last_dim(&(q * scale)?.matmul(&k.transpose(D::Minus1, D::Minus2)?)?)?;
    Ok(weights.matmul(&v)?.transpose(1, 2)?.reshape((batch, tokens, width / 3))?)
}

struct Attend {
    heads: usize,
    scale: f32,
}

impl CustomOp1 for Attend {
    fn name(&self) -> &'static str {
        "attention"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (batch, tokens, joint) = layout.shape().dims3()?;
        let (qkv, width) = (values(storage, layout)?, joint / 3);
        let (size, head) = (batch * tokens * width, width / self.heads);
        let (mut apart, mut mixed) = (vec![0.0; size], vec![0.0; size]);
        if size > 0 {
            // Each head has rows of its own at first, so that many cores can share few images.
            let heads = apart.par_chunks_mut(tokens * head).enumerate();
            let tiles = heads.flat_map(|(n, rows)| {
                let (image, start) = (n / self.heads, n % self.heads * head);
                let qkv = &qkv[image * tokens * joint..][..tokens * joint];
                let tiles = rows.par_chunks_mut(TILE * head).enumerate();
                tiles.map(move |(n, tile)| (tile, Head { qkv, joint, start, head }, n * TILE))
            });
            tiles.for_each_init(Vec::new, |scores, (tile, head, first)| head.attend(tile, first, self.scale, scores));
            mixed.par_chunks_mut(width).enumerate().for_each(|(n, row)| {
                let image = &apart[n / tokens * tokens * width..][..tokens * width];
                for (to, rows) in row.chunks_exact_mut(head).zip(image.chunks_exact(tokens * head)) {
                    to.copy_from_slice(&rows[n % tokens * head..][..head]);
                }
            });
        }
        Ok((CpuStorage::F32(mixed), (batch, tokens, width).into()))
    }
}

/// One head of one image.
struct Head<'a> {
    /// `[tokens, joint]`.
    qkv: &'a [f32],
    joint: usize,
    /// Where the head starts in the query of a row.
    start: usize,
    head: usize,
}

impl Head<'_> {
    /// The queries from `first` on, as many as `tile` has rows.
    fn attend(&self, tile: &mut [f32], first: usize, scale: f32, scores: &mut Vec<f32>) {
        let Self { qkv, joint, start, head } = *self;
        let (rows, keys, width) = (tile.len() / head, qkv.len() / joint, joint / 3);
        scores.resize(rows * keys, 0.0);
        let queries = View { values: &qkv[first * joint + start..], row: joint, column: 1 };
        let transposed = View { values: &qkv[width + start..], row: 1, column: joint };
        product(scores, keys, (rows, head, keys), queries, transposed, scale);
        pulp::Arch::new().dispatch(
            #[inline(always)]
            || scores.chunks_exact_mut(keys).for_each(softmax),
        );
        let weights = View { values: scores, row: keys, column: 1 };
        let value = View { values: &qkv[2 * width + start..], row: joint, column: 1 };
        product(tile, head, (rows, keys, head), weights, value, 1.0);
    }
}

#[inline(always)]
fn softmax(row: &mut [f32]) {
    const LANES: usize = 16;
    // One running value for each lane, so that the compiler may use them all at once.
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
    let factor = 1.0 / sums.iter().chain(rest).sum::<f32>();
    row.iter_mut().for_each(|x| *x *= factor);
}

/// A matrix inside a slice: the value at `(i, j)` is `values[i * row + j * column]`.
#[derive(Clone, Copy)]
struct View<'a> {
    values: &'a [f32],
    row: usize,
    column: usize,
}

impl View<'_> {
    fn holds(&self, rows: usize, columns: usize) -> bool {
        rows == 0 || columns == 0 || (rows - 1) * self.row + (columns - 1) * self.column < self.values.len()
    }
}

/// `to[i * row + j] = scale * sum over l of a[i, l] b[l, j]`, for `m` rows `i`, `k` terms `l` and `n` columns `j`.
#[expect(unsafe_code, reason = "matrix products on strided views are what the library offers to raw pointers only")]
fn product(to: &mut [f32], row: usize, (m, k, n): (usize, usize, usize), a: View<'_>, b: View<'_>, scale: f32) {
    assert!(View { values: to, row, column: 1 }.holds(m, n) && a.holds(m, k) && b.holds(k, n) && n <= row);
    // SAFETY: the assertion shows that every index that the strides reach lies inside its slice; `to` is borrowed
    // mutably, so it overlaps neither `a` nor `b`, and its rows do not overlap each other because `n <= row`.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            to.as_mut_ptr(),
            1,
            row as isize,
            false,
            a.values.as_ptr(),
            a.column as isize,
            a.row as isize,
            b.values.as_ptr(),
            b.column as isize,
            b.row as isize,
            0.0,
            scale,
            false,
            false,
            false,
            Parallelism::None,
        );
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device};

    use super::*;

    #[test]
    fn equals_the_operations_of_candle() {
        for (batch, tokens, heads, head) in [(1, 1, 1, 8), (3, 50, 3, 16), (2, 197, 2, 64), (1, 65, 4, 5)] {
            let qkv = Tensor::randn(0f32, 2.0, (batch, tokens, 3 * heads * head), &Device::Cpu).unwrap();
            let scale = (head as f64).powf(-0.5);
            let fused = attention(&qkv, heads, scale).unwrap();
            let exact = attention(&qkv.to_dtype(DType::F64).unwrap(), heads, scale).unwrap();
            let difference = (fused.to_dtype(DType::F64).unwrap() - exact).unwrap().abs().unwrap().max_all().unwrap();
            assert!(difference.to_scalar::<f64>().unwrap() < 1e-5, "{batch} x {tokens}: {difference}");
        }
        let none = Tensor::zeros((0, 7, 24), DType::F32, &Device::Cpu).unwrap();
        assert_eq!(attention(&none, 2, 0.5).unwrap().dims(), [0, 7, 8]);
    }

    #[test]
    fn one_value_that_outweighs_all_does_not_overflow() {
        let mut row = vec![-1e4; 37];
        row[20] = 1e4;
        softmax(&mut row);
        assert_eq!((row[20], row.iter().sum::<f32>()), (1.0, 1.0));
    }

    #[test]
    #[should_panic(expected = "holds")]
    fn a_product_never_leaves_its_slices() {
        let a = View { values: &[0.0; 5], row: 3, column: 1 };
        product(&mut [0.0; 4], 2, (2, 3, 2), a, a, 1.0);
    }
}
