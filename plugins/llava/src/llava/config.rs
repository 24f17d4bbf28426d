//! `config.json` of LLaVA's checkpoints, of their authors and of `transformers` (4.53.1), with the defaults of the latter.

use std::path::Path;

use blocks::{Error, Result, decoder::LlamaConfig, layers::Activation};
use bridge::files::{Parsed, id, object, stop_ids, stop_ids_of, text};
use serde_json::{Map, Value};

use super::vision::Vision;

/// What a model reads of `config.json`.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Whose file it is.
    pub layout: Layout,
    /// `llama`, `mistral` or `qwen2`.
    pub language: &'static str,
    /// The language model.
    pub text: LlamaConfig,
    /// The vision tower, where this file tells of it.
    pub vision: Option<Vision>,
    /// Which states of the tower are handed on.
    pub features: Features,
    /// What they pass.
    pub projector: Projector,
    /// Id that stands for a token of an image.
    pub image_id: u32,
    /// Ids that end an answer; none where no file says.
    pub stop_ids: Option<Vec<u32>>,
}

/// Whose layout a checkpoint has.
#[derive(Debug, Clone, PartialEq)]
pub enum Layout {
    /// That of `transformers.LlavaForConditionalGeneration`.
    Hub,
    /// That of the authors of LLaVA and LLaVA-Med.
    Authors {
        /// Images are padded to squares.
        pad: bool,
        /// `<im_start>` and `<im_end>` are put around an image.
        bracketed: bool,
        /// Name of the vision tower.
        tower: String,
    },
}

/// Which states of the vision tower are handed on.
#[derive(Debug, Clone, PartialEq)]
pub struct Features {
    /// Indices in `hidden_states` of `transformers`, from the end where negative; states of several lie side by side.
    pub layers: Vec<i64>,
    /// The first token, which is CLIP's class, is left out.
    pub without_first: bool,
}

/// Linear layers with an activation between them.
#[derive(Debug, Clone, PartialEq)]
pub struct Projector {
    /// Names of the layers.
    pub layers: Vec<String>,
    /// The activation.
    pub activation: Activation,
    /// The layers have biases.
    pub bias: bool,
}

impl Config {
    /// Reads `config.json` in `dir`, and `generation_config.json` where there is one.
    ///
    /// # Errors
    /// A file is missing or corrupt, or `config.json` is none of a LLaVA that is built in.
    pub fn from_dir(dir: &Path) -> Result<Self> {
        let path = dir.join("config.json");
        let raw = object(&path)?;
        let parsed = match raw.keys().any(|key| key.starts_with("mm_")) {
            true => Self::authors(&raw),
            false => Self::hub(&raw),
        };
        let mut config = parsed.map_err(|reason| Error::invalid(&path, reason))?;
        config.stop_ids = stop_ids(dir, config.stop_ids)?;
        Ok(config)
    }

    fn hub(raw: &Map<String, Value>) -> Parsed<Self> {
        let (none, nothing) = (Map::new(), Value::Null);
        let kind = text(raw, "model_type", "");
        if kind != "llava" {
            return Err(format!("`model_type` is `{kind}`, expected `llava`"));
        }
        let words = raw.get("text_config").and_then(Value::as_object).unwrap_or(&none);
        let language = language(text(words, "model_type", "llama"))?;
        let layers = match raw.get("vision_feature_layer").unwrap_or(&nothing) {
            Value::Null => vec![-2],
            Value::Array(layers) => layers.iter().map(whole).collect::<Parsed<_>>()?,
            layer => vec![whole(layer)?],
        };
        let without_first = match text(raw, "vision_feature_select_strategy", "default") {
            "default" => true,
            "full" => false,
            other => return Err(unknown("vision_feature_select_strategy", other, "`default` and `full`")),
        };
        let activation = raw.get("projector_hidden_act").filter(|value| !value.is_null());
        let activation = activation.map(|value| {
            serde_json::from_value(value.clone()).map_err(|_| {
                unknown("projector_hidden_act", &value.to_string(), "`gelu`, `gelu_pytorch_tanh`, `quick_gelu`, `relu`")
            })
        });
        let image = ["image_token_index", "image_token_id"].iter().find_map(|key| raw.get(*key));
        Ok(Self {
            layout: Layout::Hub,
            language,
            text: LlamaConfig::parse(language, words)?,
            vision: Some(Vision::of_llava(raw.get("vision_config"))?),
            features: Features { layers, without_first },
            projector: Projector {
                layers: vec!["projector.0".into(), "projector.2".into()],
                activation: activation.transpose()?.unwrap_or(Activation::Gelu),
                bias: raw.get("multimodal_projector_bias") != Some(&Value::Bool(false)),
            },
            image_id: image.map_or(Ok(32000), id)?,
            stop_ids: stop_ids_of(language, &[raw, words])?,
        })
    }

    fn authors(raw: &Map<String, Value>) -> Parsed<Self> {
        let language = match text(raw, "model_type", "") {
            "llava" | "llava_llama" => "llama",
            "llava_mistral" => "mistral",
            "llava_qwen" | "llava_qwen2" => "qwen2",
            other => {
                return Err(unknown("model_type", other, "`llava`, `llava_llama`, `llava_mistral` and `llava_qwen`"));
            }
        };
        let pad = match text(raw, "image_aspect_ratio", "square") {
            "pad" => true,
            "square" => false,
            other => return Err(unknown("image_aspect_ratio", other, "`pad` and `square`")),
        };
        let without_first = match text(raw, "mm_vision_select_feature", "patch") {
            "patch" => true,
            "cls_patch" => false,
            other => return Err(unknown("mm_vision_select_feature", other, "`patch` and `cls_patch`")),
        };
        let words = LlamaConfig::parse(language, raw)?;
        let vision = raw.get("vision_config").filter(|value| value.is_object());
        Ok(Self {
            layout: Layout::Authors {
                pad,
                bracketed: raw.get("mm_use_im_start_end") == Some(&Value::Bool(true)),
                tower: text(raw, "mm_vision_tower", text(raw, "vision_tower", "")).to_string(),
            },
            language,
            vision: vision.map(|value| Vision::of_llava(Some(value))).transpose()?,
            features: Features {
                layers: vec![raw.get("mm_vision_select_layer").map_or(Ok(-2), whole)?],
                without_first,
            },
            projector: Projector {
                layers: projector_layers(text(raw, "mm_projector_type", "linear"))?,
                activation: Activation::Gelu,
                bias: true,
            },
            // Their code has no id for images; the first behind the vocabulary is what conversions give to them.
            image_id: words.vocab_size as u32,
            stop_ids: stop_ids_of(language, &[raw])?,
            text: words,
        })
    }
}

impl Features {
    /// How many of the tower's `layers` precede each chosen state.
    ///
    /// # Errors
    /// There are fewer layers.
    pub fn depths(&self, layers: usize) -> Parsed<Vec<usize>> {
        let depth = |&layer: &i64| {
            let depth = if layer < 0 { layers as i64 + 1 + layer } else { layer };
            let depth = usize::try_from(depth).ok().filter(|&depth| depth <= layers);
            depth.ok_or_else(|| {
                format!("features of layer {layer} are asked for, but the vision tower has {layers} layers")
            })
        };
        match self.layers.is_empty() {
            true => Err("`vision_feature_layer` names no layer".into()),
            false => self.layers.iter().map(depth).collect(),
        }
    }
}

/// Names of the layers, which have those of the activations between them.
fn projector_layers(kind: &str) -> Parsed<Vec<String>> {
    if kind == "linear" {
        return Ok(vec!["projector".into()]);
    }
    let depth = kind.strip_prefix("mlp").and_then(|rest| rest.strip_suffix("x_gelu")?.parse::<usize>().ok());
    match depth {
        Some(depth @ 1..) => Ok((0..depth).map(|n| format!("projector.{}", 2 * n)).collect()),
        _ => Err(unknown("mm_projector_type", kind, "`linear` and `mlp2x_gelu`")),
    }
}

fn language(kind: &str) -> Parsed<&'static str> {
    let known = ["llama", "mistral", "qwen2"].into_iter().find(|known| *known == kind);
    known.ok_or_else(|| format!("the language model is `{kind}`; known are `llama`, `mistral` and `qwen2`"))
}

fn whole(value: &Value) -> Parsed<i64> {
    value.as_i64().ok_or_else(|| format!("{value} is no index of a layer"))
}

fn unknown(key: &str, found: &str, known: &str) -> String {
    format!("`{key}` is `{found}`; known are {known}")
}
