//! The configurations in a VILA checkpoint: one at the top and one in each of its three folders.

use std::path::Path;

use blocks::{
    Error, Result,
    decoder::LlamaConfig,
    layers::{Activation, EncoderConfig},
    vision::VitConfig,
};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Map, Value};

use super::projector::Kind;
use crate::nvila::Scales;

/// What a checkpoint says of itself.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// The vision tower.
    pub tower: VitConfig,
    /// Layers of the tower whose states count.
    pub depth: usize,
    /// The projector.
    pub projector: Kind,
    /// The language model.
    pub language: LlamaConfig,
    /// The scales of a model that looks at several.
    pub scales: Option<Scales>,
    /// Ids that end an answer, as far as the files name them.
    pub ends: Vec<u32>,
}

/// The folder of the language model, with its tokenizer.
pub const LANGUAGE: &str = "llm";
/// The folder of the vision tower.
pub const TOWER: &str = "vision_tower";
/// The folder of the projector.
pub const PROJECTOR: &str = "mm_projector";
const FILE: &str = "config.json";

/// The file at the top.
#[derive(Deserialize)]
#[serde(default)]
struct Top {
    model_type: String,
    mm_vision_select_layer: i64,
    mm_vision_select_feature: String,
    image_aspect_ratio: String,
    s2: bool,
    s2_scales: Sides,
    s2_resize_output_to_scale_idx: i64,
    max_tiles: usize,
}

/// Either form that the authors' code takes.
#[derive(Deserialize)]
#[serde(untagged)]
enum Sides {
    List(Vec<usize>),
    Text(String),
}

/// `transformers.SiglipVisionConfig`, 4.53.1.
#[derive(Deserialize)]
#[serde(default)]
struct Tower {
    hidden_size: usize,
    intermediate_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    num_channels: usize,
    image_size: usize,
    patch_size: usize,
    hidden_act: Activation,
    layer_norm_eps: f64,
}

#[derive(Deserialize)]
struct Projector {
    mm_projector_type: String,
}

type Parsed<T> = std::result::Result<T, String>;

impl Settings {
    /// Reads them in `dir`; `kind` is the language model where its configuration names none.
    ///
    /// # Errors
    /// A file is missing or no such configuration, or asks for what is not built in.
    pub fn from_dir(dir: &Path, kind: &str) -> Result<Self> {
        let tower: VitConfig = read(&dir.join(TOWER).join(FILE), vision)?;
        let (depth, scales) = read(&dir.join(FILE), |raw| top(raw, &tower))?;
        let projector =
            read(&dir.join(PROJECTOR).join(FILE), |raw| Kind::parse(&parse::<Projector>(raw)?.mm_projector_type))?;
        let folder = dir.join(LANGUAGE);
        let (language, mut ends) = read(&folder.join(FILE), |raw| {
            let kind = raw.get("model_type").and_then(Value::as_str).unwrap_or(kind);
            Ok((LlamaConfig::parse(kind, raw)?, ids(raw)?))
        })?;
        let generation = folder.join("generation_config.json");
        if generation.is_file() {
            let told = read(&generation, ids)?;
            ends = if told.is_empty() { ends } else { told };
        }
        Ok(Self { tower, depth, projector, language, scales, ends })
    }
}

fn vision(raw: &Map<String, Value>) -> Parsed<VitConfig> {
    let found = raw.get("model_type").and_then(Value::as_str).unwrap_or_default();
    if !matches!(found, "" | "siglip_vision_model" | "siglip") {
        return Err(format!("`model_type` is `{found}`, expected `siglip_vision_model`"));
    }
    let nested = raw.get("vision_config").and_then(Value::as_object);
    let tower: Tower = parse(nested.unwrap_or(raw))?;
    Ok(VitConfig {
        encoder: EncoderConfig {
            width: tower.hidden_size,
            depth: tower.num_hidden_layers,
            heads: tower.num_attention_heads,
            mlp: tower.intermediate_size,
            activation: tower.hidden_act,
            eps: tower.layer_norm_eps,
            fused_qkv: false,
        },
        image_size: tower.image_size,
        patch: tower.patch_size,
        channels: tower.num_channels,
        class_token: false,
        pre_norm: false,
        patch_bias: true,
    })
}

/// Layers that count, and the scales.
fn top(raw: &Map<String, Value>, tower: &VitConfig) -> Parsed<(usize, Option<Scales>)> {
    let top: Top = parse(raw)?;
    if !top.model_type.starts_with("llava") {
        return Err(format!("`model_type` is `{}`, expected `llava_llama`", top.model_type));
    }
    if top.mm_vision_select_feature != "cls_patch" {
        let feature = top.mm_vision_select_feature;
        return Err(format!(
            "`mm_vision_select_feature` is `{feature}`; only `cls_patch` suits a tower without a class token"
        ));
    }
    let (layer, layers) = (top.mm_vision_select_layer, tower.encoder.depth);
    let depth = if layer < 0 { layer + layers as i64 + 1 } else { layer };
    let depth = usize::try_from(depth).ok().filter(|&depth| depth <= layers);
    let depth =
        depth.ok_or_else(|| format!("`mm_vision_select_layer` is {layer}, but the tower has {layers} layers"))?;
    let scales = match top.image_aspect_ratio.as_str() {
        "resize" | "square" if !top.s2 => None,
        "resize" | "square" => return Err("`s2` is true, but scales in fixed squares are not built in".into()),
        "dynamic_s2" => Some(Scales::new(top.s2_scales.read()?, top.max_tiles, top.s2_resize_output_to_scale_idx)?),
        other => {
            return Err(format!("`image_aspect_ratio` is `{other}`; known are `resize`, `square` and `dynamic_s2`"));
        }
    };
    match scales.as_ref().map(Scales::tile).filter(|&tile| tile != tower.image_size) {
        Some(tile) => Err(format!("`s2_scales` begin at {tile}, but the tower takes {} pixels", tower.image_size)),
        None => Ok((depth, scales)),
    }
}

/// `eos_token_id`: a number, several or none.
fn ids(raw: &Map<String, Value>) -> Parsed<Vec<u32>> {
    let value = match raw.get("eos_token_id") {
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(Value::Array(ids)) => Value::Array(ids.clone()),
        Some(id) => Value::Array(vec![id.clone()]),
    };
    serde_json::from_value(value).map_err(|_| format!("`eos_token_id` is {}; expected ids", raw["eos_token_id"]))
}

fn read<T>(path: &Path, parse: impl FnOnce(&Map<String, Value>) -> Parsed<T>) -> Result<T> {
    let text = std::fs::read_to_string(path).map_err(|source| Error::Read { path: path.to_path_buf(), source })?;
    let raw = serde_json::from_str(&text).map_err(|e| Error::invalid(path, format!("not a configuration: {e}")))?;
    parse(&raw).map_err(|reason| Error::invalid(path, reason))
}

/// What is null counts as absent.
fn parse<T: DeserializeOwned>(raw: &Map<String, Value>) -> Parsed<T> {
    let told = raw.iter().filter(|(_, value)| !value.is_null());
    let told = told.map(|(key, value)| (key.clone(), value.clone())).collect();
    serde_json::from_value(Value::Object(told)).map_err(|e| format!("not a configuration of this model: {e}"))
}

impl Sides {
    fn read(self) -> Parsed<Vec<usize>> {
        match self {
            Self::List(sides) => Ok(sides),
            Self::Text(text) => {
                let sides = text.split(',').map(|side| side.trim().parse());
                sides
                    .collect::<std::result::Result<_, _>>()
                    .map_err(|_| format!("`s2_scales` is \"{text}\", expected numbers"))
            }
        }
    }
}

impl Default for Top {
    fn default() -> Self {
        Self {
            model_type: "llava_llama".into(),
            mm_vision_select_layer: -2,
            mm_vision_select_feature: "cls_patch".into(),
            image_aspect_ratio: "resize".into(),
            s2: false,
            s2_scales: Sides::List(vec![448, 896, 1344]),
            s2_resize_output_to_scale_idx: 0,
            max_tiles: 12,
        }
    }
}

impl Default for Tower {
    fn default() -> Self {
        Self {
            hidden_size: 768,
            intermediate_size: 3072,
            num_hidden_layers: 12,
            num_attention_heads: 12,
            num_channels: 3,
            image_size: 224,
            patch_size: 16,
            hidden_act: Activation::GeluTanh,
            layer_norm_eps: 1e-6,
        }
    }
}
