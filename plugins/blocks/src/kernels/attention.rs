//! Self-attention on the joint product of query, key and value, which are read where they lie.

#[cfg(feature = "cuda")]
use candle_core::CudaStorage;
use candle_core::{CpuStorage, CustomOp1, D, Layout, Result, Shape, Tensor};
use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

#[cfg(feature = "cuda")]
use super::cuda;
use super::{
    attends, on_cpu,
    panels::{Panels, exponentials},
    softmax, values,
};

/// The most rows of queries whose scores one core holds at a time.
const TILE: usize = 256;
/// The most scores that lie in memory where they are a matrix, unless one head has more.
const SCORES: usize = 1 << 25;

/// `[batch, tokens, 3 * width]`, query, key and value side by side, to `[batch, tokens, width]`, without gradients:
/// softmax of `scale * q k^T` over the keys, times `v`, for each of the `heads` (Vaswani et al. 2017).
///
/// # Errors
/// The last axis is no multiple of `3 * heads`.
pub fn attention(qkv: &Tensor, heads: usize, scale: f64) -> crate::Result<Tensor> {
    let (batch, tokens, width) = qkv.dims3()?;
    let head = width / (3 * heads);
    if (on_cpu(qkv) || attends(qkv, head, &[width / 3])) && qkv.is_contiguous() {
        return Ok(qkv.apply_op1_no_bwd(&Attend { heads, scale: scale as f32 })?);
    }
    let split = qkv.reshape((batch, tokens, 3, heads, width / (3 * heads)))?.permute((2, 0, 3, 1, 4))?.contiguous()?;
    let (q, k, v) = (split.get(0)?, split.get(1)?, split.get(2)?);
    let (q, k) = ((q * scale)?, k.transpose(D::Minus1, D::Minus2)?);
    let most = (SCORES / (batch * tokens * tokens).max(1)).clamp(1, heads.max(1));
    let mixed = (0..heads).step_by(most).map(|first| {
        let part = |x: &Tensor| x.narrow(1, first, most.min(heads - first))?.contiguous();
        let weights = softmax(&part(&q)?.matmul(&part(&k)?)?)?;
        weights.matmul(&part(&v)?)
    });
    let mixed = Tensor::cat(&mixed.collect::<Result<Vec<_>>>()?, 1)?;
    Ok(mixed.transpose(1, 2)?.reshape((batch, tokens, width / 3))?)
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
        let mut mixed = vec![0.0; size];
        if size > 0 {
            let heads: Vec<Head<'_>> = (0..batch * self.heads)
                .into_par_iter()
                .map(|n| {
                    let qkv = &qkv[n / self.heads * tokens * joint..][..tokens * joint];
                    Head::new(qkv, joint, n % self.heads * head, head, self.scale)
                })
                .collect();
            // Each head has rows of its own at first, so that many cores can share few images. Tiles have one size: a
            // last one of few rows would cost as much as a whole.
            let mut apart = vec![0.0; size];
            let tile = tokens.div_ceil(tokens.div_ceil(TILE));
            let tiles = apart.par_chunks_mut(tokens * head).zip(&heads).flat_map(|(rows, head)| {
                let tiles = rows.par_chunks_mut(tile * head.head).enumerate();
                tiles.map(move |(n, to)| (to, head, n * tile))
            });
            tiles.for_each_init(Vec::new, |scores, (to, head, first)| {
                Arch::new().dispatch(Tile { to, head, first, scores });
            });
            mixed.par_chunks_mut(width).enumerate().for_each(|(n, row)| {
                let image = &apart[n / tokens * tokens * width..][..tokens * width];
                for (to, rows) in row.chunks_exact_mut(head).zip(image.chunks_exact(tokens * head)) {
                    to.copy_from_slice(&rows[n % tokens * head..][..head]);
                }
            });
        }
        Ok((CpuStorage::F32(mixed), (batch, tokens, width).into()))
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(&self, qkv: &CudaStorage, layout: &Layout) -> Result<(CudaStorage, Shape)> {
        let (batch, tokens, joint) = layout.shape().dims3()?;
        let width = joint / 3;
        let rows =
            |part: usize| cuda::Rows { storage: qkv, start: layout.start_offset() + part * width, stride: joint };
        let attention = cuda::Attention {
            queries: rows(0),
            keys: rows(1),
            values: rows(2),
            head: width / self.heads,
            heads: self.heads,
            each: 1,
            scale: f64::from(self.scale),
            window: None,
        };
        Ok((cuda::attend_all(&attention, batch, tokens)?, (batch, tokens, width).into()))
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
    scale: f32,
    /// Keys as panels of `k^T`.
    keys: Panels,
    /// Values as panels of `v`.
    values: Panels,
}

impl<'a> Head<'a> {
    fn new(qkv: &'a [f32], joint: usize, start: usize, head: usize, scale: f32) -> Self {
        let (tokens, width) = (qkv.len() / joint, joint / 3);
        let (mut keys, mut values) = (Panels::new(head, tokens), Panels::new(tokens, head));
        for (token, row) in qkv.chunks_exact(joint).enumerate() {
            keys.set_column(token, &row[width + start..][..head]);
            values.set_row(token, &row[2 * width + start..][..head]);
        }
        Self { qkv, joint, start, head, scale, keys, values }
    }
}

/// The queries of a head from `first` on, as many as `to` has rows.
struct Tile<'a> {
    to: &'a mut [f32],
    head: &'a Head<'a>,
    first: usize,
    scores: &'a mut Vec<f32>,
}

// A closure would not do: the compiler makes it a function of its own, for the oldest instruction set.
impl WithSimd for Tile<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Head { qkv, joint, start, head, scale, keys, values } = self.head;
        let (rows, columns) = (self.to.len() / head, keys.row());
        self.scores.resize(rows * columns, 0.0);
        keys.times(simd, &qkv[self.first * joint + start..], *joint, self.scores, columns, *scale);
        let mut sums = [0.0; TILE];
        for (row, sum) in self.scores.chunks_exact_mut(columns).zip(&mut sums) {
            *sum = exponentials(&mut row[..keys.columns()]);
        }
        values.times(simd, self.scores, columns, self.to, *head, 1.0);
        for (row, sum) in self.to.chunks_exact_mut(*head).zip(sums) {
            row.iter_mut().for_each(|x| *x /= sum);
        }
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device};

    use super::*;

    /// A thousand tokens that are all alike weigh the same.
    #[test]
    fn weights_of_16_bits_sum_up_to_one() {
        for dtype in [DType::BF16, DType::F16] {
            let mixed = attention(&Tensor::ones((1, 1000, 24), dtype, &Device::Cpu).unwrap(), 2, 0.5).unwrap();
            let mean = mixed.to_dtype(DType::F32).unwrap().mean_all().unwrap().to_scalar::<f32>().unwrap();
            assert!((mean - 1.0).abs() < 0.01, "{dtype:?}: {mean}");
        }
    }

    #[test]
    fn equals_the_operations_of_candle() {
        for (batch, tokens, heads, head) in [(1, 1, 1, 8), (3, 50, 3, 16), (2, 197, 2, 64), (1, 65, 4, 5)] {
            let qkv = Tensor::randn(0f32, 2.0, (batch, tokens, 3 * heads * head), &Device::Cpu).unwrap();
            let scale = (head as f64).powf(-0.5);
            let fused = attention(&qkv, heads, scale).unwrap();
            let exact = attention(&qkv.to_dtype(DType::F64).unwrap(), heads, scale).unwrap();
            let difference = (fused.to_dtype(DType::F64).unwrap() - exact).unwrap().abs().unwrap().max_all().unwrap();
            assert!(difference.to_scalar::<f64>().unwrap() < 4e-5, "{batch} x {tokens}: {difference}");
        }
        let none = Tensor::zeros((0, 7, 24), DType::F32, &Device::Cpu).unwrap();
        assert_eq!(attention(&none, 2, 0.5).unwrap().dims(), [0, 7, 8]);
    }
}
