//! Batches to answers: decoded ahead, predicted as a whole, and one by one where that fails.

use std::{
    sync::{Arc, Mutex, mpsc},
    thread,
};

use plugin_api::{Decoding, Error as PluginError, ErrorKind, Image, client, message::ZeroShot};
use rayon::prelude::*;

use super::{generate::generate, locked, shard::Shard};
use crate::{
    adapter::{Adapter, FeatureStore},
    dataset::{Dataset, Pixels, Sample},
    error::{Error, Result},
    ids::{Task, digest},
    model::Model,
    prediction::{Digests, Prediction, Store},
    run::{Cell, Observer, adapt, check_interrupt, plan::ModelSource},
};

/// Decoded bytes that a batch may hold; larger images make smaller batches.
const BATCH_BYTES: usize = 256 << 20;
/// Batches that a model that writes text gets in one call, so that a finished answer makes room for the next question.
const QUEUED: usize = 4;

/// What is the same for all batches of a cell.
pub(super) struct Work<'a> {
    dataset: &'a Dataset,
    task: Task,
    classes: ZeroShot,
    classes_digest: String,
    pub decoding: Decoding,
    /// Samples of one call.
    at_a_time: usize,
}

impl<'a> Work<'a> {
    pub fn new(cell: &Cell, source: &ModelSource, dataset: &'a Dataset, batch_size: usize) -> Result<Self> {
        let batch_size = batch_size.max(1);
        let classes = match cell.id.task {
            Task::Diagnosis => dataset.class_prompts(cell.evaluation.prompts.as_deref())?,
            Task::Vqa | Task::Caption => Vec::new(),
        };
        let classes_digest = digest(serde_json::to_string(&classes).unwrap_or_default().as_bytes());
        let decoding = Decoding {
            max_new_tokens: source.row.max_new_tokens,
            seed: cell.id.seed,
            slots: batch_size as u32,
            ..Default::default()
        };
        let at_a_time = match cell.id.task {
            Task::Diagnosis => batch_size,
            Task::Vqa | Task::Caption => QUEUED * batch_size,
        };
        Ok(Self { dataset, task: cell.id.task, classes: ZeroShot { classes }, classes_digest, decoding, at_a_time })
    }
}

/// A sample with its decoded images, or with the reason why they cannot be had.
pub(super) struct Ready<'a> {
    pub sample: &'a Sample,
    images: std::result::Result<Vec<Pixels>, String>,
    digests: Digests,
}

/// What answers batches and keeps the answers.
pub(super) struct Predictor<'a> {
    pub work: &'a Work<'a>,
    pub model: &'a mut Model,
    pub head: Option<Head>,
    pub store: &'a Mutex<Store>,
    pub observer: &'a dyn Observer,
}

/// A trained adapter with the features that it needs.
pub(super) struct Head {
    pub adapter: Adapter,
    pub features: FeatureStore,
}

impl Predictor<'_> {
    pub fn predict<'s>(&mut self, shards: impl Iterator<Item = Result<Shard<'s>>> + Send) -> Result<()> {
        let work = self.work;
        thread::scope(|scope| {
            // One batch is decoded ahead while the model works on another.
            let (sender, batches) = mpsc::sync_channel(1);
            scope.spawn(move || {
                for shard in shards {
                    let (lease, samples) = match shard {
                        Ok(shard) => (Arc::new(shard.lease), shard.samples),
                        Err(error) => return drop(sender.send(Err(error))),
                    };
                    for chunk in samples.chunk_by(|(a, _), (b, _)| a / work.at_a_time == b / work.at_a_time) {
                        let ready: Vec<Ready<'_>> = chunk.par_iter().map(|(_, sample)| decode(work, sample)).collect();
                        if sender.send(Ok((ready, lease.clone()))).is_err() {
                            return;
                        }
                    }
                }
            });
            for batch in batches {
                check_interrupt()?;
                let (ready, _lease) = batch?;
                for batch in split_by_bytes(&ready) {
                    self.predict_batch(batch)?;
                }
            }
            Ok(())
        })
    }

    /// One batch. When it fails as a whole, each of its samples is tried alone, so that one poisonous sample
    /// costs itself only.
    fn predict_batch(&mut self, batch: &[Ready<'_>]) -> Result<()> {
        let (good, bad): (Vec<&Ready<'_>>, Vec<&Ready<'_>>) = batch.iter().partition(|r| r.images.is_ok());
        let unreadable = |r: &&Ready<'_>| failed(r, r.images.as_ref().err().cloned());
        let mut predictions: Vec<Prediction> = bad.iter().map(unreadable).collect();
        if !good.is_empty() {
            match self.answer(&good) {
                Ok(answers) => predictions.extend(answers),
                Err(e) => {
                    check_fatal(&e)?;
                    let size = good.len();
                    self.observer.note(&format!("a batch of {size} failed ({e}); trying its samples one by one"));
                    self.model.revive()?;
                    predictions.extend(self.one_by_one(&good)?);
                }
            }
        }
        predictions.sort_by_key(|p| p.index);
        let count = predictions.len();
        locked(self.store).append(predictions)?;
        self.observer.advance(count);
        Ok(())
    }

    fn one_by_one(&mut self, batch: &[&Ready<'_>]) -> Result<Vec<Prediction>> {
        let mut predictions = Vec::new();
        for one in batch {
            if locked(self.store).done().contains_key(&one.sample.index) {
                continue;
            }
            match self.answer(&[one]) {
                Ok(answers) => predictions.extend(answers),
                Err(e) => {
                    check_fatal(&e)?;
                    tracing::debug!("sample {}: {}", one.sample.id, e.detail);
                    predictions.push(failed(one, Some(e.message)));
                    self.model.revive()?;
                }
            }
            check_interrupt()?;
        }
        Ok(predictions)
    }

    /// Answers that are not in the store yet; generated ones go there as they finish.
    fn answer(&mut self, batch: &[&Ready<'_>]) -> plugin_api::Result<Vec<Prediction>> {
        match self.work.task {
            Task::Diagnosis => self.classify(batch),
            Task::Vqa | Task::Caption => {
                generate(self.work, self.model, batch, self.store, self.observer).map(|()| Vec::new())
            }
        }
    }

    fn classify(&mut self, batch: &[&Ready<'_>]) -> plugin_api::Result<Vec<Prediction>> {
        let (logits, inputs) = match &mut self.head {
            Some(head) => (head.logits(self.model, batch)?, Vec::new()),
            None => {
                // A diagnosis is made from the first image; further views are other samples.
                let images: Vec<Image<'_>> = batch.iter().filter_map(|r| images(r).into_iter().next()).collect();
                let rows = client::zero_shot(self.model.door(), &images, &self.work.classes)?;
                let logits: Vec<Vec<f32>> = (0..batch.len()).map(|row| rows.matrix.row(row).to_vec()).collect();
                (logits, rows.inputs)
            }
        };
        let expected = self.work.classes.classes.len();
        if let Some(found) = logits.iter().map(Vec::len).find(|found| *found != expected) {
            let message = format!("the model returned {found} logits for {expected} classes");
            return Err(PluginError::new(ErrorKind::Other, message));
        }
        let predictions = batch.iter().zip(logits).enumerate().map(|(position, (ready, logits))| {
            if logits.iter().any(|l| !l.is_finite()) {
                return failed(ready, Some("the model returned a logit that is not a finite number".into()));
            }
            let mut prediction = Prediction { logits, ..blank(ready) };
            prediction.digests.input = inputs.get(position).cloned().unwrap_or_default();
            prediction
        });
        Ok(predictions.collect())
    }
}

impl Head {
    fn logits(&mut self, model: &mut Model, batch: &[&Ready<'_>]) -> plugin_api::Result<Vec<Vec<f32>>> {
        let first = |ready: &&&Ready<'_>| ready.images.as_ref().is_ok_and(|images| !images.is_empty());
        let views: Vec<(&str, &Pixels)> = batch
            .iter()
            .filter(first)
            .filter_map(|r| Some((r.digests.pixels.as_str(), r.images.as_ref().ok()?.first()?)))
            .collect();
        let rows = adapt::extract(model, &mut self.features, &views)?;
        Ok(rows.iter().map(|row| self.adapter.logits(row)).collect())
    }
}

/// An error where no sample is to blame: the user or the host itself stopped the call, as when an answer could not be
/// written, or the model cannot be used at all. The next run may predict what this one did not.
fn check_fatal(error: &PluginError) -> Result<()> {
    check_interrupt()?;
    match error.kind {
        ErrorKind::Cancelled | ErrorKind::Config => Err(Error::failed(&error.message)),
        _ => Ok(()),
    }
}

fn decode<'a>(work: &Work<'_>, sample: &'a Sample) -> Ready<'a> {
    let images: Result<Vec<Pixels>> = sample.images.iter().map(|image| work.dataset.pixels(image)).collect();
    let prompt = match work.task {
        Task::Diagnosis => work.classes_digest.clone(),
        Task::Vqa | Task::Caption => digest(sample.prompt.as_deref().unwrap_or_default().as_bytes()),
    };
    let mut digests = Digests { prompt, ..Digests::default() };
    if let Ok(images) = &images {
        digests.pixels = adapt::pixel_digest(images);
    }
    Ready { sample, images: images.map_err(|e| e.to_string()), digests }
}

fn split_by_bytes<'r, 'a>(ready: &'r [Ready<'a>]) -> Vec<&'r [Ready<'a>]> {
    let bytes = |r: &Ready<'_>| r.images.as_ref().map_or(0, |images| images.iter().map(|i| i.rgb.len()).sum());
    let mut batches = Vec::new();
    let (mut start, mut held) = (0, 0);
    for (position, item) in ready.iter().enumerate() {
        if position > start && held + bytes(item) > BATCH_BYTES {
            batches.push(&ready[start..position]);
            (start, held) = (position, 0);
        }
        held += bytes(item);
    }
    batches.push(&ready[start..]);
    batches
}

pub(super) fn images<'r>(ready: &'r Ready<'_>) -> Vec<Image<'r>> {
    let pixels = ready.images.as_deref().unwrap_or_default();
    pixels.iter().map(|p| Image { width: p.width, height: p.height, rgb: &p.rgb }).collect()
}

pub(super) fn blank(ready: &Ready<'_>) -> Prediction {
    Prediction {
        index: ready.sample.index,
        sample: ready.sample.id.clone(),
        digests: ready.digests.clone(),
        ..Default::default()
    }
}

pub(super) fn failed(ready: &Ready<'_>, error: Option<String>) -> Prediction {
    Prediction { error, ..blank(ready) }
}
