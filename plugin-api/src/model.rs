//! The trait that an author implements, and what its methods are given.

use crate::{
    Error, Image, Matrix, Result,
    message::{
        Decoding, Description, Generation, Inspect, Log, Progress, Pull, Request, Train, Trained, TrainingSample, event,
    },
    tensor::{Array, Blob},
};

/// One row for each image, with the digest of each model input (see [`crate::digest`]).
#[derive(Debug, Clone, Default)]
pub struct Rows {
    /// `[images, dim]` or `[images, classes]`.
    pub matrix: Matrix,
    /// One digest an image, or empty.
    pub inputs: Vec<String>,
}

/// Class prompts, encoded once for a run.
#[derive(Debug, Clone, Default)]
pub struct Classes {
    /// One list of prompts for each class.
    pub prompts: Vec<Vec<String>>,
    /// What [`Model::encode_classes`] made of them.
    pub encoded: Matrix,
}

/// What [`Model::inspect`] computed: named arrays and, for a generative model, the answer.
#[derive(Debug, Clone, Default)]
pub struct Inspection {
    /// Names and arrays, in the shapes of the reference processor and model.
    pub arrays: Vec<(String, Array)>,
    /// The answer of a generative model.
    pub generation: Option<Generation>,
}

/// An opened model. Each method takes a whole batch; all but `describe` have a default that says the
/// capability is missing, which the host knows beforehand from the description.
#[allow(unused_variables, reason = "defaults ignore what they are given")]
pub trait Model: Send + Sync + 'static {
    /// Capabilities and sizes of this model with these weights.
    fn describe(&self) -> Description;

    /// Encodes class prompts, `[classes, dim]`. Called once for a set of prompts, whatever the number of batches.
    fn encode_classes(&self, prompts: &[Vec<String>]) -> Result<Matrix> {
        Ok(Matrix::default())
    }

    /// Images x classes to logits by the model's own zero-shot formula, before softmax.
    fn zero_shot(&self, images: &[Image<'_>], classes: &Classes) -> Result<Rows> {
        Err(Error::unsupported("zero-shot"))
    }

    /// Images to the features that a linear probe is fitted on, not normalised.
    fn features(&self, images: &[Image<'_>]) -> Result<Rows> {
        Err(Error::unsupported("features"))
    }

    /// Answers every request through [`Sink::finished`], each as soon as it is done, in any order.
    fn generate(&self, requests: &[Request], images: &[Image<'_>], decoding: &Decoding, sink: &Sink<'_>) -> Result<()> {
        Err(Error::unsupported("generate"))
    }

    /// Log-likelihood of each option of each request.
    fn choose(&self, requests: &[Request], images: &[Image<'_>]) -> Result<Vec<Vec<f32>>> {
        Err(Error::unsupported("choose"))
    }

    /// Token-level embeddings, one matrix `[tokens, dim]` a text.
    fn embed_text(&self, texts: &[String]) -> Result<Vec<Matrix>> {
        Err(Error::unsupported("embed-text"))
    }

    /// Trains an adapter on samples pulled through [`Sink::sample`] and writes it below `job.out`.
    fn train(&self, job: &Train, sink: &Sink<'_>) -> Result<Trained> {
        Err(Error::unsupported("train"))
    }

    /// Everything that is computed for one ad-hoc input; the contract for numeric parity checks.
    fn inspect(&self, request: &Inspect, images: &[Image<'_>]) -> Result<Inspection> {
        Err(Error::unsupported("inspect"))
    }
}

/// Receives events of a running call. An implementation that returns an error asks the plugin to stop.
pub trait Events: Sync {
    /// One event with its arrays; the answer goes back to the plugin.
    fn event(&self, op: &str, header: &str, blobs: &[Blob<'_>]) -> Result<(String, Vec<Array>)>;
}

/// The host's side of a running call, as an author sees it. `?` on any method makes a call cancellable.
pub struct Sink<'a>(pub(crate) &'a dyn Events);

impl<'a> Sink<'a> {
    /// A sink that reports to `events`; authors need it in unit tests only.
    pub fn new(events: &'a dyn Events) -> Self {
        Self(events)
    }

    /// Hands over a finished answer, which the host persists at once.
    pub fn finished(&self, generation: &Generation) -> Result<()> {
        self.send(event::FINISHED, generation)
    }

    /// Reports progress of long work.
    pub fn progress(&self, progress: &Progress) -> Result<()> {
        self.send(event::PROGRESS, progress)
    }

    /// Writes a line to the host's log.
    pub fn log(&self, line: impl Into<String>) -> Result<()> {
        self.send(event::LOG, &Log { line: line.into() })
    }

    /// Pulls a training sample with its images, `[height, width, 3]` each.
    pub fn sample(&self, index: u32) -> Result<(TrainingSample, Vec<Array>)> {
        let (header, arrays) = self.0.event(event::SAMPLE, &serde_json::to_string(&Pull { index })?, &[])?;
        Ok((serde_json::from_str(&header)?, arrays))
    }

    fn send(&self, op: &str, message: &impl serde::Serialize) -> Result<()> {
        self.0.event(op, &serde_json::to_string(message)?, &[]).map(|_| ())
    }
}
