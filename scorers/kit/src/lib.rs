//! Guest support for scorers.
//!
//! A scorer is a struct whose fields are its configuration, and an implementation of [`Scorer`]:
//!
//! ```
//! use scorer_kit::{Error, Metadata, Sample, Score, Scorer, export_scorer, metadata};
//!
//! /// 1 for an answer of at most `words` words.
//! #[derive(serde::Deserialize)]
//! #[serde(default, deny_unknown_fields)]
//! struct Brevity {
//!     words: usize,
//! }
//!
//! impl Default for Brevity {
//!     fn default() -> Self {
//!         Self { words: 5 }
//!     }
//! }
//!
//! impl Scorer for Brevity {
//!     fn metadata() -> Metadata {
//!         metadata("brevity", "0.1.0", "share of short answers").tasks(["vqa"]).value("brevity", 0.0, 1.0).build()
//!     }
//!
//!     fn score(&self, sample: &Sample) -> Result<Score, Error> {
//!         let short = !sample.failed && sample.prediction.split_whitespace().count() <= self.words;
//!         Ok(Score::of(f64::from(short)))
//!     }
//! }
//!
//! export_scorer!(Brevity);
//! ```
//!
//! The crate builds natively for its unit tests (`cargo test`), and as a component with
//! `cargo build --profile scorer --target wasm32-wasip2`. The metric of a scorer without an own `aggregate` is the mean
//! of each value.

mod ask;
mod describe;
mod diagnosis;
mod export;
mod probability;
mod ranking;
mod resample;
pub mod text;
#[doc(hidden)]
pub mod vectors;

pub use ask::{
    Answer, JudgeError, Matrix, Message, Request, Response, complete_many, complete_panel, embed_many, message,
};
pub use describe::{MetadataBuilder, metadata};
pub use diagnosis::{Diagnoses, Diagnosis};
pub use export::{Configured, log};
pub use probability::{argmax, sigmoid, softmax, usable};
pub use ranking::{Ranked, Ranking, Step};
pub use resample::{mean, weights};
pub use serde;

/// The contract, generated from `plugin-api/wit/scorer.wit`.
#[allow(missing_docs, reason = "the contract documents itself")]
#[doc(hidden)]
pub mod bindings {
    wit_bindgen::generate!({
        path: "../../plugin-api/wit",
        world: "judge-scorer",
        pub_export_macro: true,
        export_macro_name: "export_component",
        default_bindings_module: "scorer_kit::bindings",
        additional_derives: [PartialEq],
    });
}

pub use bindings::medvlm::scorer::{
    log::Level,
    types::{Error, Metadata, MetricInfo, Sample, SampleScore},
};

/// A scorer. Its fields are its configuration, read from the JSON object of the suite.
///
/// Nothing here may depend on anything but the arguments and the configuration: the host runs batches in any number
/// of instances.
pub trait Scorer: serde::de::DeserializeOwned {
    /// What the scorer says about itself.
    fn metadata() -> Metadata;

    /// The score of one sample.
    fn score(&self, sample: &Sample) -> Result<Score, Error>;

    /// The scores of a batch, in its order. Worth writing where a whole batch costs less than its samples, as with a
    /// judge, which is asked about all of them at once. No score may depend on the other samples.
    fn score_batch(&self, samples: &[Sample]) -> Result<Vec<Score>, Error> {
        samples.iter().map(|sample| self.score(sample)).collect()
    }

    /// The metrics of one scorer run under each resample: lists of positions in `scores` that may repeat. One value
    /// for each of the metadata's metrics, none where a metric is undefined.
    fn aggregate(&self, scores: &[SampleScore], resamples: &[Vec<u32>]) -> Result<Vec<Vec<Option<f64>>>, Error> {
        let values = Self::metadata().values.len();
        let metrics =
            |resample: &Vec<u32>| (0..values).map(|v| mean(scores, resample, |score| score.values[v])).collect();
        Ok(resamples.iter().map(metrics).collect())
    }
}

/// What a scorer makes of one sample.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Score {
    /// One for each of the metadata's values; none is a missing value.
    pub values: Vec<Option<f64>>,
    /// What `aggregate` needs beyond the values.
    pub statistics: Vec<f64>,
    /// Free text for the reader of the sample.
    pub note: Option<String>,
}

impl Score {
    /// A score with one value.
    pub fn of(value: f64) -> Self {
        Self { values: vec![Some(value)], ..Self::default() }
    }

    /// A score without values, for metrics that exist only in `aggregate`.
    pub fn of_statistics(statistics: Vec<f64>) -> Self {
        Self { statistics, ..Self::default() }
    }
}

/// The meta object of a sample as `T`, whose fields name what the scorer needs of it.
pub fn meta<T: serde::de::DeserializeOwned>(sample: &Sample) -> Result<T, Error> {
    serde_json::from_str(&sample.meta).map_err(|e| bad_input(sample, format!("its meta object is invalid: {e}")))
}

/// An error that names the sample.
pub fn bad_input(sample: &Sample, message: impl std::fmt::Display) -> Error {
    Error::BadInput(format!("sample {}: {message}", sample.index))
}

/// An empty sample, for tests.
pub fn sample(index: u32) -> Sample {
    Sample {
        index,
        prediction: String::new(),
        logits: Vec::new(),
        references: Vec::new(),
        labels: Vec::new(),
        failed: false,
        meta: "{}".into(),
    }
}
