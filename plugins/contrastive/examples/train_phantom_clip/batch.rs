//! Batches of fresh phantoms and their twins.

use anyhow::{Context, Result};
use blocks::image::ImageProcessor;
use candle_core::{Device, Tensor};
use phantom::{Dice, FIRST_FREE_PATIENT, Modality, Patient, Phantom, SIDE, Size};
use rayon::prelude::*;

use crate::{LEARNT, PATCH, words};

const PAIRS_PER_MODALITY: usize = 8;
/// Differences of a pixel's three bytes, added up, that count as touched by the finding.
const TOUCH: i32 = 10;

/// One batch: the pictures of the first modality, then those of the next; each picture is followed by its twin.
pub struct Batch {
    /// `[pictures, 3, side, side]`.
    pub pixels: Tensor,
    /// Different captions of the batch.
    pub captions: Vec<String>,
    /// Which caption each picture has, `[pictures]`.
    pub caption: Tensor,
    /// Prompts of "no finding" and "finding", for one modality after the other.
    pub prompts: Vec<String>,
    /// Whether each picture has a finding, `[pictures]`.
    pub class: Tensor,
    /// Whether the finding touches each patch, `[pictures, patches]`.
    pub touched: Tensor,
}

/// An endless source of batches.
pub struct Batches([Box<dyn Iterator<Item = Phantom>>; 2]);

impl Batches {
    /// Starts with the first patient of no split.
    pub fn new() -> Self {
        Self(LEARNT.map(|modality| Box::new(with_findings(modality)) as Box<dyn Iterator<Item = Phantom>>))
    }

    /// Draws the next batch, with wordings by `dice`. `plain` findings are large and as many as can be.
    pub fn draw(&mut self, processor: &ImageProcessor, plain: bool, dice: &mut Dice) -> Result<Batch> {
        let mut phantoms: Vec<Phantom> = self.0.iter_mut().flat_map(|source| source.take(PAIRS_PER_MODALITY)).collect();
        for finding in phantoms.iter_mut().filter_map(|phantom| phantom.finding.as_mut()).filter(|_| plain) {
            (finding.size, finding.count) = (Size::Large, finding.kind.most);
        }
        let pairs = phantoms.par_iter().map(|phantom| pair(phantom, processor)).collect::<Result<Vec<_>>>()?;
        let pixels: Vec<f32> = pairs.iter().flat_map(|pair| pair.pixels.iter().copied()).collect();
        let touched: Vec<f32> = pairs.iter().flat_map(|pair| pair.touched.iter().copied()).collect();
        let count = 2 * phantoms.len();
        let patches = touched.len() / count;
        let (captions, caption) = captions(&phantoms, dice);
        Ok(Batch {
            pixels: Tensor::from_vec(pixels, (count, 3, SIDE, SIDE), &Device::Cpu)?,
            captions,
            caption: Tensor::from_vec(caption, count, &Device::Cpu)?,
            prompts: LEARNT.iter().flat_map(|&modality| words::class_prompts(modality, dice)).collect(),
            class: Tensor::from_vec([1u32, 0].repeat(phantoms.len()), count, &Device::Cpu)?,
            touched: Tensor::from_vec(touched, (count, patches), &Device::Cpu)?,
        })
    }
}

fn with_findings(modality: Modality) -> impl Iterator<Item = Phantom> {
    (FIRST_FREE_PATIENT..)
        .flat_map(move |number| Patient::new(modality, number).phantoms())
        .filter(|phantom| phantom.finding.is_some())
}

/// Values of a picture and then of its twin.
struct Pair {
    pixels: Vec<f32>,
    touched: Vec<f32>,
}

fn pair(phantom: &Phantom, processor: &ImageProcessor) -> Result<Pair> {
    let pictures = [phantom.render(), phantom.without_finding().render()];
    let side = SIDE / PATCH;
    let mut touched = vec![0.0; 2 * side * side];
    for (x, y, pixel) in pictures[0].enumerate_pixels() {
        let twin = pictures[1].get_pixel(x, y);
        let difference: i32 = (0..3).map(|channel| (i32::from(pixel[channel]) - i32::from(twin[channel])).abs()).sum();
        if difference > TOUCH {
            touched[y as usize / PATCH * side + x as usize / PATCH] = 1.0;
        }
    }
    let values = pictures.map(|picture| processor.process(SIDE, SIDE, picture.as_raw()));
    let [picture, twin] = values;
    let mut pixels = picture.context("a picture cannot be processed")?.data;
    pixels.extend(twin.context("a picture cannot be processed")?.data);
    Ok(Pair { pixels, touched })
}

/// The different captions of phantoms and twins, and which each has.
fn captions(phantoms: &[Phantom], dice: &mut Dice) -> (Vec<String>, Vec<u32>) {
    let mut known: Vec<(Modality, Option<(&str, &str)>)> = Vec::new();
    let mut captions = Vec::new();
    let mut chosen = Vec::new();
    for phantom in phantoms.iter().flat_map(|phantom| [*phantom, phantom.without_finding()]) {
        let (modality, finding) = (phantom.patient.modality, phantom.finding.as_ref());
        let content = (modality, finding.map(|finding| (finding.kind.name, finding.place.name)));
        let index = known.iter().position(|known| *known == content).unwrap_or_else(|| {
            known.push(content);
            captions.push(words::caption(modality, finding, dice));
            known.len() - 1
        });
        chosen.push(index as u32);
    }
    (captions, chosen)
}
