//! A decoder beside PyTorch on the same weights and machine, in the same run: prompts read, and tokens written after them.
//!
//!     MEDVLM_BENCH_WEIGHTS=DIR MEDVLM_PYTHON=/path/to/python cargo bench --package blocks --bench decoder
//!
//! `DIR` holds a LLaMA as transformers writes it; `python benches/decoder.py make DIR` makes one of 7B random weights. The
//! interpreter needs `torch` and `transformers`; without one, only our speed is shown. Words after `--` choose cases that
//! hold one of them. `MEDVLM_BENCH_DEVICE` is `cpu` or, in a build with the feature `cuda`, `cuda:N`, `MEDVLM_BENCH_DTYPE`
//! `f32`, `bf16` or `f16`. On CUDA, PyTorch compiles its step as well. Rounds alternate; the ratio is that of the medians.

#![allow(clippy::print_stdout, reason = "a bench prints what it measured")]

use std::{
    env, fs,
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    time::Instant,
};

use blocks::{
    decoder::{Cache, Decoder, Llama, LlamaConfig, Packing, Span},
    device::{device, dtype},
    weights::Weights,
};
use candle_core::{D, Device, Tensor};

const ROUNDS: usize = 5;

/// What to do, with how many sequences of how many tokens, and how many steps.
struct Case {
    what: &'static str,
    batch: usize,
    tokens: usize,
    steps: usize,
}

fn main() {
    let setting = |name: &str, default: &str| env::var(name).unwrap_or_else(|_| default.into());
    let place = [setting("MEDVLM_BENCH_DEVICE", "cpu"), setting("MEDVLM_BENCH_DTYPE", "f32")];
    let dir = PathBuf::from(env::var_os("MEDVLM_BENCH_WEIGHTS").expect("MEDVLM_BENCH_WEIGHTS names a checkpoint"));
    let (device, dtype) = (device(&place[0]).expect("a device"), dtype(&place[1]).expect("a number format"));
    let start = Instant::now();
    let weights = Weights::open(&dir, &Llama::NAMES, dtype, &device).expect("a checkpoint");
    let model = Llama::new(&config(&dir), &weights).expect("a decoder");
    device.synchronize().expect("a device that is done");
    println!("{:.1e} parameters read in {:.1} s", weights.parameters() as f64, start.elapsed().as_secs_f64());

    let mut peer = Peer::start(&dir, &place);
    let long = if device.is_cpu() { 100 } else { 640 };
    let case = |what, batch| Case { what, batch, tokens: long, steps: 64 };
    let wanted: Vec<String> = env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    for case in [case("prefill", 1), case("prefill", 16), case("decode", 1), case("decode", 16)] {
        let name = format!("{} batch {}", case.what, case.batch);
        if !wanted.is_empty() && !wanted.iter().any(|word| name.contains(word)) {
            continue;
        }
        let work = || seconds(&model, &case, &device);
        work();
        if let Some(peer) = &mut peer {
            peer.seconds(case.what, &case);
        }
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            ours.push(work());
            theirs.extend(peer.as_mut().map(|peer| peer.seconds(case.what, &case)));
        }
        let ours = median(ours);
        let mut line = format!("{name}: {}", case.speed(ours));
        if !theirs.is_empty() {
            let theirs = median(theirs);
            line += &format!(", PyTorch {}, ratio {:.2}", case.speed(theirs), theirs / ours);
        }
        if let (Some(peer), "decode", false) = (&mut peer, case.what, device.is_cpu()) {
            let compiled = peer.seconds("compiled_decode", &case);
            line += &format!(", compiled {}, ratio {:.2}", case.speed(compiled), compiled / ours);
        }
        println!("{line}");
    }
}

impl Case {
    fn speed(&self, seconds: f64) -> String {
        match self.what {
            "prefill" => {
                format!("{:.1} ms ({:.0} tokens/s)", 1e3 * seconds, (self.batch * self.tokens) as f64 / seconds)
            }
            _ => {
                let tokens = (self.batch * self.steps) as f64 / seconds;
                format!("{:.2} ms a step ({tokens:.0} tokens/s)", 1e3 * seconds / self.steps as f64)
            }
        }
    }
}

fn config(dir: &Path) -> LlamaConfig {
    let raw = fs::read_to_string(dir.join("config.json")).expect("a configuration");
    let raw: serde_json::Value = serde_json::from_str(&raw).expect("JSON");
    LlamaConfig::parse("llama", raw.as_object().expect("an object")).expect("a LLaMA")
}

/// Seconds of one case; what a step reads before it is not counted.
fn seconds(model: &Llama, case: &Case, device: &Device) -> f64 {
    let Case { what, batch, tokens, steps } = *case;
    let (_, dtype) = model.placement();
    let mut cache = Cache::new(model.cache_shape(), batch, tokens + steps, device, dtype).expect("memory for a cache");
    let ids: Vec<u32> = (0..batch * tokens).map(|n| n as u32 % 31000).collect();
    device.synchronize().expect("a device that is done");
    let start = Instant::now();
    let mut packing = Packing::new((0..batch).map(|slot| Span { slot, cached: 0, count: tokens }).collect());
    let states = model.forward(&model.embed(&ids).expect("ids"), &packing, &mut cache).expect("a forward pass");
    let last = Tensor::new(packing.last(), device).and_then(|last| states.index_select(&last, 0)).expect("states");
    drop(model.logits(&last).expect("logits"));
    device.synchronize().expect("a device that is done");
    if what == "prefill" {
        return start.elapsed().as_secs_f64();
    }
    let mut ids: Vec<u32> = (0..batch as u32).collect();
    let start = Instant::now();
    for step in 0..steps {
        packing = Packing::new((0..batch).map(|slot| Span { slot, cached: tokens + step, count: 1 }).collect());
        let states = model.forward(&model.embed(&ids).expect("ids"), &packing, &mut cache).expect("a forward pass");
        let logits = model.logits(&states).expect("logits");
        ids = logits.argmax(D::Minus1).and_then(|ids| ids.to_vec1()).expect("ids");
    }
    start.elapsed().as_secs_f64()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// PyTorch in a process of its own, which answers a line with seconds.
struct Peer {
    child: Child,
    requests: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Peer {
    fn start(dir: &Path, place: &[String; 2]) -> Option<Self> {
        let python = env::var_os("MEDVLM_PYTHON")?;
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/decoder.py");
        let script = env::var_os("MEDVLM_BENCH_SCRIPT").unwrap_or_else(|| script.into());
        let command = &mut Command::new(python);
        let command = command.arg(script).arg(dir).args(place).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("the interpreter starts");
        let pipes = child.stdin.take().zip(child.stdout.take());
        let (requests, answers) = pipes.expect("both were asked for");
        Some(Self { child, requests, answers: BufReader::new(answers) })
    }

    fn seconds(&mut self, what: &str, case: &Case) -> f64 {
        writeln!(self.requests, "{what} {} {} {}", case.batch, case.tokens, case.steps).expect("PyTorch listens");
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
