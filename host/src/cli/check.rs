//! `medvlm check`: does a plugin load, and does a model answer?

use std::path::PathBuf;

use clap::Args;
use plugin_api::{
    Capability, Events, Image, Request, client,
    message::{Generate, Texts, ZeroShot, event},
};

use super::ModelArgs;
use crate::{
    error::{COMPLETE, Error, Result, suggest},
    model::{Catalog, Model, weights},
    run::{plan, plan::ModelSource, predict},
};

/// Arguments of `medvlm check`.
#[derive(Args)]
pub struct CheckArgs {
    /// The plugin library; `NAME.toml` beside it names its models
    plugin: PathBuf,
    /// Also open this model and try each capability that it claims, on small pictures made up here
    #[arg(long, value_name = "ID")]
    model: Option<String>,
    /// Checkpoint directory of that model
    #[arg(long, value_name = "DIR", requires = "model")]
    weights: Option<PathBuf>,
    #[command(flatten)]
    place: ModelArgs,
}

/// Sides of the pictures that a model is tried on: odd, wide and tall.
const SIDES: [(u32, u32); 3] = [(37, 37), (64, 21), (20, 50)];

impl CheckArgs {
    /// Checks and says what was checked.
    pub fn run(self) -> Result<u8> {
        let library = self.plugin.canonicalize().map_err(|e| {
            Error::invalid(
                &self.plugin,
                format!("no plugin library can be read there ({e}): build it, or correct the path"),
            )
        })?;
        let mut catalog = Catalog::default();
        catalog.add(library)?;
        let settings = self.place.settings(SIDES.len())?;
        let plugin = &catalog.plugins()[0];
        let info = plan::probe(plugin, &settings.place)?;
        println!("{} {} for plugin ABI {}: loads", info.name, info.version, info.abi);
        for architecture in &info.architectures {
            println!("  architecture {}: {}", architecture.id, architecture.summary);
        }
        for (row, _) in catalog.models() {
            if !info.architectures.iter().any(|a| a.id == row.architecture) {
                let known = suggest(&row.architecture, info.architectures.iter().map(|a| a.id.as_str()));
                let place = plugin.manifest.as_deref().unwrap_or(&plugin.library);
                return Err(Error::invalid(
                    place,
                    format!("model `{}` wants architecture `{}`{known}", row.id, row.architecture),
                ));
            }
            println!("  model {}: {}", row.id, row.title);
        }
        let tried: Vec<String> = match &self.model {
            Some(id) => vec![id.clone()],
            // Models without weights can be tried as they are, but for those that are somewhere else.
            None => catalog
                .models()
                .filter(|(row, _)| row.weights.is_none() && row.obtain.is_empty() && !row.is_remote())
                .map(|(row, _)| row.id.clone())
                .collect(),
        };
        for id in tried {
            let (row, plugin) = catalog.find(&id)?;
            let checkpoint = weights::find(&row, plugin, self.weights.as_deref())?;
            let source = ModelSource { row, plugin: plugin.clone(), weights: checkpoint };
            let mut model = predict::open_model(&source, &settings)?;
            for line in
                try_model(&mut model).map_err(|e| Error::invalid(&plugin.library, format!("model `{id}`: {e}")))?
            {
                println!("  model {id}: {line}");
            }
        }
        println!("ok");
        Ok(COMPLETE)
    }
}

/// Tries every capability that the model claims; a batch must give what its members give alone.
fn try_model(model: &mut Model) -> plugin_api::Result<Vec<String>> {
    let pictures: Vec<Vec<u8>> = SIDES.iter().map(|(w, h)| picture(*w, *h)).collect();
    let images: Vec<Image<'_>> = SIDES
        .iter()
        .zip(&pictures)
        .map(|((width, height), rgb)| Image { width: *width, height: *height, rgb })
        .collect();
    let classes = ZeroShot { classes: vec![vec!["a bright picture".into()], vec!["a dark picture".into()]] };
    let mut lines = Vec::new();
    for capability in model.description().capabilities.clone() {
        match capability {
            Capability::ZeroShot => {
                let rows = client::zero_shot(model.door(), &images, &classes)?.matrix;
                for (position, image) in images.iter().enumerate() {
                    let alone = client::zero_shot(model.door(), std::slice::from_ref(image), &classes)?.matrix;
                    same("zero-shot", rows.row(position), alone.row(0))?;
                }
                lines.push(format!("zero-shot answers {} logits an image, alone as in a batch", rows.columns));
            }
            Capability::Features => {
                let rows = client::features(model.door(), &images)?.matrix;
                for (position, image) in images.iter().enumerate() {
                    let alone = client::features(model.door(), std::slice::from_ref(image))?.matrix;
                    same("features", rows.row(position), alone.row(0))?;
                }
                lines.push(format!("features have {} columns, alone as in a batch", rows.columns));
            }
            Capability::Generate => {
                let request =
                    Request { prompt: "Is this picture bright?".into(), images: vec![0], ..Request::default() };
                let job = Generate { requests: vec![request], ..Generate::default() };
                let answers = Count(std::sync::atomic::AtomicUsize::new(0));
                client::generate(model.door(), &job, &images[..1], &answers)?;
                let finished = answers.0.load(std::sync::atomic::Ordering::Relaxed);
                if finished != 1 {
                    return Err(plugin_api::Error::input(format!(
                        "generate handed over {finished} answers to one request"
                    )));
                }
                lines.push("generate answers".into());
            }
            Capability::Choose => {
                let options = vec!["yes".to_string(), "no".to_string()];
                let request = Request { prompt: "Is it?".into(), images: vec![0], options, ..Request::default() };
                let job = Generate { requests: vec![request], ..Generate::default() };
                let rows = client::choose(model.door(), &job, &images[..1])?;
                if rows.len() != 1 || rows[0].len() != 2 {
                    return Err(plugin_api::Error::input("choose did not rate each option".to_string()));
                }
                lines.push("choose rates each option".into());
            }
            Capability::EmbedText => {
                let texts = Texts { texts: vec!["one".into(), "two words".into()] };
                let matrices = client::embed_text(model.door(), &texts)?;
                lines.push(format!("embed-text embeds {} texts", matrices.len()));
            }
            Capability::Train | Capability::Unknown => {
                lines.push("claims a capability that this check does not try".into());
            }
        }
    }
    Ok(lines)
}

fn same(what: &str, batch: &[f32], alone: &[f32]) -> plugin_api::Result<()> {
    let apart = batch.iter().zip(alone).any(|(a, b)| (a - b).abs() > 1e-3 * (1.0 + b.abs()) || !a.is_finite());
    if apart || batch.len() != alone.len() {
        return Err(plugin_api::Error::input(format!("{what} gives {batch:?} in a batch and {alone:?} alone")));
    }
    Ok(())
}

fn picture(width: u32, height: u32) -> Vec<u8> {
    (0..height)
        .flat_map(|y| {
            (0..width).flat_map(move |x| [(x * 7 % 256) as u8, (y * 11 % 256) as u8, ((x ^ y) * 5 % 256) as u8])
        })
        .collect()
}

/// Counts finished answers.
struct Count(std::sync::atomic::AtomicUsize);

impl Events for Count {
    fn event(
        &self,
        op: &str,
        _: &str,
        _: &[plugin_api::Blob<'_>],
    ) -> plugin_api::Result<(String, Vec<plugin_api::Array>)> {
        if op == event::FINISHED {
            self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        }
        Ok(("null".into(), Vec::new()))
    }
}
