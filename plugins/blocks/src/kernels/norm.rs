//! Normalisation of rows.

use candle_core::Tensor;
#[cfg(feature = "cuda")]
use candle_core::{CpuStorage, CudaStorage, CustomOp2, CustomOp3, Layout, Result, Shape};
use candle_nn::ops;

#[cfg(feature = "cuda")]
use super::{cuda, on_gpu};

/// Layer norm over the last axis of a contiguous tensor, without gradients.
///
/// # Errors
/// The last axis has another length.
pub fn layer_norm(x: &Tensor, weight: &Tensor, bias: &Tensor, eps: f32) -> crate::Result<Tensor> {
    #[cfg(feature = "cuda")]
    if fits(x, weight) {
        return Ok(x.apply_op3_no_bwd(weight, bias, &Norm { eps })?);
    }
    Ok(ops::layer_norm(x, weight, bias, eps)?)
}

/// Root mean square norm over the last axis of a contiguous tensor, without gradients.
///
/// # Errors
/// The last axis has another length.
pub fn rms_norm(x: &Tensor, weight: &Tensor, eps: f32) -> crate::Result<Tensor> {
    #[cfg(feature = "cuda")]
    if fits(x, weight) {
        return Ok(x.apply_op2_no_bwd(weight, &Norm { eps })?);
    }
    Ok(ops::rms_norm(x, weight, eps)?)
}

#[cfg(feature = "cuda")]
fn fits(x: &Tensor, weight: &Tensor) -> bool {
    let width = weight.elem_count();
    let same = x.dims().last() == Some(&width) && x.dtype() == weight.dtype();
    same && on_gpu(x, &[width]) && x.is_contiguous() && width * x.dtype().size_in_bytes() <= cuda::WIDEST
}

#[cfg(feature = "cuda")]
struct Norm {
    eps: f32,
}

#[cfg(feature = "cuda")]
impl CustomOp2 for Norm {
    fn name(&self) -> &'static str {
        "root mean square norm"
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        Err(candle_core::Error::msg("this kernel is for CUDA"))
    }

    fn cuda_fwd(
        &self,
        x: &CudaStorage,
        layout: &Layout,
        weight: &CudaStorage,
        w: &Layout,
    ) -> Result<(CudaStorage, Shape)> {
        Ok((cuda::norm((x, layout), (weight, w), None, self.eps)?, layout.shape().clone()))
    }
}

#[cfg(feature = "cuda")]
impl CustomOp3 for Norm {
    fn name(&self) -> &'static str {
        "layer norm"
    }

    fn cpu_fwd(
        &self,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        Err(candle_core::Error::msg("this kernel is for CUDA"))
    }

    fn cuda_fwd(
        &self,
        x: &CudaStorage,
        layout: &Layout,
        weight: &CudaStorage,
        w: &Layout,
        bias: &CudaStorage,
        b: &Layout,
    ) -> Result<(CudaStorage, Shape)> {
        Ok((cuda::norm((x, layout), (weight, w), Some((bias, b)), self.eps)?, layout.shape().clone()))
    }
}
