//! Scorers: WebAssembly components that turn predictions into scores, and scores into metrics.
//!
//! A scorer is a pure function by construction. It reaches nothing but its input (see `sandbox`), it is limited by
//! fuel and memory and never by a clock, and each batch is scored by a fresh instance, so neither the number of threads
//! nor what was scored before can change a result.
//!
//! ```text
//! admission   which files are accepted        engine    compiled code and its cache
//! capability  what a suite can grant
//! sandbox     what a scorer can reach         instance  calls, limits, traps told as sentences
//! contract    the records of scorer.wit       catalog   the scorers on the search path
//! ```

use std::{
    fmt, fs,
    path::{Path, PathBuf},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use rayon::prelude::*;

use crate::{
    error::{Error, Result},
    ids,
};

mod admission;
mod capability;
mod catalog;
mod contract;
mod engine;
mod instance;
mod sandbox;

pub use capability::{Answers, EMBED, Embed, Grants, JUDGE, Judge, JudgeError, Matrix, Message, Request, Response};
pub use catalog::Catalog;
pub use contract::{Metadata, MetricInfo, Sample, SampleScore};
pub use engine::Engine;

use instance::{Instance, Template};

/// Samples of one call of a scorer.
const BATCH: usize = 256;
/// Resampled positions of one call of `aggregate`: 16 MiB.
const POSITIONS: usize = 4 << 20;
/// Resamples of one call of `aggregate`.
const RESAMPLES: usize = 256;

/// A scorer, configured.
pub struct Scorer {
    path: PathBuf,
    digest: String,
    config: String,
    metadata: Metadata,
    capabilities: Vec<&'static str>,
    template: Template,
    log: Mutex<String>,
}

impl Scorer {
    /// Loads a component that needs no capability and configures it with a JSON object; see [`Scorer::load_with`].
    pub fn load(engine: &Engine, path: &Path, config: &str) -> Result<Self> {
        Self::load_with(engine, path, config, &Grants::default())
    }

    /// Loads a component, grants it capabilities, and configures it with a JSON object.
    ///
    /// Fails with [`Error::Invalid`] if the file is no scorer of this contract, imports what it is not granted, or
    /// breaks down, and with [`Error::Usage`] if the scorer refuses the configuration.
    pub fn load_with(engine: &Engine, path: &Path, config: &str, grants: &Grants) -> Result<Self> {
        let invalid = |message| Error::invalid(path, message);
        let wasm = fs::read(path).map_err(Error::io(path))?;
        let (component, capabilities) = admission::admit(engine, &wasm, grants).map_err(invalid)?;
        let template = Template::new(engine, &component, grants).map_err(invalid)?;
        let mut instance = template.instantiate().map_err(invalid)?;
        let metadata = instance.describe().map_err(invalid)?;
        let configured = instance.configure(config).map_err(invalid)?;
        configured.map_err(|refusal| Error::usage(format!("scorer `{}`: {refusal}", metadata.id)))?;
        let log = Mutex::new(instance.log().to_string());
        drop(instance);
        let (path, digest, config) = (path.into(), ids::digest(&wasm), config.into());
        Ok(Self { path, digest, config, metadata, capabilities, template, log })
    }

    /// What the scorer says about itself.
    pub fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// The capabilities that the component imports: [`JUDGE`], [`EMBED`].
    pub fn capabilities(&self) -> &[&'static str] {
        &self.capabilities
    }

    /// Digest of the component.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// The lines that the scorer logged and printed, in the order of the batches.
    pub fn log(&self) -> Vec<String> {
        let log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        log.lines().map(str::to_string).collect()
    }

    /// A score for each sample, in the same order. Batches run on the threads of the current rayon pool.
    pub fn score(&self, samples: &[Sample]) -> Result<Vec<SampleScore>> {
        self.score_in_batches(samples, BATCH)
    }

    /// The metrics of each resample, one value for each [`Metadata::metrics`]; `None` where a metric is undefined.
    ///
    /// A resample is a list of positions in `scores`. The first is every position once; the others are bootstrap
    /// draws.
    pub fn aggregate(&self, scores: &[SampleScore], resamples: &[Vec<u32>]) -> Result<Vec<Vec<Option<f64>>>> {
        let Some((first, draws)) = resamples.split_first() else { return Ok(Vec::new()) };
        if let Some(position) = resamples.iter().flatten().find(|&&p| p as usize >= scores.len()) {
            return Err(Error::failed(format!("a resample asks for score {position} of {}", scores.len())));
        }
        let size = (POSITIONS / first.len().max(1)).clamp(1, RESAMPLES);
        // The contract promises every call the whole sample first, so each call repeats it.
        let calls: Vec<Vec<&[u32]>> = match draws {
            [] => vec![vec![first.as_slice()]],
            _ => draws
                .chunks(size)
                .map(|chunk| std::iter::once(first).chain(chunk).map(Vec::as_slice).collect())
                .collect(),
        };
        let replies = self.each(&calls, |instance, call| {
            let metrics = instance.aggregate(scores, call)?;
            self.check_metrics(&metrics, call.len())?;
            Ok(metrics)
        });
        let replies = replies.map_err(|(_, message)| self.broken(format!("in `aggregate`: {message}")))?;
        let whole = replies.first().and_then(|reply| reply.first()).cloned();
        Ok(whole.into_iter().chain(replies.into_iter().flat_map(|reply| reply.into_iter().skip(1))).collect())
    }

    fn score_in_batches(&self, samples: &[Sample], size: usize) -> Result<Vec<SampleScore>> {
        let batches: Vec<&[Sample]> = samples.chunks(size).collect();
        let replies = self.each(&batches, |instance, batch| {
            let scores = instance.score(batch)?;
            self.check_scores(&scores, batch)?;
            Ok(scores)
        });
        let replies = replies.map_err(|(number, message)| {
            let (start, end) = (number * size, samples.len().min((number + 1) * size));
            self.broken(format!("in batch {number} (samples {start}..{end}): {message}"))
        })?;
        Ok(replies.into_iter().flatten().collect())
    }

    /// Runs every piece of work in a fresh, configured instance. Returns the replies in order, or the number and the
    /// message of the first piece that failed, whatever ran beside it.
    fn each<I: Sync, R: Send>(
        &self,
        work: &[I],
        call: impl Fn(&mut Instance<'_>, &I) -> std::result::Result<R, String> + Sync,
    ) -> std::result::Result<Vec<R>, (usize, String)> {
        let failed = AtomicUsize::new(usize::MAX);
        let run = |(number, item): (usize, &I)| -> Option<(std::result::Result<R, String>, String)> {
            if number > failed.load(Ordering::Relaxed) {
                return None;
            }
            let mut instance = match self.template.instantiate() {
                Ok(instance) => instance,
                Err(message) => return Some((Err(message), String::new())),
            };
            let configured =
                instance.configure(&self.config).and_then(|reply| reply.map_err(|refusal| refusal.to_string()));
            let start = instance.log().len();
            let reply = configured.and_then(|()| call(&mut instance, item));
            if reply.is_err() {
                failed.fetch_min(number, Ordering::Relaxed);
            }
            Some((reply, instance.log()[start..].to_string()))
        };
        let outcomes: Vec<_> = work.par_iter().enumerate().map(run).collect();

        let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        let mut replies = Vec::with_capacity(work.len());
        for (number, (reply, printed)) in outcomes.into_iter().flatten().enumerate() {
            log.push_str(&printed);
            replies.push(reply.map_err(|message| (number, message))?);
        }
        Ok(replies)
    }

    fn check_scores(&self, scores: &[SampleScore], batch: &[Sample]) -> std::result::Result<(), String> {
        if scores.len() != batch.len() {
            return Err(format!("returned {} scores for {} samples", scores.len(), batch.len()));
        }
        for (score, sample) in scores.iter().zip(batch) {
            let index = sample.index;
            if score.index != index {
                return Err(format!("returned the score of sample {} in the place of sample {index}", score.index));
            }
            check_count(&score.values, &self.metadata.values).map_err(|e| format!("sample {index}: {e}"))?;
            if score.values.iter().flatten().chain(&score.statistics).any(|value| !value.is_finite()) {
                return Err(format!("sample {index}: returned a number that is not finite"));
            }
        }
        Ok(())
    }

    fn check_metrics(&self, metrics: &[Vec<Option<f64>>], resamples: usize) -> std::result::Result<(), String> {
        if metrics.len() != resamples {
            return Err(format!("returned metrics of {} resamples for {resamples}", metrics.len()));
        }
        for values in metrics {
            check_count(values, &self.metadata.metrics)?;
            if values.iter().flatten().any(|value| !value.is_finite()) {
                return Err("returned a number that is not finite".into());
            }
        }
        Ok(())
    }

    fn broken(&self, message: String) -> Error {
        Error::invalid(&self.path, format!("scorer `{}` failed {message}", self.metadata.id))
    }
}

impl fmt::Debug for Scorer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scorer").field("path", &self.path).field("digest", &self.digest).finish_non_exhaustive()
    }
}

fn check_count(values: &[Option<f64>], infos: &[MetricInfo]) -> std::result::Result<(), String> {
    if values.len() == infos.len() {
        return Ok(());
    }
    Err(format!("returned {} values, but its metadata names {}", values.len(), infos.len()))
}

#[cfg(test)]
mod guests;
#[cfg(test)]
mod tests;
