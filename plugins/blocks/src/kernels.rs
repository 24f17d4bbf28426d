//! What candle computes in several passes over memory, or on one core, in one pass on all of them: f32 on the CPU, and
//! f32, f16 and bf16 on CUDA, for inference only. Elsewhere each function says the same in candle's operations.
//!
//! A kernel of the CPU that the compiler should vectorise runs inside `pulp`'s dispatch, which compiles it for every
//! instruction set and chooses at run time. Kernels of CUDA lie in `kernels/cuda`.

mod activation;
mod attention;
mod cached;
#[cfg(feature = "cuda")]
mod cuda;
mod few_rows;
mod gate;
mod linear;
mod norm;
mod panels;
mod rotate;

use candle_core::{CpuStorage, DType, Error, Layout, Result, Tensor};
use candle_nn::ops::softmax_last_dim;

pub use attention::attention;
pub use cached::{Heads, append, attend};
#[cfg(feature = "cuda")]
pub use cuda::Tiles;
pub use gate::{gate, gate_by};
pub use linear::{linear, stored};
pub use norm::{layer_norm, rms_norm};
pub use rotate::rotate;

/// Whether the kernels of the CPU apply.
fn on_cpu(x: &Tensor) -> bool {
    x.device().is_cpu() && x.dtype() == DType::F32
}

/// Whether those of CUDA apply, which read vectors of 16 bytes: every width has to be a whole number of them.
fn on_gpu(x: &Tensor, widths: &[usize]) -> bool {
    let aligned = |width: &usize| (width * x.dtype().size_in_bytes()).is_multiple_of(16);
    let known = matches!(x.dtype(), DType::F32 | DType::F16 | DType::BF16);
    cfg!(feature = "cuda") && x.device().is_cuda() && known && widths.iter().all(aligned)
}

/// Whether the kernels of attention on CUDA take heads of such a size, whose keys and values start at such columns.
fn attends(x: &Tensor, head: usize, starts: &[usize]) -> bool {
    let format = matches!(x.dtype(), DType::F16 | DType::BF16);
    format && (8..=128).contains(&head) && on_gpu(x, &[head]) && on_gpu(x, starts)
}

/// Softmax over the last axis, without gradients.
fn softmax(scores: &Tensor) -> Result<Tensor> {
    // On the CPU, candle sums 16-bit numbers up in their own format, where a sum stalls after a few hundred of them.
    match scores.device().is_cpu() && matches!(scores.dtype(), DType::F16 | DType::BF16) {
        true => softmax_last_dim(&scores.to_dtype(DType::F32)?)?.to_dtype(scores.dtype()),
        false => softmax_last_dim(scores),
    }
}

/// The values of a contiguous tensor.
fn values<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    match (storage, layout.contiguous_offsets()) {
        (CpuStorage::F32(values), Some((start, end))) => Ok(&values[start..end]),
        _ => Err(Error::msg("a kernel takes contiguous f32 tensors only")),
    }
}
