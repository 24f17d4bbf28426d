//! Cells to `predictions.jsonl`: what is missing on disk is decoded, predicted in batches, and appended.

use std::{
    path::Path,
    sync::{Mutex, mpsc},
    thread,
};

use plugin_api::{
    Array, Blob, Decoding, Error as PluginError, ErrorKind, Events, Generation, Image, Open, Request,
    client::{self, NoEvents},
    message::{Generate, Log, ZeroShot, event},
};
use rayon::prelude::*;

use crate::{
    dataset::{Dataset, Pixels, Sample},
    error::{Error, Result},
    ids::{Task, digest},
    model::Model,
    prediction::{Digests, Prediction, Store},
    run::{Cell, Observer, Settings, check_interrupt, plan::ModelSource},
};

/// How a cell stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tally {
    /// Samples of the split.
    pub total: usize,
    /// Samples without an answer.
    pub failed: usize,
}

/// File name in a cell's directory.
pub const FILE: &str = "predictions.jsonl";

/// Decoded bytes that a batch may hold; larger images make smaller batches.
const BATCH_BYTES: usize = 256 << 20;

/// Predicts the samples of a cell that are not on disk yet.
pub fn predict(cell: &Cell, run_dir: &Path, limit: u32, settings: &Settings, observer: &dyn Observer) -> Result<Tally> {
    let dir = cell.dir(run_dir);
    std::fs::create_dir_all(&dir).map_err(Error::io(&dir))?;
    let dataset = cell.dataset()?;
    let samples = samples(cell, &dataset, limit)?;
    let mut store = Store::open(&dir.join(FILE))?;
    let missing: Vec<&Sample> = samples.iter().filter(|s| !store.done().contains_key(&s.index)).collect();
    observer.begin(&cell.id, samples.len() - missing.len(), samples.len());
    if !missing.is_empty() {
        let source =
            cell.model.as_ref().ok_or_else(|| Error::failed(format!("{}: no model to predict with", cell.id)))?;
        let mut model = open(source, settings)?;
        let work = Work::new(cell, source, &dataset)?;
        predict_missing(&work, &mut model, &missing, settings.batch_size, &mut store, observer)?;
    }
    store.finish()?;
    let failed = store.done().values().filter(|p| p.failed()).count();
    observer.end(failed);
    Ok(Tally { total: samples.len(), failed })
}

/// The samples of a cell, in order, cut to the suite's limit.
pub fn samples(cell: &Cell, dataset: &Dataset, limit: u32) -> Result<Vec<Sample>> {
    let mut samples = dataset.samples(&cell.id.split, cell.id.task)?;
    if limit > 0 {
        samples.truncate(limit as usize);
    }
    Ok(samples)
}

/// Opens a model as the settings say.
pub fn open(source: &ModelSource, settings: &Settings) -> Result<Model> {
    let open = Open {
        weights: source.weights.clone(),
        device: settings.device.clone(),
        dtype: settings.dtype.clone(),
        options: source.row.options.clone(),
    };
    Model::open(&source.plugin, &source.row.architecture, open, settings.place.clone())
}

/// What is the same for all batches of a cell.
struct Work<'a> {
    dataset: &'a Dataset,
    task: Task,
    classes: ZeroShot,
    classes_digest: String,
    decoding: Decoding,
}

impl<'a> Work<'a> {
    fn new(cell: &Cell, source: &ModelSource, dataset: &'a Dataset) -> Result<Self> {
        let classes = match cell.id.task {
            Task::Diagnosis => dataset.class_prompts(cell.evaluation.prompts.as_deref())?,
            Task::Vqa | Task::Caption => Vec::new(),
        };
        let classes_digest = digest(serde_json::to_string(&classes).unwrap_or_default().as_bytes());
        let decoding = Decoding { max_new_tokens: source.row.max_new_tokens, seed: cell.id.seed, ..Default::default() };
        Ok(Self { dataset, task: cell.id.task, classes: ZeroShot { classes }, classes_digest, decoding })
    }
}

/// A sample with its decoded images, or with the reason why they cannot be had.
struct Ready<'a> {
    sample: &'a Sample,
    images: std::result::Result<Vec<Pixels>, String>,
    digests: Digests,
}

fn predict_missing(
    work: &Work<'_>,
    model: &mut Model,
    missing: &[&Sample],
    batch_size: usize,
    store: &mut Store,
    observer: &dyn Observer,
) -> Result<()> {
    thread::scope(|scope| {
        // One batch is decoded ahead while the model works on another.
        let (sender, batches) = mpsc::sync_channel(1);
        scope.spawn(move || {
            for chunk in missing.chunks(batch_size.max(1)) {
                let ready: Vec<Ready<'_>> = chunk.par_iter().map(|sample| decode(work, sample)).collect();
                if sender.send(ready).is_err() {
                    return;
                }
            }
        });
        for ready in batches {
            check_interrupt()?;
            for batch in split_by_bytes(&ready) {
                predict_batch(work, model, batch, store, observer)?;
                observer.advance(batch.len());
            }
        }
        Ok(())
    })
}

fn decode<'a>(work: &Work<'_>, sample: &'a Sample) -> Ready<'a> {
    let images: Result<Vec<Pixels>> = sample.images.iter().map(|image| work.dataset.pixels(image)).collect();
    let mut digests = Digests::default();
    digests.prompt = match work.task {
        Task::Diagnosis => work.classes_digest.clone(),
        Task::Vqa | Task::Caption => digest(sample.question.as_deref().unwrap_or_default().as_bytes()),
    };
    if let Ok(images) = &images {
        let mut hasher = blake3::Hasher::new();
        for image in images {
            hasher.update(&image.width.to_le_bytes()).update(&image.height.to_le_bytes()).update(&image.rgb);
        }
        digests.pixels = hasher.finalize().to_hex()[..32].to_string();
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

/// One batch. When it fails as a whole, each of its samples is tried alone, so that one poisonous sample
/// costs itself only.
fn predict_batch(
    work: &Work<'_>,
    model: &mut Model,
    batch: &[Ready<'_>],
    store: &mut Store,
    observer: &dyn Observer,
) -> Result<()> {
    let (good, bad): (Vec<&Ready<'_>>, Vec<&Ready<'_>>) = batch.iter().partition(|r| r.images.is_ok());
    let mut predictions: Vec<Prediction> = bad.iter().map(|r| failed(r, r.images.as_ref().err().cloned())).collect();
    if !good.is_empty() {
        match answer(work, model, &good, store) {
            Ok(answers) => predictions.extend(answers),
            // The host itself stopped the call: an answer could not be written.
            Err(e) if e.kind == ErrorKind::Cancelled => return Err(Error::failed(e.message)),
            Err(e) => {
                check_interrupt()?;
                observer.note(&format!("a batch of {} failed ({e}); trying its samples one by one", good.len()));
                model.revive()?;
                for one in good {
                    if store.done().contains_key(&one.sample.index) {
                        continue;
                    }
                    match answer(work, model, &[one], store) {
                        Ok(answers) => predictions.extend(answers),
                        Err(e) => {
                            tracing::debug!("sample {}: {}", one.sample.id, e.detail);
                            predictions.push(failed(one, Some(e.message)));
                            model.revive()?;
                        }
                    }
                    check_interrupt()?;
                }
            }
        }
    }
    predictions.sort_by_key(|p| p.index);
    store.append(predictions)
}

/// Answers that are not in the store yet; generated ones go there as they finish.
fn answer(
    work: &Work<'_>,
    model: &mut Model,
    batch: &[&Ready<'_>],
    store: &mut Store,
) -> plugin_api::Result<Vec<Prediction>> {
    match work.task {
        Task::Diagnosis => classify(work, model, batch),
        Task::Vqa | Task::Caption => generate(work, model, batch, store).map(|()| Vec::new()),
    }
}

fn classify(work: &Work<'_>, model: &mut Model, batch: &[&Ready<'_>]) -> plugin_api::Result<Vec<Prediction>> {
    // A diagnosis is made from the first image; further views are other samples.
    let images: Vec<Image<'_>> = batch.iter().filter_map(|r| images(r).into_iter().next()).collect();
    let rows = client::zero_shot(model.door(), &images, &work.classes)?;
    if rows.matrix.columns != work.classes.classes.len() {
        let (found, expected) = (rows.matrix.columns, work.classes.classes.len());
        return Err(PluginError::new(
            ErrorKind::Other,
            format!("the model returned {found} logits for {expected} classes"),
        ));
    }
    let predictions = batch.iter().enumerate().map(|(position, ready)| {
        let logits = rows.matrix.row(position).to_vec();
        if logits.iter().any(|l| !l.is_finite()) {
            return failed(ready, Some("the model returned a logit that is not a finite number".into()));
        }
        let mut prediction = Prediction { logits, ..blank(ready) };
        prediction.digests.input = rows.inputs.get(position).cloned().unwrap_or_default();
        prediction
    });
    Ok(predictions.collect())
}

fn generate(work: &Work<'_>, model: &mut Model, batch: &[&Ready<'_>], store: &mut Store) -> plugin_api::Result<()> {
    let mut all = Vec::new();
    let mut requests = Vec::new();
    for (position, ready) in batch.iter().enumerate() {
        let first = all.len() as u32;
        all.extend(images(ready));
        requests.push(Request {
            index: position as u32,
            prompt: ready.sample.question.clone().unwrap_or_default(),
            images: (first..all.len() as u32).collect(),
            options: ready.sample.options.clone(),
            raw: false,
        });
    }
    let answers = Answers { batch, state: Mutex::new((store, vec![false; batch.len()])) };
    let job = Generate { requests, decoding: work.decoding.clone() };
    client::generate(model.door(), &job, &all, &answers)?;
    let (_, finished) = answers.state.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    match finished.iter().filter(|f| !**f).count() {
        0 => Ok(()),
        open => Err(PluginError::new(
            ErrorKind::Other,
            format!("the model left {open} of {} requests unanswered", batch.len()),
        )),
    }
}

/// Persists each answer when the model hands it over.
struct Answers<'a> {
    batch: &'a [&'a Ready<'a>],
    state: Mutex<(&'a mut Store, Vec<bool>)>,
}

impl Events for Answers<'_> {
    fn event(&self, op: &str, header: &str, blobs: &[Blob<'_>]) -> plugin_api::Result<(String, Vec<Array>)> {
        match op {
            event::FINISHED => {
                let generation: Generation = serde_json::from_str(header)?;
                let position = generation.index as usize;
                let mut state = self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                let (store, finished) = &mut *state;
                let ready =
                    self.batch.get(position).filter(|_| !finished[position]).ok_or_else(|| {
                        PluginError::input(format!("answer {position} was not asked for, or came twice"))
                    })?;
                store
                    .append(vec![to_prediction(ready, generation)])
                    .map_err(|e| PluginError::new(ErrorKind::Cancelled, e.to_string()))?;
                finished[position] = true;
                Ok(("null".into(), Vec::new()))
            }
            event::LOG => {
                tracing::info!(target: "plugin", "{}", serde_json::from_str::<Log>(header)?.line);
                Ok(("null".into(), Vec::new()))
            }
            _ => NoEvents.event(op, header, blobs),
        }
    }
}

fn to_prediction(ready: &Ready<'_>, generation: Generation) -> Prediction {
    if let Some(error) = generation.error {
        return failed(ready, Some(error));
    }
    let mut prediction = Prediction {
        text: Some(generation.text),
        finish: generation.finish,
        prompt_tokens: generation.prompt_tokens,
        new_tokens: generation.new_tokens,
        ..blank(ready)
    };
    prediction.digests.input = generation.input;
    prediction
}

fn images<'r>(ready: &'r Ready<'_>) -> Vec<Image<'r>> {
    let pixels = ready.images.as_deref().unwrap_or_default();
    pixels.iter().map(|p| Image { width: p.width, height: p.height, rgb: &p.rgb }).collect()
}

fn blank(ready: &Ready<'_>) -> Prediction {
    Prediction {
        index: ready.sample.index,
        sample: ready.sample.id.clone(),
        digests: ready.digests.clone(),
        ..Default::default()
    }
}

fn failed(ready: &Ready<'_>, error: Option<String>) -> Prediction {
    Prediction { error, ..blank(ready) }
}
