//! The typed messages behind each op. Every field has a default, so that either side may be the older.

use std::{collections::BTreeMap, path::PathBuf};

use serde::{Deserialize, Serialize};

/// Names of the ops of a model.
pub mod op {
    /// [`super::Description`] of an opened model.
    pub const DESCRIBE: &str = "describe";
    /// Images and [`super::ZeroShot`] to logits.
    pub const ZERO_SHOT: &str = "zero-shot";
    /// [`super::ZeroShot`] to class embeddings of unit length, for adapters on image features.
    pub const CLASSES: &str = "classes";
    /// Images to features.
    pub const FEATURES: &str = "features";
    /// [`super::Generate`] to [`super::Generation`]s, handed to the sink as they finish.
    pub const GENERATE: &str = "generate";
    /// [`super::Generate`] with options to log-likelihoods.
    pub const CHOOSE: &str = "choose";
    /// [`super::Texts`] to token-level embeddings.
    pub const EMBED_TEXT: &str = "embed-text";
    /// [`super::Train`] to [`super::Trained`].
    pub const TRAIN: &str = "train";
    /// [`super::Inspect`] to named arrays: what was computed on the way.
    pub const INSPECT: &str = "inspect";
}

/// Names of the events that a plugin sends to the sink.
pub mod event {
    /// A finished [`super::Generation`].
    pub const FINISHED: &str = "finished";
    /// [`super::Progress`].
    pub const PROGRESS: &str = "progress";
    /// [`super::Log`].
    pub const LOG: &str = "log";
    /// [`super::Pull`] a training sample; answered with [`super::TrainingSample`] and its images.
    pub const SAMPLE: &str = "sample";
}

/// What a model can do; checked while planning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Capability {
    /// Images x class prompts to logits, by the model's own formula.
    ZeroShot,
    /// Images to one feature vector each.
    Features,
    /// Images and a prompt to text.
    Generate,
    /// Log-likelihood of given options.
    Choose,
    /// Token-level text embeddings.
    EmbedText,
    /// Adapter training.
    Train,
    /// A capability of a newer contract, which this side does not know.
    #[serde(other)]
    Unknown,
}

/// What a plugin library offers.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct PluginInfo {
    /// Name of the plugin crate.
    pub name: String,
    /// Version of the plugin crate.
    pub version: String,
    /// ABI version that the plugin was built for.
    pub abi: String,
    /// One entry for each `register!`.
    pub architectures: Vec<Architecture>,
}

/// One implementation inside a plugin.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Architecture {
    /// Name that `models.toml` refers to.
    pub id: String,
    /// One sentence.
    pub summary: String,
    /// What it can do at most; an opened model may do less.
    pub capabilities: Vec<Capability>,
}

/// How to open a model.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Open {
    /// Directory with the checkpoint, laid out as on the Hugging Face hub; none where the architecture needs none.
    pub weights: Option<PathBuf>,
    /// `cpu` or `cuda:N`.
    pub device: String,
    /// `f32`, `bf16` or `f16`.
    pub dtype: String,
    /// The model's `[model.options]`, as written in `models.toml`.
    pub options: serde_json::Map<String, serde_json::Value>,
}

/// An opened model.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Description {
    /// What this model, with these weights, can do.
    pub capabilities: Vec<Capability>,
    /// Number of parameters.
    pub parameters: u64,
    /// Width of a feature vector; 0 without `features`.
    pub feature_dim: u32,
    /// Side of the square input, in pixels; 0 where it follows the image.
    pub image_size: u32,
    /// Factor of the cosine of features and class embeddings; 0 where the two do not share a space.
    pub logit_scale: f32,
}

/// Class prompts: one list of prompts for each class, in the order of the class indices.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ZeroShot {
    /// Several prompts for one class form an ensemble.
    pub classes: Vec<Vec<String>>,
}

/// Header of a reply with one row for each image.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct RowsHeader {
    /// Digest of the model input of each image; empty when the model gives none.
    pub inputs: Vec<String>,
}

/// A batch of generation requests.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Generate {
    /// The requests; a plugin may finish them in any order.
    pub requests: Vec<Request>,
    /// How to decode.
    pub decoding: Decoding,
}

/// One prompt with its images.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Request {
    /// The host's number of this request, repeated in the answer.
    pub index: u32,
    /// The bare question.
    pub prompt: String,
    /// Feed the prompt as it is, without the model's template.
    pub raw: bool,
    /// Positions of the images among the call's images.
    pub images: Vec<u32>,
    /// Options for `choose`.
    pub options: Vec<String>,
}

/// Decoding parameters; the default is greedy.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Decoding {
    /// Upper limit of new tokens; 0 for the model's own.
    pub max_new_tokens: u32,
    /// 0 is greedy.
    pub temperature: f32,
    /// Nucleus; 0 or 1 is off.
    pub top_p: f32,
    /// Seed of the sampler.
    pub seed: u64,
    /// Strings that end an answer.
    pub stop: Vec<String>,
    /// The most requests that a model works on at a time; 0 leaves it to the model. A call may have more, so that those
    /// that wait take the places of those that are finished.
    pub slots: u32,
}

/// A finished answer.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Generation {
    /// Number of the request.
    pub index: u32,
    /// The answer without prompt and special tokens.
    pub text: String,
    /// Why decoding ended: `stop`, `length`, or `error` with the reason in `error`.
    pub finish: String,
    /// Why this request failed; the others of the batch are not affected.
    pub error: Option<String>,
    /// Tokens of the prompt, images included.
    pub prompt_tokens: u32,
    /// Tokens of the answer.
    pub new_tokens: u32,
    /// Digest of the model input; empty when the model gives none.
    pub input: String,
    /// Ids of the prompt, where the request asked to inspect.
    pub prompt_ids: Vec<u32>,
    /// Ids of the answer, where the request asked to inspect.
    pub generated_ids: Vec<u32>,
}

/// Texts to embed.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Texts {
    /// The texts.
    pub texts: Vec<String>,
}

/// One ad-hoc input of which everything that is computed shall be shown.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Inspect {
    /// Class texts of a contrastive model.
    pub texts: Vec<String>,
    /// Prompt of a generative model.
    pub prompt: Option<String>,
    /// Feed the prompt as it is, without the model's template.
    pub raw: bool,
    /// How to decode.
    pub decoding: Decoding,
}

/// Header of the reply to [`Inspect`]: names of the arrays, in their order, and the answer, if any.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Inspected {
    /// `pixel_values`, `image_features`, `image_embeds`, `text_embeds`, `logits`, `first_logits`.
    pub names: Vec<String>,
    /// The answer of a generative model.
    pub generation: Option<Generation>,
}

/// An adapter to train.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Train {
    /// `lora`, `full` or `clip-adapter`.
    pub usage: String,
    /// Number of samples that the host holds ready for [`Pull`].
    pub samples: u32,
    /// Directory that receives the adapter files.
    pub out: PathBuf,
    /// Seed of everything random.
    pub seed: u64,
    /// Rank, learning rate, epochs and the like, by the field's names.
    pub hyperparameters: BTreeMap<String, serde_json::Value>,
}

/// Adapter files that training wrote.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Trained {
    /// Files below [`Train::out`], in PEFT layout.
    pub files: Vec<PathBuf>,
    /// Number of trained parameters.
    pub parameters: u64,
}

/// Asks the host for one training sample.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Pull {
    /// 0 to [`Train::samples`], exclusive.
    pub index: u32,
}

/// A training sample; its images follow as arrays.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct TrainingSample {
    /// Prompt of a generative task.
    pub prompt: String,
    /// Answer of a generative task.
    pub answer: String,
    /// Class indices of a diagnosis.
    pub labels: Vec<u32>,
}

/// How far long work has come.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Progress {
    /// Steps done.
    pub done: u64,
    /// Steps in all.
    pub total: u64,
    /// Training loss at this step.
    pub loss: Option<f64>,
}

/// A line for the log.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Log {
    /// The line.
    pub line: String,
}
