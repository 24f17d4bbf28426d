//! Features of CLIP's vision towers with random weights, beside PyTorch on the same machine in the same run.
//!
//!     MEDVLM_PYTHON=/path/to/python cargo bench --package blocks --bench vit
//!
//! Words after `--` choose cases that hold one of them, such as `L/14`. `MEDVLM_BENCH_DEVICE` is `cpu` or, in a build with
//! the feature `cuda`, `cuda:N`, `MEDVLM_BENCH_DTYPE` `f32`, `bf16` or `f16`. The interpreter needs `torch`; without one, only
//! our speed is shown. `RAYON_NUM_THREADS` sets the cores of both. Rounds alternate, so that other load on the machine
//! meets both alike; the ratio is that of the medians.

#![allow(clippy::print_stdout, reason = "a bench prints what it measured")]

use std::{
    env,
    io::{BufRead, BufReader, Write},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    time::Instant,
};

use blocks::{
    device::{device, dtype},
    layers::{Activation, EncoderConfig},
    vision::{Vit, VitConfig},
    weights::{Names, Weights},
};
use candle_core::{DType, Device, Tensor};

const ROUNDS: usize = 5;
const NAMES: Names = Names { rename: &[], ignore: &[] };

/// Name, configuration, images in a batch.
fn cases() -> Vec<(&'static str, VitConfig, usize)> {
    let vit = |image_size, patch, width, depth| VitConfig {
        encoder: EncoderConfig {
            width,
            depth,
            heads: width / 64,
            mlp: 4 * width,
            activation: Activation::QuickGelu,
            eps: 1e-5,
            fused_qkv: true,
        },
        image_size,
        patch,
        channels: 3,
        class_token: true,
        pre_norm: true,
        patch_bias: false,
    };
    vec![
        ("ViT-B/32-224", vit(224, 32, 768, 12), 1),
        ("ViT-B/32-224", vit(224, 32, 768, 12), 32),
        ("ViT-L/14-336", vit(336, 14, 1024, 24), 1),
        ("ViT-L/14-336", vit(336, 14, 1024, 24), 4),
        ("ViT-B/32-224", vit(224, 32, 768, 12), 64),
        ("ViT-L/14-336", vit(336, 14, 1024, 24), 64),
    ]
}

/// A tower of random weights, by way of a file, so that it is read as a checkpoint is.
fn tower(config: &VitConfig, device: &Device, dtype: DType) -> Vit {
    let dir = tempfile::tempdir().expect("a folder");
    let weights = Weights::fresh(1, &Device::Cpu);
    Vit::new(config, &weights).expect("a model of random weights");
    weights.save(&dir.path().join("model.safetensors"), &NAMES, dtype).expect("a checkpoint");
    let weights = Weights::open(dir.path(), &NAMES, dtype, device).expect("a checkpoint");
    Vit::new(config, &weights).expect("the same model")
}

fn main() {
    let setting = |name: &str, default: &str| env::var(name).unwrap_or_else(|_| default.into());
    let place = [setting("MEDVLM_BENCH_DEVICE", "cpu"), setting("MEDVLM_BENCH_DTYPE", "f32")];
    let (device, dtype) = (device(&place[0]).expect("a device"), dtype(&place[1]).expect("a number format"));
    let mut peer = Peer::start(&place);
    let wanted: Vec<String> = env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    for (name, config, batch) in cases() {
        let name = format!("{name} batch {batch}");
        if !wanted.is_empty() && !wanted.iter().any(|word| name.contains(word)) {
            continue;
        }
        let vit = tower(&config, &device, dtype);
        let shape = (batch, 3, config.image_size, config.image_size);
        let pixels = Tensor::randn(0f32, 1.0, shape, &device).and_then(|p| p.to_dtype(dtype)).expect("pixels");
        let mut features = || {
            vit.class_state(&pixels, false).expect("a forward pass");
            device.synchronize().expect("a device that is done");
        };
        features();
        if let Some(peer) = &mut peer {
            peer.seconds(&config, batch);
        }
        let (mut ours, mut theirs, mut products) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            ours.push(seconds(&mut features));
            theirs.extend(peer.as_mut().map(|peer| peer.seconds(&config, batch)));
            products.push(linear_products(&config, batch, &device, dtype));
        }
        let (ours, products) = (median(ours), median(products));
        let beside = match theirs.is_empty() {
            true => "no PyTorch".to_string(),
            false => {
                let theirs = median(theirs);
                format!("PyTorch {:.2}, ratio {:.2}", batch as f64 / theirs, theirs / ours)
            }
        };
        let (speed, share) = (batch as f64 / ours, 100.0 * products / ours);
        println!(
            "{name}: {speed:.2} images/s, {beside}; the matrix products of the linear layers alone take {share:.0} % of our time"
        );
    }
}

/// Seconds of the linear layers' products, without biases and all else.
fn linear_products(config: &VitConfig, batch: usize, device: &Device, dtype: DType) -> f64 {
    let (rows, width, mlp) = (batch * config.tokens(), config.encoder.width, config.encoder.mlp);
    let shapes = [(width, 3 * width), (width, width), (width, mlp), (mlp, width)];
    let ones = |rows, columns| Tensor::ones((rows, columns), dtype, device).expect("a matrix");
    let pairs = shapes.map(|(input, output)| (ones(rows, input), ones(input, output)));
    seconds(&mut || {
        for _ in 0..config.encoder.depth {
            pairs.iter().for_each(|(x, w)| drop(x.matmul(w).expect("a product")));
        }
        device.synchronize().expect("a device that is done");
    })
}

fn seconds(work: &mut dyn FnMut()) -> f64 {
    let start = Instant::now();
    work();
    start.elapsed().as_secs_f64()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// PyTorch in a process of its own, which answers a line that describes a tower with the seconds of one pass.
struct Peer {
    child: Child,
    requests: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Peer {
    fn start(place: &[String; 2]) -> Option<Self> {
        let python = env::var_os("MEDVLM_PYTHON")?;
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/vit.py");
        let script = env::var_os("MEDVLM_BENCH_SCRIPT").unwrap_or_else(|| script.into());
        let threads = env::var("RAYON_NUM_THREADS")
            .unwrap_or_else(|_| std::thread::available_parallelism().map_or(1, usize::from).to_string());
        let command = &mut Command::new(python);
        let command = command.arg(script).arg(threads).args(place).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("the interpreter starts");
        let pipes = child.stdin.take().zip(child.stdout.take());
        let (requests, answers) = pipes.expect("both were asked for");
        Some(Self { child, requests, answers: BufReader::new(answers) })
    }

    fn seconds(&mut self, config: &VitConfig, batch: usize) -> f64 {
        let EncoderConfig { width, depth, heads, .. } = config.encoder;
        let VitConfig { image_size, patch, .. } = config;
        writeln!(self.requests, "{image_size} {patch} {width} {depth} {heads} {batch}").expect("PyTorch listens");
        let mut line = String::new();
        self.answers.read_line(&mut line).expect("PyTorch answers");
        line.trim().parse().expect("seconds")
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        drop(self.child.kill().and_then(|()| self.child.wait()));
    }
}
