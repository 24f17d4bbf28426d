//! Rotary position embedding of queries and keys where they lie.

#[cfg(feature = "cuda")]
use candle_core::CudaStorage;
use candle_core::{CpuStorage, InplaceOp3, Layout, Result, Tensor};
use rayon::prelude::*;

#[cfg(feature = "cuda")]
use super::cuda;
use super::{on_cpu, on_gpu, values};
use crate::decoder::Angles;

/// Turns the first `heads` heads of `joint`, `[tokens, width]`, each of which has twice as many values as a token has
/// angles; the rest stays. Without gradients.
///
/// # Errors
/// Shapes do not agree.
pub fn rotate(joint: Tensor, heads: usize, angles: &Angles) -> crate::Result<Tensor> {
    if (on_cpu(&joint) || on_gpu(&joint, &[])) && joint.is_contiguous() {
        joint.inplace_op3(&angles.cos, &angles.sin, &Rotate { heads })?;
        return Ok(joint);
    }
    let (tokens, width) = joint.dims2()?;
    let turned = heads * 2 * angles.cos.dim(1)?;
    let heads = joint.narrow(1, 0, turned)?.reshape((tokens, heads, ()))?;
    let rest = joint.narrow(1, turned, width - turned)?;
    Ok(Tensor::cat(&[&angles.turn(&heads)?.reshape((tokens, turned))?, &rest], 1)?)
}

struct Rotate {
    heads: usize,
}

impl InplaceOp3 for Rotate {
    fn name(&self) -> &'static str {
        "rotate"
    }

    fn cpu_fwd(
        &self,
        joint: &mut CpuStorage,
        layout: &Layout,
        cos: &CpuStorage,
        cos_layout: &Layout,
        sin: &CpuStorage,
        sin_layout: &Layout,
    ) -> Result<()> {
        let (_, width) = layout.shape().dims2()?;
        let (_, half) = cos_layout.shape().dims2()?;
        let (cos, sin) = (values(cos, cos_layout)?, values(sin, sin_layout)?);
        let joint = match (joint, layout.contiguous_offsets()) {
            (CpuStorage::F32(all), Some((start, end))) if 2 * half * self.heads <= width => &mut all[start..end],
            _ => return Err(candle_core::Error::msg("queries and keys cannot be turned by these angles")),
        };
        let rows = joint.par_chunks_mut(width).zip(cos.par_chunks(half)).zip(sin.par_chunks(half));
        rows.with_min_len(8).for_each(|((row, cos), sin)| {
            for head in row.chunks_exact_mut(2 * half).take(self.heads) {
                let (left, right) = head.split_at_mut(half);
                for (((left, right), cos), sin) in left.iter_mut().zip(right).zip(cos).zip(sin) {
                    (*left, *right) = (*left * cos - *right * sin, *right * cos + *left * sin);
                }
            }
        });
        Ok(())
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(
        &self,
        joint: &mut CudaStorage,
        layout: &Layout,
        cos: &CudaStorage,
        cos_layout: &Layout,
        sin: &CudaStorage,
        sin_layout: &Layout,
    ) -> Result<()> {
        cuda::rotate((joint, layout), (cos, cos_layout), (sin, sin_layout), self.heads)
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device};

    use super::*;
    use crate::decoder::{Packing, Rotary, Span};

    #[test]
    fn equals_the_operations_of_candle() {
        let packing =
            Packing::new(vec![Span { slot: 0, cached: 300, count: 3 }, Span { slot: 1, cached: 0, count: 9 }]);
        let angles = Rotary::new(6, 1e4, None).angles(&packing, &Device::Cpu).unwrap();
        let joint = Tensor::randn(0f32, 1.0, (12, 6 * 5 + 4), &Device::Cpu).unwrap();
        let wide = joint.to_dtype(DType::F64).unwrap();
        let exact = rotate(wide.clone(), 5, &angles).unwrap();
        let fused = rotate(joint, 5, &angles).unwrap().to_dtype(DType::F64).unwrap();
        let difference = (&fused - exact).unwrap().abs().unwrap().max_all().unwrap().to_scalar::<f64>().unwrap();
        assert!(difference < 1e-5, "{difference}");
        assert_eq!(
            fused.narrow(1, 30, 4).unwrap().to_vec2::<f64>().unwrap(),
            wide.narrow(1, 30, 4).unwrap().to_vec2::<f64>().unwrap()
        );
    }
}
