//! Throughput of CLIP's ViT-B/32 at 224 pixels with random weights, in images per second.
//!
//! `cargo bench -p blocks --bench vit`; add `--features cuda` for a GPU, which is then measured as well.

use std::{hint::black_box, time::Duration};

use blocks::{
    layers::{Activation, EncoderConfig},
    vision::{Vit, VitConfig},
    weights::Weights,
};
use candle_core::{Device, Tensor};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

fn vit_b32() -> VitConfig {
    let activation = Activation::QuickGelu;
    VitConfig {
        encoder: EncoderConfig { width: 768, depth: 12, heads: 12, mlp: 3072, activation, eps: 1e-5, fused_qkv: true },
        image_size: 224,
        patch: 32,
        channels: 3,
        class_token: true,
        pre_norm: true,
        patch_bias: false,
    }
}

fn throughput(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("vit-b32-224");
    group.sample_size(10).measurement_time(Duration::from_secs(10));
    let mut cases = vec![(Device::Cpu, "cpu", vec![1, 16])];
    cases.extend(Device::new_cuda(0).ok().map(|device| (device, "cuda", vec![1, 64])));
    for (device, name, batches) in cases {
        let vit = Vit::new(&vit_b32(), &Weights::fresh(1, &device)).expect("a model of random weights");
        for batch in batches {
            let pixels = Tensor::randn(0f32, 1.0, (batch, 3, 224, 224), &device).expect("pixels");
            group.throughput(Throughput::Elements(batch as u64));
            group.bench_with_input(BenchmarkId::new(name, batch), &pixels, |bencher, pixels| {
                bencher.iter(|| {
                    let states = vit.class_state(black_box(pixels), false).expect("a forward pass");
                    device.synchronize().expect("a device that answers");
                    states
                });
            });
        }
    }
    group.finish();
}

criterion_group!(benches, throughput);
criterion_main!(benches);
