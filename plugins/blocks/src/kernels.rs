//! What candle computes in several passes over memory, or on one core, in one pass on all of them: f32 on the CPU,
//! for inference only. Elsewhere each function says the same in candle's operations.
//!
//! A kernel that the compiler should vectorise runs inside `pulp`'s dispatch, which compiles it for every instruction
//! set and chooses at run time.

mod activation;
mod attention;
mod cached;
mod few_rows;
mod gate;
mod linear;
mod panels;
mod rotate;

use candle_core::{CpuStorage, DType, Error, Layout, Result, Tensor};

pub use attention::attention;
pub use cached::{Heads, append, attend};
pub use gate::gate;
pub use linear::{linear, stored};
pub use rotate::rotate;

/// Whether the kernels apply.
fn applies(x: &Tensor) -> bool {
    x.device().is_cpu() && x.dtype() == DType::F32
}

/// The values of a contiguous tensor.
fn values<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    match (storage, layout.contiguous_offsets()) {
        (CpuStorage::F32(values), Some((start, end))) => Ok(&values[start..end]),
        _ => Err(Error::msg("a kernel takes contiguous f32 tensors only")),
    }
}
