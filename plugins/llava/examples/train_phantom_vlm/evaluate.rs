//! How the finished checkpoint answers the bundled questions.

use std::{
    path::Path,
    sync::{Mutex, PoisonError},
};

use anyhow::{Result, anyhow, ensure};
use phantom::{Modality, Phantom, Split};
use plugin_api::{Array, Blob, Decoding, Events, Generation, Image, Model, Open, Request, Sink, message::event};

use crate::questions;

/// Parts of the questions on one modality that are answered word by word as the data set has it.
pub struct Answered {
    /// The modality.
    pub modality: Modality,
    /// Part of those to be answered by yes or no.
    pub closed: f64,
    /// Part of the others.
    pub open: f64,
}

/// Asks the checkpoint in `dir` the questions of the test split.
pub fn test(dir: &Path, modality: Modality) -> Result<Answered> {
    let open = Open { weights: Some(dir.to_path_buf()), dtype: "f32".into(), ..Open::default() };
    let model = llava::llava::open(open).map_err(|e| anyhow!("{e}"))?;
    let bundled = phantom::rows().into_iter();
    let bundled = bundled.filter(|(split, phantom)| *split == Split::Test && phantom.patient.modality == modality);
    let phantoms: Vec<Phantom> = bundled.map(|(_, phantom)| phantom).collect();
    let pictures = phantoms.iter().map(|phantom| Ok(image::load_from_memory(&phantom.jpeg()?)?.into_rgb8()));
    let pictures = pictures.collect::<Result<Vec<_>>>()?;
    let views = pictures.iter().map(|p| Image { width: p.width(), height: p.height(), rgb: p.as_raw() });
    let asked: Vec<_> = phantoms.iter().flat_map(questions::bundled).collect();
    let request = |(index, exchange): (usize, &questions::Exchange)| Request {
        index: index as u32,
        prompt: exchange.question.clone(),
        images: vec![index as u32 / 2],
        ..Request::default()
    };
    let requests: Vec<Request> = asked.iter().enumerate().map(request).collect();
    let heard = Heard::default();
    let generated = model.generate(&requests, &views.collect::<Vec<_>>(), &Decoding::default(), &Sink::new(&heard));
    generated.map_err(|e| anyhow!("{e}"))?;
    let answers = heard.0.into_inner().unwrap_or_else(PoisonError::into_inner);
    ensure!(answers.len() == asked.len(), "{} questions have {} answers", asked.len(), answers.len());
    let right = |closed: bool| {
        let right = answers.iter().filter(|answer| {
            let exchange = &asked[answer.index as usize];
            exchange.closed == closed && exchange.answer == answer.text
        });
        right.count() as f64 / phantoms.len() as f64
    };
    Ok(Answered { modality, closed: right(true), open: right(false) })
}

/// Collects answers.
#[derive(Default)]
struct Heard(Mutex<Vec<Generation>>);

impl Events for Heard {
    fn event(&self, op: &str, header: &str, _: &[Blob<'_>]) -> plugin_api::Result<(String, Vec<Array>)> {
        if op == event::FINISHED {
            let answer = serde_json::from_str(header).map_err(|e| plugin_api::Error::input(e.to_string()))?;
            self.0.lock().unwrap_or_else(PoisonError::into_inner).push(answer);
        }
        Ok(Default::default())
    }
}
