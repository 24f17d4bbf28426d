//! Rotary position embedding (Su et al. 2021); reference `transformers.modeling_rope_utils`, 4.53.1.

use candle_core::{DType, Device, Tensor};

use super::{Packing, RopeScaling};
use crate::Result;

/// Frequencies of the pairs of a head.
///
/// Angles are always computed in f32: in bf16, positions above 256 collapse.
pub struct Rotary {
    frequencies: Vec<f32>,
    /// The axis that each frequency follows: time, height or width.
    axes: Vec<usize>,
}

/// Cosines and sines of the tokens of one call, each `[tokens, head / 2]` in f32.
pub struct Angles {
    /// Cosines.
    pub cos: Tensor,
    /// Sines.
    pub sin: Tensor,
}

impl Rotary {
    /// Frequencies `theta^(-2 i / head)`, scaled as asked.
    pub fn new(head: usize, theta: f64, scaling: Option<&RopeScaling>) -> Self {
        // As the reference: powers in f32.
        let plain = (0..head / 2).map(|i| 1.0 / (theta as f32).powf((2 * i) as f32 / head as f32));
        let frequencies = plain.map(|frequency| scaling.map_or(frequency, |scaling| scaling.scale(frequency)));
        let axes = scaling.map_or_else(|| vec![0; head / 2], |scaling| scaling.axes(head / 2));
        Self { frequencies: frequencies.collect(), axes }
    }

    /// Angles of the tokens of a packing.
    ///
    /// # Errors
    /// None but those of the device.
    pub fn angles(&self, packing: &Packing, device: &Device) -> Result<Angles> {
        let angle = |position: &[u32; 3]| {
            let position = *position;
            self.frequencies.iter().zip(&self.axes).map(move |(frequency, &axis)| position[axis] as f32 * frequency)
        };
        let angles: Vec<f32> = packing.positions().iter().flat_map(angle).collect();
        let shape = (packing.tokens(), self.frequencies.len());
        let table = |of: fn(f32) -> f32| -> Result<Tensor> {
            Ok(Tensor::from_vec(angles.iter().copied().map(of).collect(), shape, device)?)
        };
        Ok(Angles { cos: table(f32::cos)?, sin: table(f32::sin)? })
    }
}

impl Angles {
    /// Turns the heads of `x`, `[tokens, heads, head]`; differentiable, in the number format of `x`.
    ///
    /// # Errors
    /// Shapes do not agree.
    pub fn turn(&self, x: &Tensor) -> Result<Tensor> {
        let dtype: DType = x.dtype();
        let half = x.dim(2)? / 2;
        let (cos, sin) = (self.cos.to_dtype(dtype)?.unsqueeze(1)?, self.sin.to_dtype(dtype)?.unsqueeze(1)?);
        let (left, right) = (x.narrow(2, 0, half)?, x.narrow(2, half, half)?);
        let turned_left = (left.broadcast_mul(&cos)? - right.broadcast_mul(&sin)?)?;
        let turned_right = (right.broadcast_mul(&cos)? + left.broadcast_mul(&sin)?)?;
        Ok(Tensor::cat(&[turned_left, turned_right], 2)?)
    }
}
