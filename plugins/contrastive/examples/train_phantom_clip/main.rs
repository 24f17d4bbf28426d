//! Trains the bundled model `phantom-clip`: `cargo xtask train-phantom clip [--out DIR] [--steps N] [--minutes M]`.
//!
//! A small CLIP learns from chest and fundus phantoms of patients that no split of the bundled data set contains, plain
//! findings first. Each picture comes with its twin, the same picture without the finding, so that a batch differs in
//! nothing but what is to be learnt. Three losses are summed: each picture must find its caption among those of the
//! batch, and the prompt of its class out of two; and each patch must tell whether the finding touches it, through a
//! head that is thrown away. Twins and patches let the tower learn in minutes what pictures alone did not teach it.

#![allow(clippy::print_stdout, reason = "a program reports its progress on its standard output")]

mod batch;
mod card;
mod evaluate;
mod tokenizer;
mod words;

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use blocks::{
    image::ImageProcessor,
    layers::{Norm, linear, projection},
    tokens::ClipTokenizer,
    weights::Weights,
};
use candle_core::{D, DType, Device, Tensor, Var};
use candle_nn::{AdamW, Linear, Module, Optimizer, ParamsAdamW, loss::cross_entropy};
use contrastive::clip::{ClipConfig, ClipModel, NAMES, TextConfig, VisionConfig, normalize};
use contrastive::dual::Joint;
use phantom::{Dice, Modality, SIDE, Split};

use crate::{
    batch::{Batch, Batches},
    evaluate::Evaluation,
};

/// The modalities that the model learns; the others stay unseen.
const LEARNT: [Modality; 2] = [Modality::Chest, Modality::Fundus];
const SEED: u64 = 20;
const PATCH: usize = 10;
const CONTEXT: usize = 32;
const STEPS: usize = 2100;
const STEPS_PER_EPOCH: usize = 150;
const WARM_UP: f64 = 0.05;
const LEARNING_RATE: f64 = 1.5e-3;
/// Part of the training that shows plain findings only.
const PLAIN: f64 = 0.3;
const LOCALISATION: f64 = 10.0;

fn main() -> Result<()> {
    let settings = Settings::parse(std::env::args().skip(1))?;
    let out = &settings.out;
    std::fs::create_dir_all(out).with_context(|| format!("cannot create {}", out.display()))?;
    let vocabulary = tokenizer::write(out, &words::corpus())?;
    write_json(&out.join("preprocessor_config.json"), &preprocessor())?;
    let config = config(vocabulary);
    write_json(&out.join("config.json"), &with_class_name(&config)?)?;

    let trainer = Trainer::new(&config, out)?;
    trainer.train(&settings)?;
    trainer.weights.save(&out.join("model.safetensors"), &NAMES, DType::F16)?;

    let model = ClipModel::new(&config, &Weights::open(out, &NAMES, DType::F32, &Device::Cpu)?)?;
    let results = Modality::ALL
        .map(|modality| Evaluation::new(modality, Split::Test, &trainer.processor)?.auroc(&model, &trainer.tokenizer));
    let results = results.into_iter().collect::<Result<Vec<f64>>>()?;
    for (modality, auroc) in Modality::ALL.iter().zip(&results) {
        println!("test AUROC {}: {auroc:.3}", modality.word());
    }
    let card = card::text(trainer.weights.parameters(), &results);
    std::fs::write(out.join("README.md"), card).context("cannot write the model card")
}

/// What the command line says.
struct Settings {
    out: PathBuf,
    steps: usize,
    limit: Duration,
}

impl Settings {
    fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Self> {
        let bundled = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("phantom-clip");
        let mut settings = Self { out: bundled, steps: STEPS, limit: Duration::MAX };
        while let Some(name) = arguments.next() {
            let value = arguments.next().with_context(|| format!("`{name}` needs a value"))?;
            match name.as_str() {
                "--out" => settings.out = value.into(),
                "--steps" => settings.steps = value.parse().with_context(|| format!("`{value}` is no number"))?,
                "--minutes" => {
                    let minutes: f64 = value.parse().with_context(|| format!("`{value}` is no number"))?;
                    settings.limit = Duration::try_from_secs_f64(60.0 * minutes)?;
                }
                _ => bail!("unknown option `{name}`; known are --out, --steps and --minutes"),
            }
        }
        ensure!(settings.steps > 0, "--steps must be at least 1");
        Ok(settings)
    }
}

struct Trainer {
    weights: Weights,
    model: ClipModel,
    /// Vision tower's last norm and projection, and the head of the patches: they share the model's variables.
    norm: Norm,
    projection: Linear,
    patch_head: Linear,
    patch_vars: Vec<Var>,
    tokenizer: ClipTokenizer,
    processor: ImageProcessor,
}

impl Trainer {
    fn new(config: &ClipConfig, dir: &Path) -> Result<Self> {
        let weights = Weights::fresh(SEED, &Device::Cpu);
        let model = ClipModel::new(config, &weights)?;
        let tower = weights.at("vision");
        let width = config.vision_config.hidden_size;
        let scratch = Weights::fresh(SEED, &Device::Cpu);
        Ok(Self {
            norm: Norm::new(&tower.at("post_norm"), width, config.vision_config.layer_norm_eps)?,
            projection: projection(&tower.at("projection"), width, config.projection_dim, 0.0)?,
            patch_head: linear(&scratch, width, 1, 0.02)?,
            patch_vars: scratch.vars().into_iter().map(|(_, var)| var).collect(),
            tokenizer: ClipTokenizer::from_dir(dir, CONTEXT, config.text_config.vocab_size)?,
            processor: ImageProcessor::from_dir(dir)?,
            model,
            weights,
        })
    }

    fn train(&self, settings: &Settings) -> Result<()> {
        let vars = self.weights.vars().into_iter().map(|(_, var)| var).chain(self.patch_vars.iter().cloned());
        let params = ParamsAdamW { beta2: 0.98, weight_decay: 0.05, ..Default::default() };
        let mut optimizer = AdamW::new(vars.collect(), params)?;
        let mut batches = Batches::new();
        let validation = LEARNT
            .iter()
            .map(|&modality| Evaluation::new(modality, Split::Validation, &self.processor))
            .collect::<Result<Vec<_>>>()?;
        let started = Instant::now();
        let mut sum = 0.0;
        for step in 0..settings.steps {
            let limited = started.elapsed().as_secs_f64() / settings.limit.as_secs_f64();
            let done = limited.max(step as f64 / settings.steps as f64);
            if done >= 1.0 {
                break;
            }
            optimizer.set_learning_rate(LEARNING_RATE * schedule(done));
            let batch = batches.draw(&self.processor, done < PLAIN, &mut Dice::new(u64::MAX - step as u64))?;
            let loss = self.loss(&batch)?;
            optimizer.backward_step(&loss)?;
            sum += f64::from(loss.to_scalar::<f32>()?);
            if (step + 1) % STEPS_PER_EPOCH == 0 || step + 1 == settings.steps {
                let mean = sum / (step % STEPS_PER_EPOCH + 1) as f64;
                sum = 0.0;
                print!("step {} loss {mean:.3} {:.0} s, validation AUROC", step + 1, started.elapsed().as_secs_f64());
                for (evaluation, modality) in validation.iter().zip(LEARNT) {
                    print!(" {} {:.3}", modality.word(), evaluation.auroc(&self.model, &self.tokenizer)?);
                }
                println!();
            }
        }
        Ok(())
    }

    fn loss(&self, batch: &Batch) -> Result<Tensor> {
        let vision = self.model.vision();
        let states = vision.hidden(&batch.pixels, vision.config().encoder.depth, true)?;
        let class = self.norm.forward(&states.narrow(1, 0, 1)?.squeeze(1)?, true)?;
        let images = normalize(&self.projection.forward(&class)?)?;

        let texts = [batch.captions.as_slice(), &batch.prompts].concat();
        let texts = normalize(&self.model.text_features(&self.tokenizer.encode(&texts)?, true)?)?;
        let captions = texts.narrow(0, 0, texts.dim(0)? - 2 * LEARNT.len())?;
        let mut loss = cross_entropy(&self.model.logits(&images, &captions)?, &batch.caption)?;

        let rows = images.dim(0)? / LEARNT.len();
        for modality in 0..LEARNT.len() {
            let images = images.narrow(0, modality * rows, rows)?;
            let prompts = texts.narrow(0, captions.dim(0)? + 2 * modality, 2)?;
            let class = batch.class.narrow(0, modality * rows, rows)?;
            loss = (loss + cross_entropy(&self.model.logits(&images, &prompts)?, &class)?)?;
        }
        let patches = states.narrow(1, 1, states.dim(1)? - 1)?;
        let touched = self.patch_head.forward(&patches)?.squeeze(D::Minus1)?;
        Ok((loss + (LOCALISATION * patch_loss(&touched, &batch.touched)?)?)?)
    }
}

/// Binary cross entropy of logits; the few patches that are touched count threefold.
fn patch_loss(logits: &Tensor, touched: &Tensor) -> Result<Tensor> {
    let soft = (logits.abs()?.neg()?.exp()? + 1.0)?.log()?;
    let loss = ((logits.relu()? - (logits * touched)?)? + soft)?;
    Ok((loss * ((touched * 2.0)? + 1.0)?)?.mean_all()?)
}

/// Part of the learning rate: a linear rise, then half a cosine down to nothing.
fn schedule(done: f64) -> f64 {
    let rise = (done / WARM_UP).min(1.0);
    rise * 0.5 * (1.0 + (std::f64::consts::PI * done).cos())
}

fn config(vocabulary: usize) -> ClipConfig {
    ClipConfig {
        projection_dim: 64,
        vision_config: VisionConfig {
            hidden_size: 96,
            intermediate_size: 384,
            num_hidden_layers: 3,
            num_attention_heads: 4,
            image_size: SIDE,
            patch_size: PATCH,
            ..Default::default()
        },
        text_config: TextConfig {
            vocab_size: vocabulary,
            hidden_size: 64,
            intermediate_size: 256,
            num_hidden_layers: 2,
            num_attention_heads: 2,
            max_position_embeddings: CONTEXT,
            eos_token_id: vocabulary as u32 - 1,
            ..Default::default()
        },
        ..Default::default()
    }
}

fn with_class_name(config: &ClipConfig) -> Result<serde_json::Value> {
    let mut value = serde_json::to_value(config)?;
    value["architectures"] = serde_json::json!(["CLIPModel"]);
    Ok(value)
}

fn preprocessor() -> serde_json::Value {
    serde_json::json!({
        "image_processor_type": "CLIPImageProcessor",
        "do_convert_rgb": true,
        "do_resize": true,
        "size": { "shortest_edge": SIDE },
        "resample": 3,
        "do_center_crop": true,
        "crop_size": { "height": SIDE, "width": SIDE },
        "do_rescale": true,
        "rescale_factor": 1.0 / 255.0,
        "do_normalize": true,
        "image_mean": [0.48145466, 0.4578275, 0.40821073],
        "image_std": [0.26862954, 0.26130258, 0.27577711],
    })
}

fn write_json(path: &Path, value: &serde_json::Value) -> Result<()> {
    let text = serde_json::to_string_pretty(value)? + "\n";
    std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}
