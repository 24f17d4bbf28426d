//! A matrix times few rows, as when one token of each of few sequences is computed: memory is read once, in its order.

#[cfg(feature = "cuda")]
use candle_core::CudaStorage;
use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor};
use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

#[cfg(feature = "cuda")]
use super::cuda;
use super::{on_cpu, on_gpu, values};

/// More rows than these are better multiplied as a matrix on the CPU.
const FEW: usize = 16;
/// The same on CUDA.
const FEW_ON_GPU: usize = 4;
/// Rows of the weight that one core multiplies at a time.
const TASK: usize = 64;
/// Length of the pieces of rows, so that those of a block stay in the cache of a core.
const PIECE: usize = 1024;
/// Rows of the weight, and rows of `x`, whose products are summed up at the same time.
const BLOCK: usize = 4;

/// `x w^T` of few rows `[.., input]` and a weight `[output, input]` that is stored row by row, if they are so.
///
/// A sum does not depend on how many rows there are.
///
/// # Errors
/// None.
pub fn few_rows(x: &Tensor, weight: &Tensor) -> Result<Option<Tensor>> {
    let inputs = weight.dim(1)?;
    let rows = x.elem_count() / inputs.max(1);
    let fits = x.is_contiguous() && weight.is_contiguous() && x.dims().last() == Some(&inputs);
    let most = if on_gpu(x, &[inputs]) { FEW_ON_GPU } else { FEW };
    if !fits || !(on_cpu(x) || on_gpu(x, &[inputs])) || !(1..=most).contains(&rows) {
        return Ok(None);
    }
    x.apply_op2_no_bwd(weight, &FewRows).map(Some)
}

struct FewRows;

impl CustomOp2 for FewRows {
    fn name(&self) -> &'static str {
        "few rows times a matrix"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        w: &CpuStorage,
        w_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (x, w) = (values(x, x_layout)?, values(w, w_layout)?);
        let (outputs, inputs) = w_layout.shape().dims2()?;
        let rows = x.len() / inputs;
        // Column by column at first, so that each core has columns of its own.
        let mut columns = vec![0.0; rows * outputs];
        let arch = Arch::new();
        columns.par_chunks_mut(rows * TASK).zip(w.par_chunks(inputs * TASK)).for_each(|(to, w)| {
            arch.dispatch(Columns { to, w, x, inputs });
        });
        let mut product = vec![0.0; rows * outputs];
        for (row, to) in product.chunks_exact_mut(outputs).enumerate() {
            to.iter_mut().zip(columns[row..].iter().step_by(rows)).for_each(|(to, y)| *to = *y);
        }
        Ok((CpuStorage::F32(product), shape(x_layout, outputs)))
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(
        &self,
        x: &CudaStorage,
        x_layout: &Layout,
        w: &CudaStorage,
        w_layout: &Layout,
    ) -> Result<(CudaStorage, Shape)> {
        let (outputs, _) = w_layout.shape().dims2()?;
        Ok((cuda::few_rows((x, x_layout), (w, w_layout))?, shape(x_layout, outputs)))
    }
}

/// Shape of the product.
fn shape(x: &Layout, outputs: usize) -> Shape {
    let mut shape = x.dims().to_vec();
    if let Some(last) = shape.last_mut() {
        *last = outputs;
    }
    shape.into()
}

/// Some rows of the weight times all rows of `x`.
struct Columns<'a> {
    to: &'a mut [f32],
    w: &'a [f32],
    x: &'a [f32],
    inputs: usize,
}

impl WithSimd for Columns<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { to, w, x, inputs } = self;
        let rows = x.len() / inputs;
        let mut blocks = to.chunks_exact_mut(rows * BLOCK);
        let mut weights = w.chunks_exact(inputs * BLOCK);
        for (to, w) in blocks.by_ref().zip(weights.by_ref()) {
            times::<S, BLOCK>(simd, std::array::from_fn(|n| &w[n * inputs..][..inputs]), x, to);
        }
        let rest = weights.remainder().chunks_exact(inputs);
        for (to, w) in blocks.into_remainder().chunks_exact_mut(rows).zip(rest) {
            times::<S, 1>(simd, [w], x, to);
        }
    }
}

#[inline(always)]
fn times<S: Simd, const W: usize>(simd: S, w: [&[f32]; W], x: &[f32], to: &mut [f32]) {
    let inputs = w[0].len();
    let rows = x.len() / inputs;
    for start in (0..inputs).step_by(PIECE) {
        let end = inputs.min(start + PIECE);
        let w = w.map(|w| &w[start..end]);
        let row = |n: usize| &x[n * inputs..][start..end];
        let mut done = 0;
        while done + BLOCK <= rows {
            block::<S, W, BLOCK>(simd, w, std::array::from_fn(|n| row(done + n)), &mut to[done..], rows);
            done += BLOCK;
        }
        while done < rows {
            block::<S, W, 1>(simd, w, [row(done)], &mut to[done..], rows);
            done += 1;
        }
    }
}

/// Adds the products of pieces of `W` rows of the weight and `X` rows of `x`.
#[inline(always)]
fn block<S: Simd, const W: usize, const X: usize>(simd: S, w: [&[f32]; W], x: [&[f32]; X], to: &mut [f32], row: usize) {
    let mut sums = [[simd.splat_f32s(0.0); X]; W];
    let parts_w = w.map(|w| S::as_simd_f32s(w));
    let parts_x = x.map(|x| S::as_simd_f32s(x));
    for n in 0..parts_w[0].0.len() {
        for (sums, (w, _)) in sums.iter_mut().zip(&parts_w) {
            for (sum, (x, _)) in sums.iter_mut().zip(&parts_x) {
                *sum = simd.mul_add_f32s(w[n], x[n], *sum);
            }
        }
    }
    for (n, (sums, (_, w))) in sums.into_iter().zip(&parts_w).enumerate() {
        for (m, (sum, (_, x))) in sums.into_iter().zip(&parts_x).enumerate() {
            let rest: f32 = w.iter().zip(*x).map(|(w, x)| w * x).sum();
            to[n * row + m] += simd.reduce_sum_f32s(sum) + rest;
        }
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device};

    use super::*;

    #[test]
    fn equals_the_product_of_candle_however_many_rows_there_are() {
        for (rows, inputs, outputs) in [(1, 7, 3), (2, 1030, 131), (5, 64, 66), (16, 2051, 9)] {
            let normal = |shape: (usize, usize)| Tensor::randn(0f32, 1.0, shape, &Device::Cpu).unwrap();
            let (x, w) = (normal((rows, inputs)), normal((outputs, inputs)));
            let product = few_rows(&x, &w).unwrap().unwrap();
            let wide = |t: &Tensor| t.to_dtype(DType::F64).unwrap();
            let exact = wide(&x).matmul(&wide(&w).t().unwrap()).unwrap();
            let difference = (wide(&product) - exact).unwrap().abs().unwrap().max_all().unwrap();
            assert!(difference.to_scalar::<f64>().unwrap() < 1e-4, "{rows} x {inputs}: {difference}");
            let last = few_rows(&x.narrow(0, rows - 1, 1).unwrap().contiguous().unwrap(), &w).unwrap().unwrap();
            assert_eq!(last.to_vec2::<f32>().unwrap()[0], product.to_vec2::<f32>().unwrap()[rows - 1]);
        }
        let many = Tensor::zeros((FEW + 1, 8), DType::F32, &Device::Cpu).unwrap();
        assert!(few_rows(&many, &many).unwrap().is_none());
    }
}
