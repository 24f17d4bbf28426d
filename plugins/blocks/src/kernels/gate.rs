//! The gate of a gated layer.

#[cfg(feature = "cuda")]
use candle_core::CudaStorage;
use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor};
use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

#[cfg(feature = "cuda")]
use super::cuda;
use super::{
    activation::{apply, exp},
    on_cpu, on_gpu, values,
};
use crate::layers::Activation;

/// `silu(gate) * up` of `[tokens, 2 * width]`, gate and up side by side, to `[tokens, width]` (Shazeer 2020); without
/// gradients.
///
/// # Errors
/// The last axis is odd.
pub fn gate(joint: &Tensor) -> crate::Result<Tensor> {
    let width = joint.dim(1)? / 2;
    if (on_cpu(joint) || on_gpu(joint, &[width])) && joint.is_contiguous() {
        return Ok(joint.apply_op1_no_bwd(&Gate { activation: None })?);
    }
    Ok((joint.narrow(1, 0, width)?.silu()? * joint.narrow(1, width, width)?)?)
}

/// As [`gate`], with another activation than SiLU.
///
/// # Errors
/// The last axis is odd.
pub fn gate_by(joint: &Tensor, activation: Activation) -> crate::Result<Tensor> {
    let width = joint.dim(1)? / 2;
    if on_cpu(joint) && joint.is_contiguous() {
        return Ok(joint.apply_op1_no_bwd(&Gate { activation: Some(activation) })?);
    }
    Ok((activation.forward(&joint.narrow(1, 0, width)?)? * joint.narrow(1, width, width)?)?)
}

struct Gate {
    /// SiLU where there is none.
    activation: Option<Activation>,
}

impl CustomOp1 for Gate {
    fn name(&self) -> &'static str {
        "gate"
    }

    fn cpu_fwd(&self, joint: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (tokens, double) = layout.shape().dims2()?;
        let (joint, width) = (values(joint, layout)?, double / 2);
        let mut product = vec![0.0; tokens * width];
        let arch = Arch::new();
        let rows = product.par_chunks_mut(width.max(1)).zip(joint.par_chunks(double.max(1)));
        rows.with_min_len((1usize << 13).div_ceil(width.max(1))).for_each(|(to, row)| {
            let (gate, up) = row.split_at(width);
            arch.dispatch(Row { to, gate, up, activation: self.activation });
        });
        Ok((CpuStorage::F32(product), (tokens, width).into()))
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(&self, joint: &CudaStorage, layout: &Layout) -> Result<(CudaStorage, Shape)> {
        let (tokens, double) = layout.shape().dims2()?;
        Ok((cuda::gate((joint, layout), tokens, double / 2)?, (tokens, double / 2).into()))
    }
}

struct Row<'a> {
    to: &'a mut [f32],
    gate: &'a [f32],
    up: &'a [f32],
    activation: Option<Activation>,
}

impl WithSimd for Row<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { to, gate, up, activation } = self;
        if let Some(activation) = activation {
            to.copy_from_slice(gate);
            apply(activation, to);
            to.iter_mut().zip(up).for_each(|(to, up)| *to *= up);
            return;
        }
        let pairs = gate.iter().zip(up);
        to.iter_mut().zip(pairs).for_each(|(to, (gate, up))| *to = *gate / (1.0 + exp(-*gate)) * up);
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device};

    use super::*;

    #[test]
    fn equals_the_operations_of_candle() {
        let joint = Tensor::randn(0f32, 3.0, (7, 2 * 45), &Device::Cpu).unwrap();
        for activation in [None, Some(Activation::GeluTanh), Some(Activation::QuickGelu)] {
            let of = |joint: &Tensor| activation.map_or_else(|| gate(joint), |activation| gate_by(joint, activation));
            let exact = of(&joint.to_dtype(DType::F64).unwrap()).unwrap();
            let fused = of(&joint).unwrap().to_dtype(DType::F64).unwrap();
            let difference = (fused - exact).unwrap().abs().unwrap().max_all().unwrap().to_scalar::<f64>().unwrap();
            assert!(difference < 1e-5, "{activation:?}: {difference}");
        }
    }
}
