//! Zero-shot performance on the bundled data set.

use anyhow::{Context, Result};
use blocks::{image::ImageProcessor, tokens::ClipTokenizer};
use candle_core::{Device, Tensor};
use contrastive::clip::{ClipModel, normalize};
use contrastive::dual::Joint;
use phantom::{Modality, SIDE, Split};
use rayon::prelude::*;

use crate::words::standard_prompts;

/// The pictures of one modality and split, as bundled.
pub struct Evaluation {
    modality: Modality,
    pixels: Tensor,
    findings: Vec<bool>,
}

impl Evaluation {
    /// Draws the pictures and sends them through the file format in which they are bundled.
    pub fn new(modality: Modality, split: Split, processor: &ImageProcessor) -> Result<Self> {
        let phantoms: Vec<_> = phantom::rows()
            .into_iter()
            .filter(|(of, phantom)| *of == split && phantom.patient.modality == modality)
            .map(|(_, phantom)| phantom)
            .collect();
        let pixels = phantoms
            .par_iter()
            .map(|phantom| {
                let picture = image::load_from_memory(&phantom.jpeg()?)?.into_rgb8();
                processor.process(SIDE, SIDE, picture.as_raw()).map(|pixels| pixels.data).context("cannot be processed")
            })
            .collect::<Result<Vec<_>>>()?;
        Ok(Self {
            modality,
            pixels: Tensor::from_vec(pixels.concat(), (phantoms.len(), 3, SIDE, SIDE), &Device::Cpu)?,
            findings: phantoms.iter().map(|phantom| phantom.finding.is_some()).collect(),
        })
    }

    /// Area under the ROC curve of the standard prompts' logit difference.
    pub fn auroc(&self, model: &ClipModel, tokenizer: &ClipTokenizer) -> Result<f64> {
        let texts = tokenizer.encode(&standard_prompts(self.modality))?;
        let texts = normalize(&model.text_features(&texts, false)?)?;
        let images = normalize(&model.image_features(&self.pixels, false)?)?;
        let logits: Vec<Vec<f32>> = model.logits(&images, &texts)?.to_vec2()?;
        let scores: Vec<f32> = logits.iter().map(|row| row[1] - row[0]).collect();
        Ok(auroc(&scores, &self.findings))
    }
}

/// Share of pairs of a positive and a negative in which the positive has the higher score; a tie counts half.
fn auroc(scores: &[f32], positive: &[bool]) -> f64 {
    let of = |class: bool| scores.iter().zip(positive).filter(move |(_, p)| **p == class).map(|(score, _)| *score);
    let (mut won, mut pairs) = (0.0, 0.0);
    for high in of(true) {
        for low in of(false) {
            pairs += 1.0;
            won += if high > low {
                1.0
            } else if high == low {
                0.5
            } else {
                0.0
            };
        }
    }
    won / pairs
}
