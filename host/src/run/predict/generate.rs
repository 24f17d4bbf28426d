//! Questions to answers: each is persisted when the model hands it over, in whatever order.

use std::sync::Mutex;

use plugin_api::{
    Array, Blob, Error as PluginError, ErrorKind, Events, Generation, Request,
    client::{self, NoEvents},
    message::{Generate, Log, event},
};

use super::{
    batch::{Ready, Work, blank, failed, images},
    locked,
};
use crate::{
    model::Model,
    prediction::{Prediction, Store},
    run::{Observer, check_interrupt},
};

/// Answers a batch of questions into the store.
pub fn generate(
    work: &Work<'_>,
    model: &mut Model,
    batch: &[&Ready<'_>],
    store: &Mutex<Store>,
    observer: &dyn Observer,
) -> plugin_api::Result<()> {
    let mut all = Vec::new();
    let mut requests = Vec::new();
    for (position, ready) in batch.iter().enumerate() {
        let first = all.len() as u32;
        all.extend(images(ready));
        requests.push(Request {
            index: position as u32,
            prompt: ready.sample.prompt.clone().unwrap_or_default(),
            images: (first..all.len() as u32).collect(),
            options: ready.sample.options.iter().map(|choice| choice.text.clone()).collect(),
            raw: false,
        });
    }
    let answers = Answers { batch, observer, store, finished: Mutex::new(vec![false; batch.len()]) };
    let job = Generate { requests, decoding: work.decoding.clone() };
    client::generate(model.door(), &job, &all, &answers)?;
    let finished = answers.finished.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
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
    observer: &'a dyn Observer,
    store: &'a Mutex<Store>,
    finished: Mutex<Vec<bool>>,
}

impl Events for Answers<'_> {
    fn event(&self, op: &str, header: &str, blobs: &[Blob<'_>]) -> plugin_api::Result<(String, Vec<Array>)> {
        match op {
            event::FINISHED => {
                let generation: Generation = serde_json::from_str(header)?;
                let position = generation.index as usize;
                let mut finished = self.finished.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                let ready =
                    self.batch.get(position).filter(|_| !finished[position]).ok_or_else(|| {
                        PluginError::input(format!("answer {position} was not asked for, or came twice"))
                    })?;
                locked(self.store)
                    .append(vec![to_prediction(ready, generation)])
                    .map_err(|e| PluginError::new(ErrorKind::Cancelled, e.to_string()))?;
                finished[position] = true;
                self.observer.advance(1);
                Ok(("null".into(), Vec::new()))
            }
            event::LOG => {
                tracing::info!(target: "plugin", "{}", serde_json::from_str::<Log>(header)?.line);
                Ok(("null".into(), Vec::new()))
            }
            event::PROGRESS if check_interrupt().is_err() => Err(PluginError::new(ErrorKind::Cancelled, "interrupted")),
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
