//! Training splits to adapters: features are extracted once and kept by pixel digest, then a head is fitted on them.

use std::{collections::BTreeMap, path::Path};

use plugin_api::{Image, client, message::ZeroShot};
use rayon::prelude::*;
use serde_json::json;

use crate::{
    adapter::{Adapter, ClipAdapter, ClipAdapterSettings, Config, Examples, FeatureStore, LinearProbe, STRENGTHS},
    dataset::{Dataset, Pixels, Sample, Target},
    error::{Error, Result},
    ids::{Usage, digest},
    model::Model,
    run::{Cell, Observer, Settings, check_interrupt, predict},
    stats,
};

/// Directory of a trained adapter in a cell's directory.
pub const DIR: &str = "adapter";

/// Share of the training patients that choose the head where a dataset has no validation split.
const HELD_OUT: f64 = 0.2;

/// The adapter of a cell: given, on disk, or trained now.
pub fn adapter(
    cell: &Cell,
    run_dir: &Path,
    dataset: &Dataset,
    model: &mut Model,
    settings: &Settings,
    observer: &dyn Observer,
) -> Result<Adapter> {
    if let Some(given) = &settings.adapter {
        return load(cell, given);
    }
    let dir = cell.dir(run_dir).join(DIR);
    if dir.exists() {
        return load(cell, &dir);
    }
    let mut store = store(cell, run_dir, model)?;
    let (train, validation) = splits(cell, dataset)?;
    let mut set = |name: &str, samples: &[Sample]| {
        let work = format!("features of {} {name} images", samples.len());
        features(cell, dataset, model, &mut store, settings, observer, &work, samples)
    };
    let (train_features, train_labels) = set("training", &train)?;
    let (validation_features, validation_labels) = set("validation", &validation)?;
    let columns = model.description().feature_dim as usize;
    let train = Examples { columns, features: &train_features, labels: &train_labels };
    let validation = Examples { columns, features: &validation_features, labels: &validation_labels };
    let classes: Vec<String> = cell.manifest.classes.iter().map(|c| c.name.clone()).collect();
    let mut training = BTreeMap::from([
        ("train_samples".to_string(), json!(train_labels.len())),
        ("validation_samples".to_string(), json!(validation_labels.len())),
    ]);
    let multi_label = cell.manifest.multi_label();
    let adapter = match cell.id.usage {
        Usage::ClipAdapter => {
            let (embeddings, scale) = class_embeddings(cell, dataset, model)?;
            let how = ClipAdapterSettings { seed: cell.id.seed, ..ClipAdapterSettings::default() };
            let (adapter, losses) = ClipAdapter::fit(train, validation, &embeddings, scale, how);
            training.insert("validation_losses".into(), json!(losses));
            Adapter::ClipAdapter(adapter)
        }
        _ => {
            let fit = LinearProbe::fit(train, validation, classes.len(), multi_label, &STRENGTHS);
            training.insert("l2".into(), json!(fit.strength));
            training.insert("l2_tried".into(), json!(STRENGTHS));
            training.insert("validation_losses".into(), json!(fit.validation));
            Adapter::LinearProbe(fit.probe)
        }
    };
    let config =
        Config { usage: cell.id.usage, classes, feature_dim: columns, multi_label, seed: cell.id.seed, training };
    // A crash while saving must not leave half an adapter where a whole one is expected.
    let fresh = dir.with_extension("part");
    adapter.save(&config, &fresh)?;
    std::fs::rename(&fresh, &dir).map_err(Error::io(&dir))?;
    Ok(adapter)
}

/// The feature store of a cell's model in a run directory.
pub fn store(cell: &Cell, run_dir: &Path, model: &Model) -> Result<FeatureStore> {
    let columns = model.description().feature_dim as usize;
    if columns == 0 {
        return Err(Error::failed(format!("model `{}` names no feature_dim", cell.id.model)));
    }
    // Everything that features depend on, beside the pixels.
    let parts: Vec<String> = cell
        .fingerprint
        .iter()
        .filter(|(key, _)| key.starts_with("model.") || ["device", "dtype"].contains(&key.as_str()))
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    let name = format!("{}.{}", cell.id.model, &digest(parts.join("\n").as_bytes())[..12]);
    FeatureStore::open(&run_dir.join("features").join(name), columns)
}

/// Features of images whose pixel digests are known, from the store or from the model.
pub fn extract(
    model: &mut Model,
    store: &mut FeatureStore,
    images: &[(&str, &Pixels)],
) -> plugin_api::Result<Vec<Vec<f32>>> {
    let missing: Vec<&(&str, &Pixels)> = images.iter().filter(|(digest, _)| store.get(digest).is_none()).collect();
    if !missing.is_empty() {
        let views: Vec<Image<'_>> =
            missing.iter().map(|(_, p)| Image { width: p.width, height: p.height, rgb: &p.rgb }).collect();
        let rows = client::features(model.door(), &views)?.matrix;
        if rows.data.iter().any(|v| !v.is_finite()) {
            return Err(plugin_api::Error::input("the model returned a feature that is not a finite number"));
        }
        let fresh = missing.iter().enumerate().map(|(i, (digest, _))| (digest.to_string(), rows.row(i).to_vec()));
        store
            .append(fresh.collect())
            .map_err(|e| plugin_api::Error::new(plugin_api::ErrorKind::Cancelled, e.to_string()))?;
    }
    Ok(images.iter().map(|(digest, _)| store.get(digest).unwrap_or_default().to_vec()).collect())
}

/// Digest of decoded images, as predictions carry it.
pub fn pixel_digest(images: &[Pixels]) -> String {
    let mut hasher = blake3::Hasher::new();
    for image in images {
        hasher.update(&image.width.to_le_bytes()).update(&image.height.to_le_bytes()).update(&image.rgb);
    }
    hasher.finalize().to_hex()[..32].to_string()
}

fn load(cell: &Cell, dir: &Path) -> Result<Adapter> {
    let (adapter, config) = Adapter::load(dir)?;
    let classes: Vec<&str> = cell.manifest.classes.iter().map(|c| c.name.as_str()).collect();
    if config.classes != classes {
        let (found, expected) = (config.classes.join(", "), classes.join(", "));
        return Err(Error::invalid(
            dir,
            format!("was trained for the classes {found}; {} has {expected}", cell.id.dataset),
        ));
    }
    if config.usage != cell.id.usage {
        return Err(Error::invalid(dir, format!("is for `{}`, not for `{}`", config.usage, cell.id.usage)));
    }
    Ok(adapter)
}

/// Training and validation samples. A dataset without a validation split of its own lends some of its training patients.
fn splits(cell: &Cell, dataset: &Dataset) -> Result<(Vec<Sample>, Vec<Sample>)> {
    let split = |name: &str| predict::known(dataset.samples(name, cell.id.task)?);
    let train = split(cell.evaluation.training_split())?;
    if let Some(validation) = cell.evaluation.validation_split(cell.manifest.splits.keys()) {
        return Ok((train, split(validation)?));
    }
    let patients: Vec<&str> = train.iter().map(|s| s.patient.as_deref().unwrap_or(&s.id)).collect();
    let held_out = stats::Clusters::new(&patients).share(HELD_OUT, cell.id.seed);
    let (mut kept, mut lent) = (Vec::new(), Vec::new());
    for (position, sample) in train.iter().enumerate() {
        let side = if held_out.contains(&(position as u32)) { &mut lent } else { &mut kept };
        side.push(sample.clone());
    }
    Ok((kept, lent))
}

#[expect(clippy::too_many_arguments, reason = "one place where everything of a cell meets")]
fn features(
    cell: &Cell,
    dataset: &Dataset,
    model: &mut Model,
    store: &mut FeatureStore,
    settings: &Settings,
    observer: &dyn Observer,
    work: &str,
    samples: &[Sample],
) -> Result<(Vec<f32>, Vec<Vec<u32>>)> {
    observer.begin(&cell.id, work, 0, samples.len());
    let (mut rows, mut labels, mut unreadable) = (Vec::new(), Vec::new(), 0);
    for batch in samples.chunks(settings.batch_size.max(1)) {
        check_interrupt()?;
        let decoded: Vec<Option<(String, Pixels)>> = batch
            .par_iter()
            .map(|sample| {
                let pixels = dataset.pixels(sample.images.first()?).ok()?;
                Some((pixel_digest(std::slice::from_ref(&pixels)), pixels))
            })
            .collect();
        let images: Vec<(&str, &Pixels)> = decoded.iter().flatten().map(|(d, p)| (d.as_str(), p)).collect();
        let made = extract(model, store, &images)
            .map_err(|e| Error::failed(format!("{}: cannot extract features: {e}", cell.id)))?;
        rows.extend(made.into_iter().flatten());
        for (sample, image) in batch.iter().zip(&decoded) {
            match (&sample.target, image) {
                (Target::Labels(truth), Some(_)) => labels.push(truth.clone()),
                _ => unreadable += 1,
            }
        }
        observer.advance(batch.len());
    }
    observer.end(unreadable);
    if labels.is_empty() {
        return Err(Error::failed(format!("{}: no readable image to fit on ({work})", cell.id)));
    }
    Ok((rows, labels))
}

fn class_embeddings(cell: &Cell, dataset: &Dataset, model: &mut Model) -> Result<(Vec<f32>, f32)> {
    let classes = ZeroShot { classes: dataset.class_prompts(cell.evaluation.prompts.as_deref())? };
    let about = model.description().clone();
    let embeddings = client::classes(model.door(), &classes).map_err(|e| Error::failed(format!("{}: {e}", cell.id)))?;
    if about.logit_scale <= 0.0 || embeddings.columns != about.feature_dim as usize {
        return Err(Error::usage(format!(
            "{}: `clip-adapter` needs image features and class embeddings in one space, which this model does not have",
            cell.id
        )));
    }
    Ok((embeddings.data, about.logit_scale))
}
