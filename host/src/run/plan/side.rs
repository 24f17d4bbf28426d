//! The dataset's side of a suite's cells: manifest, split, task, scorers, and the copy of the data.

use std::{collections::BTreeMap, path::PathBuf};

use super::{Cell, ScorerSource};
use crate::{
    config::{Conditions, Evaluation, Suite},
    dataset::{Dataset, Manifest},
    error::{Error, Result, suggest},
    ids::{CellId, Task, Usage, digest},
    run::{Catalogs, cache_dir, score},
    scorer::{Engine, Grants},
};

/// The dataset's side of a suite's cells.
///
/// What the suite names must exist; whether the copy of the dataset is here is another question, which only its cells ask.
pub(super) struct Side {
    pub manifest: Manifest,
    pub evaluation: Evaluation,
    pub task: Task,
    scorers: Vec<ScorerSource>,
    /// Digests of the split, or why it cannot be evaluated here.
    pub digests: Result<BTreeMap<String, String>>,
    granted: String,
}

/// Tasks and capabilities of scorers, by component and configuration.
type Known = BTreeMap<(PathBuf, String), (Vec<String>, Vec<String>)>;

impl Side {
    pub fn all(suite: &Suite, catalogs: &Catalogs) -> Result<Vec<Self>> {
        let engine = Engine::new(cache_dir().map(|dir| dir.join("scorers")))?;
        let mut known = Known::new();
        let side = |evaluation| Self::new(suite, evaluation, catalogs, &engine, &mut known);
        let sides: Vec<Self> = suite.datasets.iter().map(side).collect::<Result<_>>()?;
        let used: Vec<&str> = sides.iter().flat_map(|side| &side.scorers).map(|scorer| scorer.id.as_str()).collect();
        match suite.options.keys().find(|id| !used.contains(&id.as_str())) {
            Some(id) => Err(Error::usage(format!("[options.{id}]: no scorer of the suite{}", suggest(id, used)))),
            None => Ok(sides),
        }
    }

    /// `known` holds the tasks and capabilities of the scorers that were looked into already.
    fn new(
        suite: &Suite,
        evaluation: &Evaluation,
        catalogs: &Catalogs,
        engine: &Engine,
        known: &mut Known,
    ) -> Result<Self> {
        let manifest = catalogs.datasets.get(&evaluation.id)?;
        let task = evaluation.task.or_else(|| manifest.tasks().first().copied()).ok_or_else(|| {
            Error::invalid(&manifest.path, "offers no task: add [diagnosis], [[question]] or [caption]")
        })?;
        if !manifest.tasks().contains(&task) {
            let tasks: Vec<String> = manifest.tasks().iter().map(ToString::to_string).collect();
            let tasks = tasks.join(", ");
            return Err(Error::usage(format!("dataset `{}` has no task `{task}` (it has: {tasks})", manifest.id)));
        }
        manifest.split(&evaluation.split)?;
        if let Some(template) = evaluation.template.as_ref().filter(|t| !manifest.templates.contains_key(*t)) {
            let hint = suggest(template, manifest.templates.keys().map(String::as_str));
            return Err(Error::usage(format!("dataset `{}` has no template `{template}`{hint}", manifest.id)));
        }
        let grants = Grants::idle(!suite.judges.is_empty(), suite.embed.is_some());
        let mut scorers = scorers(suite, manifest, task, catalogs)?;
        for source in &mut scorers {
            let configured = (source.component.clone(), source.config.clone());
            if !known.contains_key(&configured) {
                let scorer = source.load_with(engine, &grants)?;
                let capabilities = scorer.capabilities().iter().map(ToString::to_string).collect();
                known.insert(configured.clone(), (scorer.metadata().tasks.clone(), capabilities));
            }
            let (tasks, capabilities) = &known[&configured];
            if !tasks.contains(&task.to_string()) {
                let (id, tasks) = (&source.id, tasks.join(", "));
                return Err(Error::usage(format!("scorer `{id}` does not score `{task}`: it scores {tasks}")));
            }
            source.capabilities.clone_from(capabilities);
        }
        let granted = serde_json::json!([suite.judges, suite.embed]).to_string();
        let (manifest, evaluation) = (manifest.clone(), evaluation.clone());
        let digests = look(&manifest, &evaluation, task, &scorers, suite.limit);
        Ok(Self { manifest, evaluation, task, scorers, digests, granted })
    }

    /// Digests of the splits that an adapter is fitted on.
    pub fn training(&self) -> Result<BTreeMap<String, String>> {
        let dataset = Dataset::open(&self.manifest, self.evaluation.root.as_deref())?;
        let (train, splits) = (self.evaluation.training_split(), &self.manifest.splits);
        if !splits.contains_key(train) {
            let id = &self.manifest.id;
            return Err(Error::usage(format!("dataset `{id}` has no split `{train}` to fit an adapter on")));
        }
        let mut digests = BTreeMap::from([("dataset.train_files".to_string(), dataset.fingerprint(train)?)]);
        if let Some(validation) = self.evaluation.validation_split(splits.keys()) {
            digests.insert("dataset.validation_files".into(), dataset.fingerprint(validation)?);
        }
        Ok(digests)
    }

    /// A cell without its model.
    pub fn cell(&self, model: &str, usage: Usage, seed: u64, fingerprint: BTreeMap<String, String>) -> Cell {
        let (dataset, split) = (self.evaluation.id.clone(), self.evaluation.split.clone());
        Cell {
            id: CellId { model: model.into(), dataset, split, task: self.task, usage, seed },
            model: None,
            manifest: self.manifest.clone(),
            evaluation: self.evaluation.clone(),
            scorers: self.scorers.clone(),
            fingerprint,
            granted: self.granted.clone(),
        }
    }
}

/// The scorers of a suite's dataset, whose capabilities are yet to be looked into.
pub(in crate::run) fn scorers(
    suite: &Suite,
    manifest: &Manifest,
    task: Task,
    catalogs: &Catalogs,
) -> Result<Vec<ScorerSource>> {
    let source = |id: &str, component: &str, options, conditions: &Conditions| {
        Ok(ScorerSource {
            id: id.into(),
            component: catalogs.scorers.find(component)?.to_path_buf(),
            config: serde_json::Value::Object(options).to_string(),
            conditions: conditions.clone(),
            capabilities: Vec::new(),
        })
    };
    let own = suite.scorers.is_empty() && suite.scorer_tables.is_empty();
    let names = if own { manifest.scorers.get(&task) } else { Some(&suite.scorers) };
    let everything = Conditions::default();
    let listed = names
        .into_iter()
        .flatten()
        .map(|id| source(id, id, suite.options.get(id).cloned().unwrap_or_default(), &everything));
    let tables = suite.scorer_tables.iter().map(|t| source(t.name(), &t.component, t.options.clone(), &t.conditions));
    let sources: Vec<ScorerSource> = listed.chain(tables).collect::<Result<_>>()?;
    if sources.is_empty() {
        let message = format!("names no scorers for `{task}`: add them there or to the suite");
        return Err(Error::invalid(&manifest.path, message));
    }
    Ok(sources)
}

/// Looks at the copy of a dataset: digests of all that predictions depend on.
fn look(
    manifest: &Manifest,
    evaluation: &Evaluation,
    task: Task,
    scorers: &[ScorerSource],
    limit: u32,
) -> Result<BTreeMap<String, String>> {
    let dataset = Dataset::open(manifest, evaluation.root.as_deref())?;
    score::check_conditions(scorers, &dataset, &evaluation.split, task)?;
    let mut digests = BTreeMap::from([
        ("limit".into(), limit.to_string()),
        ("dataset.manifest".into(), dataset.manifest().digest.clone()),
        ("dataset.files".into(), dataset.fingerprint(&evaluation.split)?),
    ]);
    if let Some(template) = &evaluation.template {
        digests.insert("dataset.template".into(), template.clone());
    }
    if task == Task::Diagnosis {
        let prompts = dataset.class_prompts(evaluation.prompts.as_deref())?;
        digests
            .insert("dataset.prompts".into(), digest(serde_json::to_string(&prompts).unwrap_or_default().as_bytes()));
    }
    Ok(digests)
}
