//! Batches of fresh phantoms and their twins with several questions each.

use std::fmt;

use anyhow::{Context, Result};
use blocks::{
    decoder::{Packing, Span},
    image::ImageProcessor,
    tokens::LanguageTokenizer,
};
use candle_core::{D, Device, Tensor};
use phantom::{Dice, FIRST_FREE_PATIENT, Modality, Patient, Phantom, SIDE, Size};
use rayon::prelude::*;

use crate::{
    LEARNT, files,
    questions::{self, Exchange},
};

const PAIRS_PER_MODALITY: usize = 4;
/// How often a batch has questions that say what the answer shall be. They are long, and cost all others time.
const ASKED_FOR: f32 = 0.3;

/// One batch: the pictures of the first modality, then those of the next; each picture is followed by its twin.
///
/// A sequence is what precedes the picture, the picture, and branches: questions with their answers, of which each sees what
/// precedes it in its own branch, and the picture. Branches of one place in the sequence have one length.
pub struct Batch {
    /// `[pictures, 3, side, side]`.
    pub pixels: Tensor,
    /// Ids before a picture.
    pub before: Vec<u32>,
    /// Ids behind it, of one picture after the other.
    pub branches: Vec<u32>,
    /// Positions of a sequence.
    pub packing: Packing,
    /// Which token of a sequence sees which, `[tokens, tokens]`.
    pub mask: Tensor,
    /// Places, among the tokens of all sequences, of those that precede tokens of answers.
    pub places: Tensor,
    /// Those tokens.
    pub targets: Tensor,
    /// How much each of them counts.
    pub shares: Tensor,
    /// First tokens of answers: index, whether it is yes or no, modality.
    firsts: Vec<(usize, bool, usize)>,
}

/// An endless source of batches.
pub struct Batches([Box<dyn Iterator<Item = Phantom>>; 2]);

/// How many first tokens of answers were right.
#[derive(Default)]
pub struct Score([[usize; 2]; 2 * LEARNT.len()]);

impl Batches {
    /// Starts with the first patient of no split.
    pub fn new() -> Self {
        Self(LEARNT.map(|modality| Box::new(with_findings(modality)) as Box<dyn Iterator<Item = Phantom>>))
    }

    /// Draws the next batch, with questions by `dice`. `plain` findings are large and as many as can be.
    pub fn draw(
        &mut self,
        processor: &ImageProcessor,
        tokenizer: &LanguageTokenizer,
        plain: bool,
        dice: &mut Dice,
    ) -> Result<Batch> {
        let mut phantoms: Vec<Phantom> = self.0.iter_mut().flat_map(|source| source.take(PAIRS_PER_MODALITY)).collect();
        for finding in phantoms.iter_mut().filter_map(|phantom| phantom.finding.as_mut()).filter(|_| plain) {
            (finding.size, finding.count) = (Size::Large, finding.kind.most);
        }
        let phantoms: Vec<_> = phantoms.into_iter().flat_map(|phantom| [phantom, phantom.without_finding()]).collect();
        let (before, _) = tokens(tokenizer, "")?;
        let asked_for = dice.chance(ASKED_FOR);
        let branches = phantoms.iter().map(|phantom| {
            let branches = questions::draw(phantom, asked_for, dice).map(|exchange| Branch::new(tokenizer, &exchange));
            branches.into_iter().collect::<Result<Vec<_>>>()
        });
        let branches = branches.collect::<Result<Vec<_>>>()?;
        Batch::new(before, &branches, pixels(&phantoms, processor)?)
    }
}

impl Batch {
    fn new(before: Vec<u32>, branches: &[Vec<Branch>], pixels: Tensor) -> Result<Self> {
        let start = before.len() + files::tower().tokens();
        let lengths = (0..branches[0].len()).map(|n| branches.iter().map(|of| of[n].ids.len()).max().unwrap_or(0));
        let lengths: Vec<usize> = lengths.collect();
        let length = start + lengths.iter().sum::<usize>();
        let (mut ids, mut firsts) = (Vec::new(), Vec::new());
        let (mut places, mut targets, mut shares) = (Vec::new(), Vec::new(), Vec::new());
        for (picture, branches) in branches.iter().enumerate() {
            let mut offset = picture * length + start;
            for (branch, &room) in branches.iter().zip(&lengths) {
                firsts.push((places.len(), branch.closed, picture * LEARNT.len() / (4 * PAIRS_PER_MODALITY)));
                let share = ((branch.ids.len() - branch.answer) as f32).powf(-0.5);
                for at in branch.answer..branch.ids.len() {
                    places.push((offset + at - 1) as u32);
                    targets.push(branch.ids[at]);
                    shares.push(share);
                }
                ids.extend(&branch.ids);
                ids.resize(ids.len() + room - branch.ids.len(), 0);
                offset += room;
            }
        }
        let (packing, mask) = layout(start, &lengths)?;
        Ok(Self {
            pixels,
            before,
            branches: ids,
            packing,
            mask,
            places: Tensor::new(places, &Device::Cpu)?,
            targets: Tensor::new(targets, &Device::Cpu)?,
            shares: Tensor::new(shares, &Device::Cpu)?,
            firsts,
        })
    }
}

impl Score {
    /// Counts the answers to a batch, given the logits of their tokens.
    pub fn add(&mut self, batch: &Batch, logits: &Tensor) -> Result<()> {
        let found: Vec<u32> = logits.argmax(D::Minus1)?.to_vec1()?;
        let targets: Vec<u32> = batch.targets.to_vec1()?;
        for &(at, closed, modality) in &batch.firsts {
            let [right, all] = &mut self.0[2 * modality + usize::from(!closed)];
            *right += usize::from(found[at] == targets[at]);
            *all += 1;
        }
        Ok(())
    }
}

impl fmt::Display for Score {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (modality, counts) in LEARNT.iter().zip(self.0.chunks(2)) {
            let [closed, others] = [0, 1].map(|n| counts[n][0] as f64 / counts[n][1].max(1) as f64);
            write!(f, "{} yes or no {closed:.3}, others {others:.3}; ", modality.word())?;
        }
        Ok(())
    }
}

/// A question with its answer.
struct Branch {
    ids: Vec<u32>,
    /// Where the answer begins.
    answer: usize,
    closed: bool,
}

impl Branch {
    fn new(tokenizer: &LanguageTokenizer, exchange: &Exchange) -> Result<Self> {
        let (_, mut ids) = tokens(tokenizer, &exchange.question)?;
        let answer = ids.len();
        ids.extend(tokenizer.encode(&format!(" {}", exchange.answer), false)?);
        ids.push(tokenizer.eos().context("no token ends a text")?);
        Ok(Self { ids, answer, closed: exchange.closed })
    }
}

/// Ids before and behind the picture of a prompt.
fn tokens(tokenizer: &LanguageTokenizer, question: &str) -> Result<(Vec<u32>, Vec<u32>)> {
    let ids = tokenizer.encode(&files::dialogue(question), true)?;
    let image = tokenizer.id(files::IMAGE).context("no token stands for the picture")?;
    let at = ids.iter().position(|id| *id == image).context("the prompt has no place for the picture")?;
    Ok((ids[..at].to_vec(), ids[at + 1..].to_vec()))
}

/// Positions and visibility of what precedes the branches, and of branches of these lengths, which all follow at once.
fn layout(start: usize, lengths: &[usize]) -> Result<(Packing, Tensor)> {
    let branch = |(n, &length): (usize, &usize)| (0..length).map(move |at| (n + 1, start + at)).collect::<Vec<_>>();
    let common = (0..start).map(|at| (0, at));
    let tokens: Vec<(usize, usize)> = common.chain(lengths.iter().enumerate().flat_map(branch)).collect();
    let sees = |seer: (usize, usize), seen: (usize, usize)| (seen.0 == 0 || seen.0 == seer.0) && seen.1 <= seer.1;
    let row =
        |&seer: &(usize, usize)| tokens.iter().map(move |&seen| if sees(seer, seen) { 0.0 } else { f32::NEG_INFINITY });
    let mask: Vec<f32> = tokens.iter().flat_map(row).collect();
    let packing = Packing::new(vec![Span { slot: 0, cached: 0, count: tokens.len() }]);
    let positions = tokens.iter().map(|&(_, position)| [position as u32; 3]).collect();
    Ok((packing.at(positions), Tensor::from_vec(mask, (tokens.len(), tokens.len()), &Device::Cpu)?))
}

fn with_findings(modality: Modality) -> impl Iterator<Item = Phantom> {
    (FIRST_FREE_PATIENT..)
        .flat_map(move |number| Patient::new(modality, number).phantoms())
        .filter(|phantom| phantom.finding.is_some())
}

/// Pictures as they come out of the file format in which they are bundled.
fn pixels(phantoms: &[Phantom], processor: &ImageProcessor) -> Result<Tensor> {
    let values = phantoms.par_iter().map(|phantom| {
        let picture = image::load_from_memory(&phantom.jpeg()?)?.into_rgb8();
        processor.process(SIDE, SIDE, picture.as_raw()).map(|pixels| pixels.data).context("cannot be processed")
    });
    let values = values.collect::<Result<Vec<_>>>()?.concat();
    Ok(Tensor::from_vec(values, (phantoms.len(), 3, SIDE, SIDE), &Device::Cpu)?)
}
