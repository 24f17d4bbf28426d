//! Activations, elementwise. Errors against f64: below 4e-7 absolute for |x| up to 1, relative above.

use crate::layers::Activation;

/// Applies an activation in place.
#[inline(always)]
pub fn apply(activation: Activation, values: &mut [f32]) {
    match activation {
        Activation::QuickGelu => values.iter_mut().for_each(|x| *x /= 1.0 + exp(-1.702 * *x)),
        Activation::Gelu => {
            values.iter_mut().for_each(|x| *x *= 0.5 * (1.0 + erf(*x * std::f32::consts::FRAC_1_SQRT_2)))
        }
        // 0.5 (1 + tanh(y)) is 1 / (1 + exp(-2 y)).
        Activation::GeluTanh => values.iter_mut().for_each(|x| {
            let inner = 0.797_884_6 * (*x + 0.044_715 * *x * *x * *x);
            *x /= 1.0 + exp(-2.0 * inner);
        }),
        Activation::Relu => values.iter_mut().for_each(|x| *x = x.max(0.0)),
    }
}

/// The exponential, with a relative error below 2e-7; 0 below -87, and the exponential of 88 above that.
///
/// `x` is a whole number of ln 2 and a rest within half of it; the rest goes into a polynomial (that of Cephes' `expf`),
/// the number into the exponent.
#[inline(always)]
pub fn exp(x: f32) -> f32 {
    /// Adding and subtracting it rounds to the nearest whole number.
    const ROUND: f32 = 12_582_912.0;
    let inside = x.clamp(-87.0, 88.0);
    let rounded = inside * std::f32::consts::LOG2_E + ROUND;
    let number = rounded - ROUND;
    let rest = (inside - number * 0.693_359_4) - number * -2.121_944_4e-4;
    let mut p = 1.987_569_2e-4;
    for coefficient in [1.398_2e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 0.5] {
        p = p * rest + coefficient;
    }
    // The lowest bits of the rounded sum are the number as an integer.
    let power = f32::from_bits((rounded.to_bits() << 23).wrapping_add(127 << 23));
    let result = (p * rest * rest + rest + 1.0) * power;
    if x < -87.0 { 0.0 } else { result }
}

/// The error function (Abramowitz and Stegun 1964, 7.1.26), with an absolute error below 2e-7.
#[inline(always)]
fn erf(x: f32) -> f32 {
    let t = 1.0 / (1.0 + 0.327_591_1 * x.abs());
    let mut p = 1.061_405_4;
    for coefficient in [-1.453_152, 1.421_413_8, -0.284_496_74, 0.254_829_6] {
        p = p * t + coefficient;
    }
    (1.0 - p * t * exp(-x * x)).copysign(x)
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device, Tensor};

    use super::*;

    #[test]
    fn activations_equal_candles_in_f64() {
        let values: Vec<f32> = (-4000..=4000).map(|i| i as f32 * 0.01).collect();
        for activation in [Activation::QuickGelu, Activation::Gelu, Activation::GeluTanh, Activation::Relu] {
            let mut found = values.clone();
            apply(activation, &mut found);
            let exact = Tensor::new(&values[..], &Device::Cpu).unwrap().to_dtype(DType::F64).unwrap();
            let exact = activation.forward(&exact).unwrap().to_vec1::<f64>().unwrap();
            for ((x, found), exact) in values.iter().zip(found).zip(exact) {
                let difference = (f64::from(found) - exact).abs();
                assert!(difference <= 4e-7 * exact.abs().max(1.0), "{activation:?} of {x}: {found}, not {exact}");
            }
        }
    }

    #[test]
    fn the_exponential_is_that_of_the_library() {
        for i in -8700..=8800 {
            let x = i as f32 * 0.01;
            let (found, exact) = (f64::from(exp(x)), f64::from(x).exp());
            assert!((found / exact - 1.0).abs() < 3e-7, "exp({x}) is {found}, not {exact}");
        }
        assert_eq!((exp(f32::NEG_INFINITY), exp(-1e30)), (0.0, 0.0));
        assert!(exp(f32::NAN).is_nan());
    }
}
