//! Cells that a suite leaves out of its grid.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::Suite;
use crate::{
    error::{Error, Result, suggest},
    ids::{Task, Usage},
};

/// `[[exclude]]`: the cells that meet every list; an absent list leaves its part open.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Exclusion {
    /// Models.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub models: Vec<String>,
    /// Datasets.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub datasets: Vec<String>,
    /// Tasks.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tasks: Vec<Task>,
    /// Usages.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub usages: Vec<Usage>,
    /// Why; shown wherever the grid is.
    pub reason: String,
}

impl Exclusion {
    /// Whether cells of this kind are left out.
    pub fn meets(&self, model: &str, dataset: &str, task: Task, usage: Usage) -> bool {
        let named = |list: &[String], name: &str| list.is_empty() || list.iter().any(|n| n == name);
        named(&self.models, model)
            && named(&self.datasets, dataset)
            && (self.tasks.is_empty() || self.tasks.contains(&task))
            && (self.usages.is_empty() || self.usages.contains(&usage))
    }
}

/// Checks that every exclusion has a reason, and names models and datasets of the suite.
pub(super) fn check(suite: &Suite, path: &Path) -> Result<()> {
    for exclusion in &suite.exclusions {
        if exclusion.reason.trim().is_empty() {
            return Err(Error::invalid(path, "an [[exclude]] has no reason: say why these cells are left out"));
        }
        let Exclusion { models, datasets, tasks, usages, .. } = exclusion;
        if models.is_empty() && datasets.is_empty() && tasks.is_empty() && usages.is_empty() {
            return Err(Error::invalid(path, "an [[exclude]] leaves out every cell: name models, datasets or usages"));
        }
        let known =
            |names: &[String], known: &[&str], what: &str| match names.iter().find(|n| !known.contains(&n.as_str())) {
                Some(name) => {
                    let hint = suggest(name, known.iter().copied());
                    Err(Error::invalid(path, format!("[[exclude]]: `{name}` is none of the suite's {what}{hint}")))
                }
                None => Ok(()),
            };
        known(models, &suite.models.iter().map(String::as_str).collect::<Vec<_>>(), "models")?;
        known(datasets, &suite.datasets.iter().map(|d| d.id.as_str()).collect::<Vec<_>>(), "datasets")?;
    }
    Ok(())
}
