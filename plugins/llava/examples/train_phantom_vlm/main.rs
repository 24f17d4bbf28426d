//! Trains the bundled model `phantom-vlm`: `cargo xtask train-phantom vlm [--out DIR] [--steps N] [--minutes M]`.
//!
//! A small LLaVA learns to answer questions on chest films and fundus photographs, and to report on them, from phantoms of
//! patients that no split of the bundled data set contains, plain findings first. Its vision tower is that of the bundled
//! `phantom-clip`, which knows what a finding looks like and stays as it is; projector and language model are new. Each
//! picture comes with its twin without the finding, and with several questions, which follow the picture side by side and do
//! not see each other: the picture is read once for all of them.

#![allow(clippy::print_stdout, reason = "a program reports its progress on its standard output")]

mod batch;
mod card;
mod evaluate;
mod files;
mod questions;

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use blocks::{
    decoder::{Decoder, Llama},
    image::ImageProcessor,
    layers::{Activation, linear},
    tokens::LanguageTokenizer,
    vision::Vit,
    weights::{Init, Weights},
};
use candle_core::{D, DType, Device, Tensor, Var};
use candle_nn::{AdamW, Linear, Module, Optimizer, ParamsAdamW, ops::log_softmax};
use llava::llava::keys::{HUB, TOWER};
use phantom::{Dice, Modality};

use crate::batch::{Batch, Batches, Score};

/// The modalities that the model learns; the others stay unseen.
const LEARNT: [Modality; 2] = [Modality::Chest, Modality::Fundus];
const SEED: u64 = 21;
const STEPS: usize = 1800;
const STEPS_PER_EPOCH: usize = 50;
const WARM_UP: f64 = 0.05;
const LEARNING_RATE: f64 = 3e-3;
/// Part of the training that shows plain findings only.
const PLAIN: f64 = 0.25;
/// Of the gradients of all variables together.
const LARGEST_NORM: f64 = 1.0;

fn main() -> Result<()> {
    let settings = Settings::parse(std::env::args().skip(1))?;
    let out = &settings.out;
    std::fs::create_dir_all(out).with_context(|| format!("cannot create {}", out.display()))?;
    let vocabulary = files::write(out, &questions::corpus())?;

    let trainer = Trainer::new(vocabulary, out)?;
    trainer.train(&settings)?;
    trainer.weights.save(&out.join("model.safetensors"), &HUB, DType::F16)?;

    let scores = Modality::ALL.map(|modality| evaluate::test(out, modality));
    let scores = scores.into_iter().collect::<Result<Vec<_>>>()?;
    let card = card::text(trainer.weights.parameters(), &scores);
    println!("{card}");
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
        let bundled = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("phantom-vlm");
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
    tower: Vit,
    projector: [Linear; 2],
    text: Llama,
    tokenizer: LanguageTokenizer,
    processor: ImageProcessor,
}

impl Trainer {
    fn new(vocabulary: usize, dir: &Path) -> Result<Self> {
        let weights = Weights::fresh(SEED, &Device::Cpu);
        let text = files::text(vocabulary)?;
        let tower = Vit::new(&files::tower(), &weights.at("vision"))?;
        let clip = Path::new(env!("CARGO_MANIFEST_DIR")).join("../contrastive/phantom-clip");
        let clip = Weights::open(&clip, &TOWER, DType::F32, &Device::Cpu)?;
        for (name, var) in weights.vars() {
            var.set(&clip.get(&name, var.dims(), Init::Constant(0.0))?)?;
        }
        clip.finish()?;
        let (input, width) = (files::FEATURE_LAYERS.len() * files::tower().encoder.width, text.hidden_size);
        let layer =
            |n: usize, input: usize| linear(&weights.at("projector").at(n), input, width, (input as f64).powf(-0.5));
        Ok(Self {
            tower,
            projector: [layer(0, input)?, layer(2, width)?],
            text: Llama::new(&text, &weights.at("text"))?,
            tokenizer: LanguageTokenizer::from_dir(dir, vocabulary)?,
            processor: ImageProcessor::from_dir(dir)?,
            weights,
        })
    }

    fn train(&self, settings: &Settings) -> Result<()> {
        let learnt = self.weights.vars().into_iter().filter(|(name, _)| !name.starts_with("vision."));
        let vars: Vec<Var> = learnt.map(|(_, var)| var).collect();
        let params = ParamsAdamW { beta2: 0.98, weight_decay: 0.05, ..Default::default() };
        let mut optimizer = AdamW::new(vars.clone(), params)?;
        let mut batches = Batches::new();
        let started = Instant::now();
        let (mut sum, mut score) = (0.0, Score::default());
        for step in 0..settings.steps {
            let limited = started.elapsed().as_secs_f64() / settings.limit.as_secs_f64();
            let done = limited.max(step as f64 / settings.steps as f64);
            if done >= 1.0 {
                break;
            }
            optimizer.set_learning_rate(LEARNING_RATE * schedule(done));
            let mut dice = Dice::new(u64::MAX - step as u64);
            let batch = batches.draw(&self.processor, &self.tokenizer, done < PLAIN, &mut dice)?;
            let logits = self.logits(&batch)?;
            let loss = batch.loss(&logits)?;
            let mut gradients = loss.backward()?;
            clip(&vars, &mut gradients)?;
            optimizer.step(&gradients)?;
            sum += f64::from(loss.to_scalar::<f32>()?);
            score.add(&batch, &logits)?;
            if (step + 1) % STEPS_PER_EPOCH == 0 || step + 1 == settings.steps {
                let mean = sum / (step % STEPS_PER_EPOCH + 1) as f64;
                let seconds = started.elapsed().as_secs_f64();
                println!("step {} loss {mean:.3} {seconds:.0} s, of new pictures right: {score}", step + 1);
                (sum, score) = (0.0, Score::default());
            }
        }
        Ok(())
    }

    /// Logits of the tokens of the answers, `[tokens, vocabulary]`.
    fn logits(&self, batch: &Batch) -> Result<Tensor> {
        let depth = files::tower().encoder.depth as i64 + 1;
        let states =
            files::FEATURE_LAYERS.iter().map(|layer| self.tower.hidden(&batch.pixels, (depth + layer) as usize, false));
        let states = Tensor::cat(&states.collect::<blocks::Result<Vec<_>>>()?, D::Minus1)?.detach();
        let hidden = Activation::Gelu.forward(&self.projector[0].forward(&states)?)?;
        let pictures = self.projector[1].forward(&hidden)?;

        let (count, _, width) = pictures.dims3()?;
        let embed = |ids: &[u32]| -> Result<Tensor> { Ok(self.text.embed(ids)?.reshape((count, (), width))?) };
        let before = embed(&batch.before.repeat(count))?;
        let embeddings = Tensor::cat(&[before, pictures, embed(&batch.branches)?], 1)?;
        let logits = self.text.train_with(&embeddings, &batch.packing, &batch.mask)?;
        Ok(logits.flatten_to(1)?.index_select(&batch.places, 0)?)
    }
}

/// Shrinks gradients whose common norm is too large.
fn clip(vars: &[Var], gradients: &mut candle_core::backprop::GradStore) -> Result<()> {
    let mut square = 0.0;
    for var in vars {
        if let Some(gradient) = gradients.get(var) {
            square += f64::from(gradient.sqr()?.sum_all()?.to_scalar::<f32>()?);
        }
    }
    let factor = LARGEST_NORM / square.sqrt().max(LARGEST_NORM);
    for var in vars.iter().filter(|_| factor < 1.0) {
        if let Some(gradient) = gradients.remove(var) {
            gradients.insert(var, (gradient * factor)?);
        }
    }
    Ok(())
}

/// Part of the learning rate: a linear rise, then half a cosine down to nothing.
fn schedule(done: f64) -> f64 {
    let rise = (done / WARM_UP).min(1.0);
    rise * 0.5 * (1.0 + (std::f64::consts::PI * done).cos())
}

impl Batch {
    /// Cross entropy of the answers' tokens. An answer counts by the root of its length, so that reports do not outweigh yes
    /// and no.
    fn loss(&self, logits: &Tensor) -> Result<Tensor> {
        let right = log_softmax(logits, D::Minus1)?.gather(&self.targets.unsqueeze(1)?, 1)?.squeeze(1)?;
        Ok(((right * &self.shares)?.sum_all()?.neg()? / f64::from(self.shares.sum_all()?.to_scalar::<f32>()?))?)
    }
}
