//! Turns a [`Scorer`] into a component.

use std::sync::OnceLock;

use crate::{Error, Level, Metadata, Sample, SampleScore, Score, Scorer};

/// Exports a [`Scorer`] as the component of this crate. Expands to nothing on native targets.
#[macro_export]
macro_rules! export_scorer {
    ($scorer:ty) => {
        #[cfg(target_family = "wasm")]
        const _: () = {
            use $crate::bindings::exports::medvlm::scorer::score_api;

            static SCORER: $crate::Configured<$scorer> = $crate::Configured::new();
            struct Component;

            impl score_api::Guest for Component {
                fn describe() -> $crate::Metadata {
                    SCORER.describe()
                }
                fn configure(config: String) -> Result<(), $crate::Error> {
                    SCORER.configure(&config)
                }
                fn score(samples: Vec<$crate::Sample>) -> Result<Vec<$crate::SampleScore>, $crate::Error> {
                    SCORER.score(&samples)
                }
                fn aggregate(
                    scores: Vec<$crate::SampleScore>,
                    resamples: Vec<Vec<u32>>,
                ) -> Result<Vec<Vec<Option<f64>>>, $crate::Error> {
                    SCORER.aggregate(&scores, &resamples)
                }
            }

    $crate::bindings::export_component!(Component with_types_in $crate::bindings);
        };
    };
}

/// Adds a line to the scorer's log; does nothing outside of a component.
pub fn log(level: Level, message: &str) {
    if cfg!(target_family = "wasm") {
        crate::bindings::medvlm::scorer::log::log(level, message);
    }
}

/// The scorer of one instance; serves [`export_scorer!`].
#[derive(Debug)]
pub struct Configured<S>(OnceLock<S>);

impl<S: Scorer> Configured<S> {
    /// Not configured yet.
    #[allow(clippy::new_without_default, reason = "only the macro makes one, in a static")]
    pub const fn new() -> Self {
        Self(OnceLock::new())
    }

    /// See [`Scorer::metadata`].
    pub fn describe(&self) -> Metadata {
        S::metadata()
    }

    /// Reads the configuration; a second one is an error.
    pub fn configure(&self, config: &str) -> Result<(), Error> {
        let scorer = serde_json::from_str(config).map_err(|e| Error::BadConfig(e.to_string()))?;
        self.0.set(scorer).map_err(|_| Error::Internal("the instance is configured already".into()))
    }

    /// See [`Scorer::score`].
    pub fn score(&self, samples: &[Sample]) -> Result<Vec<SampleScore>, Error> {
        let scorer = self.get()?;
        let scores = scorer.score_batch(samples)?;
        if scores.len() != samples.len() {
            return Err(Error::Internal(format!("{} scores for {} samples", scores.len(), samples.len())));
        }
        let named = |(sample, score): (&Sample, Score)| {
            let Score { values, statistics, note } = score;
            SampleScore { index: sample.index, values, statistics, note }
        };
        Ok(samples.iter().zip(scores).map(named).collect())
    }

    /// See [`Scorer::aggregate`].
    pub fn aggregate(&self, scores: &[SampleScore], resamples: &[Vec<u32>]) -> Result<Vec<Vec<Option<f64>>>, Error> {
        self.get()?.aggregate(scores, resamples)
    }

    fn get(&self) -> Result<&S, Error> {
        self.0.get().ok_or_else(|| Error::Internal("the instance is not configured".into()))
    }
}
