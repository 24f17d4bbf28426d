//! `[[allow_leak]]`: a suite's word that it knows what is on both sides.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::Suite;
use crate::error::{Error, Result, suggest};

/// Two splits that share images or patients, and why that is accepted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AllowedLeak {
    /// What an adapter is fitted on, as `dataset.split`.
    pub train: String,
    /// What is evaluated, as `dataset.split`.
    pub test: String,
    /// Why; the report shows it.
    pub reason: String,
}

/// Refuses tables that say no reason, or name what the suite does not have.
pub fn check(suite: &Suite, path: &Path) -> Result<()> {
    let known = || suite.datasets.iter().map(|dataset| dataset.id.as_str());
    for AllowedLeak { train, test, reason } in &suite.allowed_leaks {
        if reason.trim().is_empty() {
            return Err(Error::invalid(path, format!("[[allow_leak]] of `{train}` and `{test}`: `reason` is empty")));
        }
        for part in [train, test] {
            let Some((dataset, _)) = part.split_once('.') else {
                return Err(Error::invalid(path, format!("[[allow_leak]]: `{part}` is no `dataset.split`")));
            };
            if !known().any(|id| id == dataset) {
                let known = suggest(dataset, known());
                let message = format!("[[allow_leak]]: `{dataset}` is none of the suite's datasets{known}");
                return Err(Error::invalid(path, message));
            }
        }
    }
    Ok(())
}
