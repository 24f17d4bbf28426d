//! Architecture `blip`: BLIP (Li et al. 2022).
//!
//! Reference: the classes of `transformers` (4.53.1) that write a checkpoint, and `BlipProcessor`. Which of them it was
//! decides what a model can do: compare images with texts, answer questions, or write captions. All have features.

mod matcher;
mod writer;

use blocks::{vision::Vit, weights::Weights};
use bridge::{Place, convert::config, reader::Generator};
use plugin_api::{Capability, Error, Model, Open, Result, export::Registration, inventory};

use crate::{FEATURES, NAMES, Retrieval, Score, config::Config, retrieval::score};
pub use matcher::BlipMatcher;
pub use writer::BlipWriter;

inventory::submit! {
    Registration {
        id: "blip",
        summary: "BLIP: a vision transformer and a BERT that attends to it",
        capabilities: &[Capability::ZeroShot, Capability::Features, Capability::Generate, Capability::Choose],
        open,
    }
}

/// Classes of `transformers`, by what their checkpoints are good for.
const COMPARING: &str = "BlipForImageTextRetrieval";
const ANSWERING: &str = "BlipForQuestionAnswering";
const CAPTIONING: &str = "BlipForConditionalGeneration";
/// Holds the vision tower, and a text tower that none of the others has.
const PLAIN: &str = "BlipModel";

/// Opens a checkpoint laid out as on the Hugging Face hub. Options: `score`, which is `itm`, the default, or `itc`, where the
/// model compares; those of [`bridge::reader::Manner`] where it writes.
///
/// # Errors
/// A file is missing or corrupt, a tensor is missing, unused or misshapen, or an option is unknown.
pub fn open(open: Open) -> Result<Box<dyn Model>> {
    let place = Place::of(&open, "blip")?;
    let settings = Config::blip(&place.dir).map_err(config)?;
    match settings.class.as_deref().unwrap_or(COMPARING) {
        class @ (ANSWERING | CAPTIONING) => {
            Ok(Box::new(Generator(BlipWriter::open(&open, place, &settings, class == ANSWERING)?)))
        }
        COMPARING => {
            let score = score(&open, "blip", Score::Itm)?;
            let weights = Weights::open(&place.dir, &NAMES, place.dtype, &place.device).map_err(config)?;
            let model = Retrieval::new(place, score, &weights, |weights| {
                let vision = Vit::new(&settings.vision, &weights.at("vision"))?;
                Ok((vision, Ok(BlipMatcher::new(&settings, weights)?)))
            });
            Ok(Box::new(model?))
        }
        PLAIN => {
            let score = score(&open, "blip", Score::Itm)?;
            let weights = Weights::open(&place.dir, &FEATURES, place.dtype, &place.device).map_err(config)?;
            let reason = format!(
                "its checkpoint is a `{PLAIN}`, which lacks the text tower that compares images with texts; take one of \
                 `{COMPARING}`"
            );
            let model = Retrieval::<BlipMatcher>::new(place, score, &weights, |weights| {
                Ok((Vit::new(&settings.vision, &weights.at("vision"))?, Err(reason)))
            });
            Ok(Box::new(model?))
        }
        class => {
            let known = [COMPARING, ANSWERING, CAPTIONING, PLAIN].join("`, `");
            let path = place.dir.join("config.json");
            Err(Error::config(format!("{}: `architectures` is `{class}`; known are `{known}`", path.display())))
        }
    }
}
