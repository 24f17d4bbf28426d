//! A linear layer with what follows it.

use candle_core::{CpuStorage, InplaceOp2, InplaceOp3, Layout, Result, Tensor};
use candle_nn::{Linear, Module};
use rayon::prelude::*;

use super::{activation::apply, applies, values};
use crate::layers::Activation;

/// A weight `[output, input]` as [`linear`] reads it fastest: on the CPU stored column by column.
///
/// # Errors
/// None but those of the device.
pub fn stored(weight: &Tensor) -> crate::Result<Tensor> {
    if applies(weight) { Ok(weight.t()?.contiguous()?.t()?) } else { Ok(weight.contiguous()?) }
}

/// `layer(x)`, then the activation, then plus `residual`: `[.., input]` to `[.., output]`, without gradients.
///
/// # Errors
/// Shapes do not agree.
pub fn linear(
    layer: &Linear,
    x: &Tensor,
    activation: Option<Activation>,
    residual: Option<&Tensor>,
) -> crate::Result<Tensor> {
    // candle 0.11.1 multiplies a transposed batch with a repeated matrix wrongly.
    let x = &x.contiguous()?;
    let bias = layer.bias().filter(|bias| applies(x) && bias.is_contiguous());
    let residual_fits = residual.is_none_or(|r| r.is_contiguous());
    let Some(bias) = bias.filter(|_| residual_fits) else {
        let y = layer.forward(x)?;
        let y = activation.map_or(Ok(y.clone()), |activation| activation.forward(&y))?;
        return Ok(residual.map_or(Ok(y.clone()), |residual| residual + &y)?);
    };
    let product = Linear::new(layer.weight().clone(), None).forward(x)?;
    let width = bias.elem_count();
    match residual {
        None => product.inplace_op2(bias, &Finish { width, activation })?,
        Some(residual) => product.inplace_op3(bias, residual, &Finish { width, activation })?,
    }
    Ok(product)
}

/// Adds the bias, applies the activation, adds the residual.
struct Finish {
    width: usize,
    activation: Option<Activation>,
}

/// Values that one core finishes at a time: they stay in its cache.
const CHUNK: usize = 1 << 14;

impl Finish {
    fn run(&self, product: &mut CpuStorage, layout: &Layout, bias: &[f32], residual: Option<&[f32]>) -> Result<()> {
        let product = match (product, layout.contiguous_offsets()) {
            (CpuStorage::F32(all), Some((start, end))) => &mut all[start..end],
            _ => return Err(candle_core::Error::msg("a kernel takes contiguous f32 tensors only")),
        };
        let rows = (CHUNK / self.width).max(1) * self.width;
        let arch = pulp::Arch::new();
        product.par_chunks_mut(rows).enumerate().for_each(|(n, chunk)| {
            let residual = residual.map(|r| &r[n * rows..][..chunk.len()]);
            arch.dispatch(
                #[inline(always)]
                || {
                    for row in chunk.chunks_exact_mut(self.width) {
                        row.iter_mut().zip(bias).for_each(|(x, b)| *x += b);
                    }
                    if let Some(activation) = self.activation {
                        apply(activation, chunk);
                    }
                    if let Some(residual) = residual {
                        chunk.iter_mut().zip(residual).for_each(|(x, r)| *x += r);
                    }
                },
            );
        });
        Ok(())
    }
}

impl InplaceOp2 for Finish {
    fn name(&self) -> &'static str {
        "finish a linear layer"
    }

    fn cpu_fwd(&self, product: &mut CpuStorage, layout: &Layout, bias: &CpuStorage, b: &Layout) -> Result<()> {
        self.run(product, layout, values(bias, b)?, None)
    }
}

impl InplaceOp3 for Finish {
    fn name(&self) -> &'static str {
        "finish a linear layer with a residual"
    }

    fn cpu_fwd(
        &self,
        product: &mut CpuStorage,
        layout: &Layout,
        bias: &CpuStorage,
        b: &Layout,
        residual: &CpuStorage,
        r: &Layout,
    ) -> Result<()> {
        self.run(product, layout, values(bias, b)?, Some(values(residual, r)?))
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device};

    use super::*;

    #[test]
    fn equals_the_operations_of_candle() {
        let normal = |shape: &[usize]| Tensor::randn(0f32, 1.0, shape, &Device::Cpu).unwrap();
        let layer = Linear::new(normal(&[37, 11]), Some(normal(&[37])));
        let residual = normal(&[3, 700, 37]);
        for x in [normal(&[3, 700, 11]), normal(&[3, 11, 700]).transpose(1, 2).unwrap()] {
            for activation in [None, Some(Activation::Gelu), Some(Activation::QuickGelu), Some(Activation::GeluTanh)] {
                for residual in [None, Some(&residual)] {
                    let fused = linear(&layer, &x, activation, residual).unwrap();
                    // What is not f32 goes through candle.
                    let wide = |t: &Tensor| t.to_dtype(DType::F64).unwrap();
                    let exact = Linear::new(wide(layer.weight()), layer.bias().map(wide));
                    let exact = linear(&exact, &wide(&x), activation, residual.map(wide).as_ref()).unwrap();
                    let difference = (wide(&fused) - exact).unwrap().abs().unwrap().max_all().unwrap();
                    assert!(difference.to_scalar::<f64>().unwrap() < 2e-5, "{activation:?}: {difference}");
                }
            }
        }
    }
}
