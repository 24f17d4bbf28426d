use candle_core::{DType, Device, Tensor};
use candle_nn::{Linear, ops};

use crate::{
    decoder::{CacheLayer, Packing, Rotary, Span, Together},
    kernels::{self, Heads},
    layers::Activation,
};

/// The device, unless there is none.
fn device() -> Option<Device> {
    let device = Device::new_cuda(0).ok();
    if device.is_none() {
        println!("skipped: there is no CUDA device");
    }
    device
}

fn normal(shape: &[usize], dtype: DType) -> Tensor {
    Tensor::randn(0f32, 1.0, shape, &Device::Cpu).unwrap().to_dtype(dtype).unwrap()
}

/// What a function computes on the device against f64 on the CPU, for inputs that are rounded alike.
fn compare(what: &str, inputs: &[Tensor], tolerance: f64, compute: impl Fn(&[Tensor]) -> Tensor) {
    let Some(device) = device() else { return };
    let there: Vec<_> = inputs.iter().map(|t| t.to_device(&device).unwrap()).collect();
    let here: Vec<_> = inputs.iter().map(|t| t.to_dtype(DType::F64).unwrap()).collect();
    let found = compute(&there).to_device(&Device::Cpu).unwrap().to_dtype(DType::F64).unwrap();
    let expected = compute(&here);
    let difference = (found - &expected).unwrap().abs().unwrap().max_all().unwrap().to_scalar::<f64>().unwrap();
    let largest = expected.abs().unwrap().max_all().unwrap().to_scalar::<f64>().unwrap();
    assert!(difference <= tolerance * largest, "{what}: {difference} of {largest}");
}

/// Formats and the relative error of their roundings.
const FORMATS: [(DType, f64); 3] = [(DType::F32, 1e-5), (DType::F16, 4e-3), (DType::BF16, 3e-2)];

#[test]
fn linear_layers_norms_and_gates() {
    for (dtype, tolerance) in FORMATS {
        let inputs =
            [normal(&[5, 70, 40], dtype), normal(&[48, 40], dtype), normal(&[48], dtype), normal(&[5, 70, 48], dtype)];
        for activation in [None, Some(Activation::QuickGelu), Some(Activation::Gelu), Some(Activation::GeluTanh)] {
            for (bias, residual) in [(false, false), (true, false), (false, true), (true, true)] {
                compare(&format!("{dtype:?} {activation:?} {bias} {residual}"), &inputs, tolerance, |t| {
                    let layer = Linear::new(t[1].clone(), bias.then(|| t[2].clone()));
                    kernels::linear(&layer, &t[0], activation, residual.then_some(&t[3])).unwrap()
                });
            }
        }
        for (rows, input, output) in [(1, 4096, 30), (3, 40, 77), (4, 1032, 9)] {
            let inputs = [normal(&[rows, input], dtype), normal(&[output, input], dtype)];
            compare("few rows", &inputs, tolerance, |t| {
                kernels::linear(&Linear::new(t[1].clone(), None), &t[0], None, None).unwrap()
            });
        }
        for width in [40, 1032, 4096] {
            let inputs = [normal(&[3, 7, width], dtype), normal(&[width], dtype), normal(&[width], dtype)];
            // candle's own norms do not compute in f64.
            compare("layer norm", &inputs, tolerance, |t| match t[0].dtype() {
                DType::F64 => ops::layer_norm_slow(&t[0], &t[1], &t[2], 1e-5).unwrap(),
                _ => kernels::layer_norm(&t[0], &t[1], &t[2], 1e-5).unwrap(),
            });
            compare("root mean square", &inputs, tolerance, |t| match t[0].dtype() {
                DType::F64 => ops::rms_norm_slow(&t[0], &t[1], 1e-5).unwrap(),
                _ => kernels::rms_norm(&t[0], &t[1], 1e-5).unwrap(),
            });
        }
        compare("gate", &[normal(&[33, 96], dtype)], tolerance, |t| kernels::gate(&t[0]).unwrap());
    }
}

#[test]
fn attention_within_images() {
    for (dtype, tolerance) in FORMATS {
        for (batch, tokens, heads, head) in
            [(2, 577, 3, 64), (3, 65, 2, 72), (1, 300, 2, 64), (1, 257, 2, 88), (2, 50, 1, 128), (1, 7, 2, 16)]
        {
            let name = format!("{dtype:?} {tokens} tokens, heads of {head}");
            compare(&name, &[normal(&[batch, tokens, 3 * heads * head], dtype)], tolerance, |t| {
                kernels::attention(&t[0], heads, (head as f64).powf(-0.5)).unwrap()
            });
        }
    }
}

#[test]
fn attention_to_a_cache() {
    let spans = vec![
        Span { slot: 2, cached: 5, count: 140 },
        Span { slot: 0, cached: 163, count: 1 },
        Span { slot: 1, cached: 0, count: 3 },
    ];
    let together = Together { blocks: vec![3..90, 100..101], reach: 10 };
    for (dtype, tolerance) in FORMATS {
        for (queries, keys, head, window) in
            [(4, 4, 64, None), (6, 2, 128, None), (6, 3, 80, Some(37)), (4, 1, 256, None)]
        {
            let (row, width) = ((queries + 2 * keys) * head, keys * head);
            let joint = normal(&[144, row], dtype);
            let cache = normal(&[3 * 170, width], dtype);
            compare(&format!("{dtype:?} heads of {head}"), &[joint, cache], tolerance, |t| {
                let packing = Packing::new(spans.clone()).seeing_each_other(0, together.clone());
                let layer = CacheLayer { keys: t[1].copy().unwrap(), values: t[1].copy().unwrap(), capacity: 170 };
                let joint = t[0].copy().unwrap();
                let angles = Rotary::new(head, 1e4, None).angles(&packing, joint.device()).unwrap();
                let joint = kernels::rotate(joint, queries + keys, &angles).unwrap();
                kernels::append(&layer, &joint, &packing).unwrap();
                let heads = Heads { queries, keys, scale: (head as f64).powf(-0.5), window };
                kernels::attend(&joint, &layer, &packing, heads).unwrap()
            });
        }
    }
}
