//! `medvlm parity`: a native model against its reference implementation, on the user's own weights.

use std::path::PathBuf;

use clap::Args;
use plugin_api::{Capability, Decoding, Description, Image, Inspect, Inspection, client};
use serde_json::json;

use super::{ModelArgs, infer::read_image};
use crate::{
    config::SearchPath,
    error::{COMPLETE, Error, INCOMPLETE, Result},
    model::{Model, weights},
    run::{
        Catalogs, Settings,
        parity::{self, Limits, Parity, Picture},
        plan::{self, ModelSource},
        predict,
    },
};

/// Class texts where none are given.
const TEXTS: [&str; 4] = [
    "a photo of pneumonia",
    "a normal chest X-ray",
    "A HISTOLOGY slide, stained with H&E (40x)?",
    "a dermoscopic image of a mole that is neither small nor round, with blue and white veils and an irregular network",
];

/// The prompt to a generative model where none is given.
const PROMPT: &str = "What does this picture show?";

/// Arguments of `medvlm parity`.
#[derive(Args)]
pub struct ParityArgs {
    /// The model, as `medvlm list models` names it
    model: String,
    /// Checkpoint directory of both, laid out as on the Hugging Face hub, instead of the rows' own
    #[arg(long, value_name = "DIR")]
    weights: Option<PathBuf>,
    /// The model to compare with [default: MODEL-hf, by a public package, or else MODEL-authors, by the authors' own code]
    #[arg(long, value_name = "ROW")]
    reference: Option<String>,
    /// Checkpoint directory of the reference, where it needs another layout
    #[arg(long, value_name = "DIR")]
    reference_weights: Option<PathBuf>,
    /// An image; repeat for several [default: pictures made up here]
    #[arg(long = "image", value_name = "FILE")]
    images: Vec<PathBuf>,
    /// A class text of a contrastive model; repeat for several
    #[arg(long = "text", value_name = "TEXT")]
    texts: Vec<String>,
    /// The bare question to a generative model
    #[arg(long)]
    prompt: Option<String>,
    /// Upper limit of new tokens
    #[arg(long, default_value_t = 32, value_name = "N")]
    max_new_tokens: u32,
    /// Largest difference of a pixel value
    #[arg(long, default_value_t = 1.0 / 255.0, value_name = "X")]
    pixel_tolerance: f64,
    /// Largest difference of any other value, relative to the largest of its array
    #[arg(long, default_value_t = 1e-4, value_name = "X")]
    tolerance: f64,
    #[command(flatten)]
    place: ModelArgs,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl ParityArgs {
    /// Compares and prints; the exit code is 0 where everything agrees and 1 where something does not.
    pub fn run(self, search: &SearchPath) -> Result<u8> {
        let catalogs = Catalogs::load(search)?;
        let settings = self.place.settings(1)?;
        let reference = self.reference.clone().unwrap_or_else(|| reference_of(&catalogs, &self.model));
        let theirs = self.reference_weights.as_ref().or(self.weights.as_ref());
        let model = source(&catalogs, &self.model, self.weights.as_ref(), &settings)?;
        let other = source(&catalogs, &reference, theirs, &settings)?;

        let pictures = self.pictures()?;
        let images: Vec<Image<'_>> =
            pictures.iter().map(|p| Image { width: p.width, height: p.height, rgb: &p.rgb }).collect();
        // The native model goes first and is closed again: two models need not fit into memory at once.
        let mut opened = predict::open_model(&model, &settings)?;
        let request = self.request(opened.description());
        let images = &images[..self.images_of(opened.description(), images.len())];
        let ours = inspect(&self.model, &mut opened, &request, images)?;
        drop(opened);
        let theirs = inspect(&reference, &mut predict::open_model(&other, &settings)?, &request, images)?;
        let limits = Limits { pixels: self.pixel_tolerance, relative: self.tolerance };
        let found = parity::compare(&ours, &theirs, limits);
        if self.json {
            println!(
                "{}",
                json!({ "model": self.model, "reference": reference, "images": images.len(), "parity": found })
            );
        } else {
            println!("{} against {reference}: {} images, {} texts", self.model, images.len(), request.texts.len());
            print(&found);
        }
        Ok(if found.pass { COMPLETE } else { INCOMPLETE })
    }

    fn pictures(&self) -> Result<Vec<Picture>> {
        let read = |path: &PathBuf| {
            let pixels = read_image(path)?;
            Ok(Picture { width: pixels.width, height: pixels.height, rgb: pixels.rgb })
        };
        if self.images.is_empty() { Ok(parity::pictures()) } else { self.images.iter().map(read).collect() }
    }

    fn request(&self, description: &Description) -> Inspect {
        let given = !self.texts.is_empty() || self.prompt.is_some();
        let (texts, prompt) = match (given, answers_only(description)) {
            (true, _) => (self.texts.clone(), self.prompt.clone()),
            (false, true) => (Vec::new(), Some(PROMPT.to_string())),
            (false, false) => (TEXTS.map(String::from).to_vec(), None),
        };
        let decoding = Decoding { max_new_tokens: self.max_new_tokens, ..Decoding::default() };
        Inspect { texts, prompt, raw: false, decoding }
    }

    /// How many of the images are shown: a model that answers is asked about one unless several are given.
    fn images_of(&self, description: &Description, all: usize) -> usize {
        if self.images.is_empty() && answers_only(description) { 1 } else { all }
    }
}

/// The row that a model is compared with where none is named.
fn reference_of(catalogs: &Catalogs, model: &str) -> String {
    let (public, authors) = (format!("{model}-hf"), format!("{model}-authors"));
    if catalogs.models.find(&public).is_err() && catalogs.models.find(&authors).is_ok() { authors } else { public }
}

fn source(catalogs: &Catalogs, id: &str, given: Option<&PathBuf>, settings: &Settings) -> Result<ModelSource> {
    let (row, plugin) = catalogs.models.find(id)?;
    let weights = weights::find(&row, plugin, given.map(PathBuf::as_path))?;
    plan::probe(plugin, &settings.place)?;
    Ok(ModelSource { row, plugin: plugin.clone(), weights })
}

fn inspect(id: &str, model: &mut Model, request: &Inspect, images: &[Image<'_>]) -> Result<Inspection> {
    client::inspect(model.door(), request, images).map_err(|e| Error::failed(format!("model `{id}`: {e}")))
}

fn answers_only(description: &Description) -> bool {
    let can = |capability| description.capabilities.contains(&capability);
    can(Capability::Generate) && !can(Capability::ZeroShot)
}

fn print(found: &Parity) {
    for array in &found.arrays {
        let shape = if array.shape == array.reference_shape {
            format!("{:?}", array.shape)
        } else {
            format!("{:?}, reference {:?}", array.shape, array.reference_shape)
        };
        let difference = array.difference.map_or("none".into(), |d| format!("{d:.1e}"));
        let verdict = verdict(array.pass);
        println!("  {:<16}{shape:<24}difference {difference:>8}, at most {:.1e}  {verdict}", array.name, array.limit);
    }
    for tokens in &found.tokens {
        let lengths = format!("{} tokens, reference {}", tokens.length, tokens.reference_length);
        let first = tokens.first_difference.map_or("identical".into(), |at| format!("differ from token {at} on"));
        println!("  {:<16}{lengths:<24}{first}  {}", tokens.name, verdict(tokens.pass));
    }
    for (names, who) in [(&found.model_only, "the model"), (&found.reference_only, "the reference")] {
        if !names.is_empty() {
            println!("  only {who} shows {}", names.join(", "));
        }
    }
    if found.arrays.is_empty() && found.tokens.is_empty() {
        println!("  the two show nothing in common");
    }
    println!("{}", verdict(found.pass));
}

fn verdict(pass: bool) -> &'static str {
    if pass { "PASS" } else { "FAIL" }
}
