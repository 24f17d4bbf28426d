//! Suites: which models meet which datasets, as written and as resolved.

use std::{
    collections::BTreeMap,
    env,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use crate::{
    error::{Error, Result, suggest},
    ids::{Task, Usage, check_name},
};

mod allowed_leak;
mod exclusion;
mod grants;
mod include;
mod remote;
mod scorer_table;

pub use allowed_leak::AllowedLeak;
pub use exclusion::Exclusion;
pub use grants::{EmbedTable, JudgeTable, Price};
pub use remote::RemoteTable;
pub use scorer_table::{Conditions, OneOf, ScorerTable};

/// A suite file: every combination of its lists is a cell, where a dataset does not choose among them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Suite {
    /// Name of the run directory; the file's stem when absent.
    #[serde(default)]
    pub name: String,
    /// Heading of the report.
    #[serde(default)]
    pub title: String,
    /// Suites that this one builds on; see `config/include.rs`.
    #[serde(default, skip_serializing)]
    pub include: Vec<PathBuf>,
    /// Models, by name.
    #[serde(default)]
    pub models: Vec<String>,
    /// How each model is used.
    #[serde(default = "zero_shot")]
    pub usages: Vec<Usage>,
    /// Seeds.
    #[serde(default = "seed_zero")]
    pub seeds: Vec<u64>,
    /// Scorers by name; each dataset's own where neither these nor tables are given.
    #[serde(default)]
    pub scorers: Vec<String>,
    /// Configuration of scorers, by name; see each scorer's schema.
    #[serde(default)]
    pub options: BTreeMap<String, serde_json::Map<String, serde_json::Value>>,
    /// Scorers with a name, options and conditions of their own, after those of the list.
    #[serde(default, rename = "scorer", skip_serializing_if = "Vec::is_empty")]
    pub scorer_tables: Vec<ScorerTable>,
    /// Grants `judge`: one table or several.
    #[serde(
        default,
        rename = "judge",
        deserialize_with = "grants::one_or_many",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub judges: Vec<JudgeTable>,
    /// Where remote models are: one table or several.
    #[serde(
        default,
        rename = "remote",
        deserialize_with = "grants::one_or_many",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub remotes: Vec<RemoteTable>,
    /// Grants `embed`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub embed: Option<EmbedTable>,
    /// Datasets with split and task.
    #[serde(default, rename = "dataset")]
    pub datasets: Vec<Evaluation>,
    /// Cells that are left out of the grid.
    #[serde(default, rename = "exclude", skip_serializing_if = "Vec::is_empty")]
    pub exclusions: Vec<Exclusion>,
    /// How the intervals are made.
    #[serde(default)]
    pub bootstrap: Bootstrap,
    /// At most this many samples of each split; 0 for all.
    #[serde(default)]
    pub limit: u32,
    /// Checkpoint directories that replace the rows' own, by model.
    #[serde(default)]
    pub weights: BTreeMap<String, PathBuf>,
    /// Models that were made for medicine; the others are generalists.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub specialists: Vec<String>,
    /// Datasets that a model was trained on data of, by model, as its authors say; it is out of its domain on all others.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub in_domain: BTreeMap<String, Vec<String>>,
    /// A table of published values, to be shown beside the run's own and never mixed with them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub published: Option<PathBuf>,
    /// Splits that share images or patients with what adapters are fitted on, and why that is accepted.
    #[serde(default, rename = "allow_leak", skip_serializing_if = "Vec::is_empty")]
    pub allowed_leaks: Vec<AllowedLeak>,
}

/// A dataset split with the task that is evaluated on it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Evaluation {
    /// Name of the dataset.
    pub id: String,
    /// Name of the split.
    #[serde(default = "test")]
    pub split: String,
    /// The task; the dataset's first when absent.
    #[serde(default)]
    pub task: Option<Task>,
    /// Variant of the class prompts; the published ones when absent.
    #[serde(default)]
    pub prompts: Option<String>,
    /// Form of the questions, by its name in the manifest; the raw question when absent.
    #[serde(default)]
    pub template: Option<String>,
    /// The split that adapters are fitted on; `train` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub train: Option<String>,
    /// Directory of the copy.
    #[serde(default)]
    pub root: Option<PathBuf>,
    /// Those of the suite's models that meet it; all when absent.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub models: Vec<String>,
    /// How they are used with it; as the suite says when absent.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub usages: Vec<Usage>,
}

/// Patient-clustered bootstrap.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Bootstrap {
    /// Number of resamples; 0 for no intervals.
    pub resamples: u32,
    /// Seed of the draws.
    pub seed: u64,
    /// Coverage of the intervals.
    pub level: f64,
}

/// Where plugins, scorers and manifests are looked for.
#[derive(Debug, Clone, Default)]
pub struct SearchPath {
    /// Directories with plugin libraries.
    pub plugins: Vec<PathBuf>,
    /// Directories with scorer components.
    pub scorers: Vec<PathBuf>,
    /// Directories with dataset manifests.
    pub datasets: Vec<PathBuf>,
}

impl Suite {
    /// Reads a suite file and checks what can be checked without its plugins.
    pub fn read(path: &Path) -> Result<Self> {
        Self::read_with(path, &[])
    }

    /// Reads a suite file with `KEY=VALUE` overrides.
    pub fn read_with(path: &Path, overrides: &[String]) -> Result<Self> {
        let mut suite = include::read(path, overrides)?;
        if suite.name.is_empty() {
            suite.name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        }
        check_name("suite", &suite.name)?;
        let lists = [
            ("models", suite.models.len()),
            ("usages", suite.usages.len()),
            ("seeds", suite.seeds.len()),
            ("dataset", suite.datasets.len()),
        ];
        if let Some((key, _)) = lists.iter().find(|(_, length)| *length == 0) {
            return Err(Error::invalid(path, format!("`{key}` is empty, so the suite has no cells")));
        }
        if !(suite.bootstrap.level > 0.0 && suite.bootstrap.level < 1.0) {
            return Err(Error::invalid(
                path,
                format!("bootstrap.level = {} is not between 0 and 1", suite.bootstrap.level),
            ));
        }
        let chosen = suite.datasets.iter().flat_map(|dataset| &dataset.models);
        for model in chosen.chain(&suite.specialists).chain(suite.in_domain.keys()) {
            if !suite.models.contains(model) {
                let known = suggest(model, suite.models.iter().map(String::as_str));
                return Err(Error::invalid(path, format!("`{model}` is none of the suite's models{known}")));
            }
        }
        for dataset in suite.in_domain.values().flatten() {
            if !suite.datasets.iter().any(|d| d.id == *dataset) {
                let known = suggest(dataset, suite.datasets.iter().map(|d| d.id.as_str()));
                return Err(Error::invalid(path, format!("`{dataset}` is none of the suite's datasets{known}")));
            }
        }
        grants::check(&suite.judges, path)?;
        remote::check(&suite, path)?;
        scorer_table::check(&suite, path)?;
        allowed_leak::check(&suite, path)?;
        exclusion::check(&suite, path)?;
        Ok(suite)
    }
}

impl Suite {
    /// Why cells of this kind are left out, if they are.
    pub fn excludes(&self, model: &str, dataset: &str, task: Task, usage: Usage) -> Option<&str> {
        let met = self.exclusions.iter().find(|exclusion| exclusion.meets(model, dataset, task, usage));
        met.map(|exclusion| exclusion.reason.as_str())
    }

    /// Whether a model was made for medicine.
    pub fn is_specialist(&self, model: &str) -> bool {
        self.specialists.iter().any(|specialist| specialist == model)
    }

    /// Whether a model was trained on data of a dataset, as far as its authors say.
    pub fn is_in_domain(&self, model: &str, dataset: &str) -> bool {
        self.in_domain.get(model).is_some_and(|known| known.iter().any(|id| id == dataset))
    }
}

impl Evaluation {
    /// Whether one of the suite's models meets it.
    pub fn meets(&self, model: &str) -> bool {
        self.models.is_empty() || self.models.iter().any(|chosen| chosen == model)
    }

    /// The split that adapters are fitted on.
    pub fn training_split(&self) -> &str {
        self.train.as_deref().unwrap_or("train")
    }

    /// The split that chooses among adapters, of a dataset with these splits; without one, some of the training patients
    /// do. What is evaluated never chooses, nor does what belongs to another training split.
    pub fn validation_split<'a>(&self, mut splits: impl Iterator<Item = &'a String>) -> Option<&'a str> {
        let own = self.training_split() == "train" && self.split != "validation";
        splits.find(|split| own && *split == "validation").map(String::as_str)
    }

    /// How models are used with it, in a suite that uses them like this.
    pub fn usages<'a>(&'a self, suite: &'a Suite) -> &'a [Usage] {
        if self.usages.is_empty() { &suite.usages } else { &self.usages }
    }
}

impl SearchPath {
    /// Directories given by flags, then those of the environment (`MEDVLM_PLUGIN_PATH`,
    /// `MEDVLM_SCORER_PATH`, `MEDVLM_DATASET_PATH`), then those beside the executable.
    pub fn new(plugins: &[PathBuf], scorers: &[PathBuf], datasets: &[PathBuf]) -> Self {
        let home = home();
        let search = |given: &[PathBuf], variable: &str, folder: &str| {
            let from_env = env::var_os(variable).map(|v| env::split_paths(&v).collect::<Vec<_>>()).unwrap_or_default();
            given.iter().cloned().chain(from_env).chain([home.join(folder)]).collect()
        };
        Self {
            plugins: search(plugins, "MEDVLM_PLUGIN_PATH", "plugins"),
            scorers: search(scorers, "MEDVLM_SCORER_PATH", "scorers"),
            datasets: search(datasets, "MEDVLM_DATASET_PATH", "data"),
        }
    }
}

impl Default for Bootstrap {
    fn default() -> Self {
        Self { resamples: 1000, seed: 0, level: 0.95 }
    }
}

/// The directory of the executable, in which `cargo xtask build` lays out plugins, scorers and data.
fn home() -> PathBuf {
    env::current_exe().ok().and_then(|exe| exe.parent().map(Path::to_path_buf)).unwrap_or_else(|| PathBuf::from("."))
}

fn zero_shot() -> Vec<Usage> {
    vec![Usage::ZeroShot]
}

fn seed_zero() -> Vec<u64> {
    vec![0]
}

fn test() -> String {
    "test".into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Suite> {
        let dir = tempfile::tempdir().expect("temporary directory");
        let path = dir.path().join("small.toml");
        std::fs::write(&path, text).expect("writable");
        Suite::read(&path)
    }

    #[test]
    fn a_suite_needs_models_and_datasets_only() {
        let suite = read("models = ['a']\n[[dataset]]\nid = 'phantom'\n").expect("valid");
        assert_eq!((suite.name.as_str(), suite.seeds.as_slice()), ("small", &[0][..]));
        assert_eq!(suite.datasets[0].split, "test");
        assert_eq!(suite.bootstrap.resamples, 1000);
    }

    #[test]
    fn an_unknown_key_names_the_nearest() {
        let error =
            read("models = ['a']\nscorrers = ['auroc']\n[[dataset]]\nid = 'x'\n").expect_err("unknown").to_string();
        assert!(error.ends_with("small.toml:2: unknown key `scorrers`; did you mean `scorers`?"), "{error}");
    }

    #[test]
    fn a_dataset_chooses_among_models_and_usages() {
        let dataset = |models: &str| {
            let rest = "usages = ['linear-probe']\n[[dataset]]\nid = 'y'\n";
            read(&format!("models = ['a', 'b']\n[[dataset]]\nid = 'x'\nmodels = {models}\n{rest}"))
        };
        let suite = dataset("['b']").expect("valid");
        let [chosen, all] = &suite.datasets[..] else { panic!("two datasets") };
        assert_eq!((chosen.meets("a"), chosen.meets("b"), all.meets("a")), (false, true, true));
        assert_eq!((chosen.usages(&suite), all.usages(&suite)), (&[Usage::LinearProbe][..], &[Usage::ZeroShot][..]));
        let error = dataset("['bb']").expect_err("unknown").to_string();
        assert!(error.ends_with("`bb` is none of the suite's models; did you mean `b`?"), "{error}");
    }

    #[test]
    fn what_a_model_has_seen_is_said_of_the_suites_own_models_and_datasets() {
        let labels = |rest: &str| read(&format!("models = ['a', 'b']\n{rest}\n[[dataset]]\nid = 'x'\n"));
        let suite = labels("specialists = ['b']\nin_domain.b = ['x']").expect("valid");
        assert_eq!((suite.is_specialist("a"), suite.is_specialist("b")), (false, true));
        assert_eq!((suite.is_in_domain("a", "x"), suite.is_in_domain("b", "x")), (false, true));
        let error = labels("in_domain.b = ['xx']").expect_err("unknown").to_string();
        assert!(error.ends_with("`xx` is none of the suite's datasets; did you mean `x`?"), "{error}");
        assert!(labels("specialists = ['c']").is_err() && labels("in_domain.c = ['x']").is_err());
    }

    #[test]
    fn an_empty_list_is_an_error() {
        let error = read("models = []\n[[dataset]]\nid = 'x'\n").expect_err("empty").to_string();
        assert!(error.ends_with("`models` is empty, so the suite has no cells"), "{error}");
    }
}
