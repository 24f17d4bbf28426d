//! A linear layer with what follows it.

#[cfg(feature = "cuda")]
use candle_core::CudaStorage;
use candle_core::{CpuStorage, D, DType, InplaceOp2, InplaceOp3, Layout, Result, Tensor};
use candle_nn::{Linear, Module};
use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

#[cfg(feature = "cuda")]
use super::cuda;
use super::{activation::apply, few_rows::few_rows, on_cpu, on_gpu, values};
use crate::layers::Activation;

/// A weight `[output, input]` as [`linear`] reads it fastest: on the CPU stored column by column.
///
/// # Errors
/// None but those of the device.
pub fn stored(weight: &Tensor) -> crate::Result<Tensor> {
    if on_cpu(weight) { Ok(weight.t()?.contiguous()?.t()?) } else { Ok(weight.contiguous()?) }
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
    let product = match few_rows(x, layer.weight())? {
        Some(product) => product,
        None if widened(layer.weight()) => in_pieces(x, layer.weight())?,
        None => Linear::new(layer.weight().clone(), None).forward(x)?,
    };
    let bias = layer.bias();
    let fits = |other: Option<&Tensor>| other.is_none_or(|other| other.is_contiguous());
    let width = layer.weight().dims()[0];
    if !((on_cpu(x) || on_gpu(x, &[width])) && fits(bias) && fits(residual)) {
        let y = bias.map_or(Ok(product.clone()), |bias| product.broadcast_add(bias))?;
        let y = activation.map_or(Ok(y.clone()), |activation| activation.forward(&y))?;
        return Ok(residual.map_or(Ok(y.clone()), |residual| residual + &y)?);
    }
    let finish = |second| Finish { width, activation, second };
    match (bias, residual) {
        (None, None) if activation.is_none() => {}
        (None, None) => return activation.map_or(Ok(product.clone()), |activation| activation.forward(&product)),
        (Some(bias), None) => product.inplace_op2(bias, &finish(Second::Bias))?,
        (None, Some(residual)) => product.inplace_op2(residual, &finish(Second::Residual))?,
        (Some(bias), Some(residual)) => product.inplace_op3(bias, residual, &finish(Second::Bias))?,
    }
    Ok(product)
}

/// Values of a weight that are in memory as f32 at a time.
const PIECE: usize = 1 << 20;

/// Whether candle 0.11.1 would multiply by a copy of all of the weight's storage as f32.
fn widened(weight: &Tensor) -> bool {
    weight.device().is_cpu() && weight.dtype() == DType::BF16
}

/// The same product, for which no more than a piece of the weight is widened at a time.
fn in_pieces(x: &Tensor, weight: &Tensor) -> Result<Tensor> {
    let (outputs, inputs) = weight.dims2()?;
    let (wide, most) = (x.to_dtype(DType::F32)?, (PIECE / inputs.max(1)).max(1));
    let parts = (0..outputs).step_by(most).map(|first| {
        let piece = weight.narrow(0, first, most.min(outputs - first))?.to_dtype(DType::F32)?;
        Linear::new(piece, None).forward(&wide)?.to_dtype(weight.dtype())
    });
    Tensor::cat(&parts.collect::<Result<Vec<_>>>()?, D::Minus1)
}

/// Adds the bias, applies the activation, adds the residual.
struct Finish {
    /// Length of a row of the product.
    width: usize,
    activation: Option<Activation>,
    second: Second,
}

/// What the first operand beside the product is.
enum Second {
    Bias,
    Residual,
}

/// Values that one core finishes at a time: they stay in its cache.
const CHUNK: usize = 1 << 14;

impl Finish {
    fn run(
        &self,
        product: &mut CpuStorage,
        layout: &Layout,
        bias: Option<&[f32]>,
        residual: Option<&[f32]>,
    ) -> Result<()> {
        let product = match (product, layout.contiguous_offsets()) {
            (CpuStorage::F32(all), Some((start, end))) => &mut all[start..end],
            _ => return Err(candle_core::Error::msg("a kernel takes contiguous f32 tensors only")),
        };
        let rows = (CHUNK / self.width).max(1) * self.width;
        let arch = Arch::new();
        product.par_chunks_mut(rows).enumerate().for_each(|(n, values)| {
            let residual = residual.map(|r| &r[n * rows..][..values.len()]);
            arch.dispatch(Chunk { values, bias, activation: self.activation, residual });
        });
        Ok(())
    }
}

/// Whole rows of a product.
struct Chunk<'a> {
    values: &'a mut [f32],
    bias: Option<&'a [f32]>,
    activation: Option<Activation>,
    residual: Option<&'a [f32]>,
}

impl WithSimd for Chunk<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        if let Some(bias) = self.bias {
            for row in self.values.chunks_exact_mut(bias.len()) {
                row.iter_mut().zip(bias).for_each(|(x, b)| *x += b);
            }
        }
        if let Some(activation) = self.activation {
            apply(activation, self.values);
        }
        if let Some(residual) = self.residual {
            self.values.iter_mut().zip(residual).for_each(|(x, r)| *x += r);
        }
    }
}

impl InplaceOp2 for Finish {
    fn name(&self) -> &'static str {
        "finish a linear layer"
    }

    fn cpu_fwd(&self, product: &mut CpuStorage, layout: &Layout, second: &CpuStorage, s: &Layout) -> Result<()> {
        let second = Some(values(second, s)?);
        match self.second {
            Second::Bias => self.run(product, layout, second, None),
            Second::Residual => self.run(product, layout, None, second),
        }
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(&self, product: &mut CudaStorage, layout: &Layout, second: &CudaStorage, s: &Layout) -> Result<()> {
        let second = Some((second, s));
        match self.second {
            Second::Bias => cuda::finish((product, layout), second, None, self.width, self.activation),
            Second::Residual => cuda::finish((product, layout), None, second, self.width, self.activation),
        }
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
        self.run(product, layout, Some(values(bias, b)?), Some(values(residual, r)?))
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(
        &self,
        product: &mut CudaStorage,
        layout: &Layout,
        bias: &CudaStorage,
        b: &Layout,
        residual: &CudaStorage,
        r: &Layout,
    ) -> Result<()> {
        cuda::finish((product, layout), Some((bias, b)), Some((residual, r)), self.width, self.activation)
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device};

    use super::*;

    #[test]
    fn a_weight_of_16_bits_in_pieces_is_the_same() {
        let normal = |shape: (usize, usize)| Tensor::randn(0f32, 1.0, shape, &Device::Cpu).unwrap();
        let half = |shape| normal(shape).to_dtype(DType::BF16).unwrap();
        let layer = Linear::new(half((2 * PIECE / 4096 + 3, 4096)), None);
        let x = half((2, 4096)).unsqueeze(0).unwrap();
        let wide = |t: &Tensor| t.to_dtype(DType::F32).unwrap();
        let (found, exact) = (linear(&layer, &x, None, None).unwrap(), layer.forward(&x).unwrap());
        assert_eq!((found.dims(), found.dtype()), (exact.dims(), DType::BF16));
        let difference = (wide(&found) - wide(&exact)).unwrap().abs().unwrap().max_all().unwrap();
        // Sums of 4096 products, rounded to eight bits.
        assert!(difference.to_scalar::<f32>().unwrap() <= 2.0, "{difference}");
    }

    #[test]
    fn equals_the_operations_of_candle() {
        let normal = |shape: &[usize]| Tensor::randn(0f32, 1.0, shape, &Device::Cpu).unwrap();
        let residual = normal(&[3, 700, 37]);
        let inputs = [normal(&[3, 700, 11]), normal(&[3, 11, 700]).transpose(1, 2).unwrap()];
        for (x, bias) in inputs.into_iter().flat_map(|x| [(x.clone(), None), (x, Some(normal(&[37])))]) {
            let layer = Linear::new(normal(&[37, 11]), bias);
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
