//! `config.json` of XGen-MM, and what only its tensors tell.

use std::path::Path;

use blocks::{
    Error, Result,
    decoder::LlamaConfig,
    layers::{Activation, EncoderConfig},
    vision::VitConfig,
    weights::Weights,
};
use bridge::files::{Parsed, object, stop_ids_of, text};
use serde_json::{Map, Value};

use super::{keys::NAMES, perceiver::PerceiverConfig};

/// What a model reads of its files.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// The vision tower.
    pub vit: VitConfig,
    /// What its states pass.
    pub perceiver: PerceiverConfig,
    /// The language model.
    pub text: LlamaConfig,
    /// Ids below this one are those of the language model.
    pub base: usize,
    /// Ids that end an answer, as far as this file names them.
    pub stop_ids: Option<Vec<u32>>,
}

/// Of the published tower: values of a head.
const HEAD_WIDTH: usize = 80;
/// Of the published perceiver.
const DIM_HEAD: usize = 96;
/// Of the published tower and perceiver.
const HEADS: usize = 16;
/// Of the published tokenizer: tokens.
const BASE: usize = 32012;

impl Config {
    /// Reads `config.json` in `dir`; dimensions that it does not name are those of the tensors.
    ///
    /// # Errors
    /// The file is missing or corrupt, or asks for what is not built in, or a tensor is missing.
    pub fn new(dir: &Path, weights: &Weights) -> Result<Self> {
        let path = dir.join("config.json");
        let raw = object(&path)?;
        let invalid = |reason: String| Error::invalid(&path, reason);
        let kind = text(&raw, "model_type", "");
        if !matches!(kind, "xgenmm" | "xgen_mm") {
            return Err(invalid(format!("`model_type` is `{kind}`, expected `xgenmm`")));
        }
        let none = Map::new();
        let part = |key: &str| raw.get(key).and_then(Value::as_object).unwrap_or(&none);
        let (vision, tokenizer, words) =
            (part("vision_encoder_config"), part("vision_tokenizer_config"), part("text_config"));
        let text = LlamaConfig::parse(text(words, "model_type", "phi3"), words).map_err(invalid)?;
        let base = count(words, "initial_tokenizer_len").map_err(invalid)?.unwrap_or(BASE);
        if base > text.vocab_size {
            let reason = format!("`initial_tokenizer_len` is {base}, but `vocab_size` is {}", text.vocab_size);
            return Err(invalid(reason));
        }
        let vit = tower(vision, weights, dir).map_err(|e| blame(e, &path))?;
        Ok(Self {
            perceiver: perceiver(tokenizer, weights, dir, text.hidden_size).map_err(|e| blame(e, &path))?,
            stop_ids: stop_ids_of("phi3", &[words]).map_err(invalid)?,
            vit,
            base,
            text,
        })
    }
}

fn tower(raw: &Map<String, Value>, weights: &Weights, dir: &Path) -> Result<VitConfig> {
    let weights = weights.at("vision");
    let [width, channels, patch, _] = shape(&weights, "vision", "patch.weight", dir)?;
    let [positions, _] = shape(&weights, "vision", "position", dir)?;
    let [mlp, _] = shape(&weights, "vision", "layers.0.fc1.weight", dir)?;
    if channels != 3 {
        return Err(Error::Setting(format!("the vision tower takes {channels} channels, expected 3")));
    }
    let quick = text(raw, "model_name", "ViT-H-14-378-quickgelu").contains("quickgelu");
    let size = match count(raw, "image_size").map_err(Error::Setting)? {
        None => count(raw, "force_image_size").map_err(Error::Setting)?,
        size => size,
    };
    Ok(VitConfig {
        encoder: EncoderConfig {
            width,
            depth: weights.at("layers").count("fc1.weight"),
            heads: heads(raw, width, ("head_width", HEAD_WIDTH))?,
            mlp,
            activation: if quick { Activation::QuickGelu } else { Activation::Gelu },
            eps: 1e-5,
            fused_qkv: true,
        },
        image_size: size.unwrap_or((positions.max(1) - 1).isqrt() * patch),
        patch,
        channels,
        class_token: true,
        pre_norm: true,
        patch_bias: false,
    })
}

fn perceiver(raw: &Map<String, Value>, weights: &Weights, dir: &Path, language: usize) -> Result<PerceiverConfig> {
    let weights = weights.at("perceiver");
    let [latents, width] = shape(&weights, "perceiver", "latents", dir)?;
    let [inner, _] = shape(&weights, "perceiver", "layers.0.query.weight", dir)?;
    let [mlp, _] = shape(&weights, "perceiver", "layers.0.fc1.weight", dir)?;
    let told = |key, found: usize| Ok::<_, Error>(count(raw, key).map_err(Error::Setting)?.unwrap_or(found));
    Ok(PerceiverConfig {
        width: told("vis_feature_dim", width)?,
        latents: told("num_vis_tokens", latents)?,
        depth: weights.at("layers").count("query.weight"),
        heads: heads(raw, inner, ("dim_head", DIM_HEAD))?,
        inner,
        mlp,
        language: told("lang_embedding_dim", language)?,
    })
}

/// Heads that `width` values are divided among: as told, or of the width told or published, or as many as published.
fn heads(raw: &Map<String, Value>, width: usize, (key, published): (&str, usize)) -> Result<usize> {
    if let Some(heads) = count(raw, "heads").map_err(Error::Setting)? {
        return Ok(heads);
    }
    let told = count(raw, key).map_err(Error::Setting)?;
    let head = told.unwrap_or(published);
    match width.is_multiple_of(head) {
        true => Ok(width / head),
        false if told.is_none() && width.is_multiple_of(HEADS) => Ok(HEADS),
        false => Err(Error::Setting(format!("`{key}` is {head}, which does not divide {width}; `heads` can tell"))),
    }
}

/// Shape of a tensor that tells dimensions.
fn shape<const N: usize>(weights: &Weights, part: &str, name: &str, dir: &Path) -> Result<[usize; N]> {
    let public = NAMES.public(&format!("{part}.{name}"));
    let found = weights.shape(name).ok_or_else(|| Error::invalid(dir, format!("tensor `{public}` is missing")))?;
    found
        .try_into()
        .map_err(|found| Error::invalid(dir, format!("tensor `{public}` has shape {found:?}, expected {N} axes")))
}

/// A number above 0 under `key`.
fn count(raw: &Map<String, Value>, key: &str) -> Parsed<Option<usize>> {
    match raw.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => match value.as_u64().filter(|&count| count > 0) {
            Some(count) => Ok(Some(count as usize)),
            None => Err(format!("`{key}` is {value}; expected a number above 0")),
        },
    }
}

/// An error of a dimension is one of the file.
fn blame(e: Error, path: &Path) -> Error {
    match e {
        Error::Setting(reason) => Error::invalid(path, reason),
        other => other,
    }
}
