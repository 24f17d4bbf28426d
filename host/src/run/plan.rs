//! Suite to cells: everything that can be wrong is found here, before any weights are loaded.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use plugin_api::{Capability, PluginInfo};

use crate::{
    config::{Conditions, Evaluation, Suite},
    dataset::{Dataset, Manifest},
    error::{Error, Result, suggest},
    ids::{CellId, Task, Usage, digest},
    model::{Place, PluginFile, Row, loader, weights, worker},
    run::{
        Catalogs, EmbedSource, RunRecord, Settings, cache_dir,
        granted::{self, JudgeRecord},
        remote::{self, RemoteRecord},
        score,
    },
    scorer::{Engine, Grants, Scorer},
};

mod probes;

use probes::Probes;

/// A resolved suite.
pub struct Plan {
    /// The suite.
    pub suite: Suite,
    /// The run directory.
    pub dir: PathBuf,
    /// How to predict.
    pub settings: Settings,
    /// Its cells, in natural order.
    pub cells: Vec<Cell>,
    /// The judges that it grants.
    pub judges: Vec<JudgeRecord>,
    /// The embeddings that it grants.
    pub embed: Option<EmbedSource>,
    /// Its models that are behind endpoints.
    pub remotes: Vec<RemoteRecord>,
}

/// One point of the grid with all that it takes.
#[derive(Debug, Clone)]
pub struct Cell {
    /// Name, and that of its directory.
    pub id: CellId,
    /// The model; none where a run is only scored.
    pub model: Option<ModelSource>,
    /// The dataset's manifest.
    pub manifest: Manifest,
    /// Split, prompts and root of the dataset.
    pub evaluation: Evaluation,
    /// The scorers, in the order of the suite.
    pub scorers: Vec<ScorerSource>,
    /// Digests of everything that a prediction depends on, by name.
    pub fingerprint: BTreeMap<String, String>,
    /// Which judges and encoders the suite grants, as one text.
    pub granted: String,
}

/// A scorer with its component and its configuration.
#[derive(Debug, Clone)]
pub struct ScorerSource {
    /// Its name.
    pub id: String,
    /// Its component.
    pub component: PathBuf,
    /// A JSON object.
    pub config: String,
    /// The samples that it scores.
    pub conditions: Conditions,
    /// The capabilities that it imports.
    pub capabilities: Vec<String>,
}

impl ScorerSource {
    /// Loads and configures the scorer, to aggregate scores.
    pub fn load(&self, engine: &Engine) -> Result<Scorer> {
        self.load_with(engine, &Grants::idle(true, true))
    }

    /// Loads and configures the scorer, and grants it capabilities.
    pub fn load_with(&self, engine: &Engine, grants: &Grants) -> Result<Scorer> {
        Scorer::load_with(engine, &self.component, &self.config, grants)
    }
}

/// Where a cell's model comes from.
#[derive(Debug, Clone)]
pub struct ModelSource {
    /// Its row.
    pub row: Row,
    /// Its plugin.
    pub plugin: PluginFile,
    /// Its checkpoint.
    pub weights: Option<PathBuf>,
}

impl Cell {
    /// The cell's directory in a run directory.
    pub fn dir(&self, run: &Path) -> PathBuf {
        run.join(self.id.to_string())
    }

    /// The local copy of the dataset.
    pub fn dataset(&self) -> Result<Dataset> {
        Dataset::open(&self.manifest, self.evaluation.root.as_deref())
    }
}

/// Expands a suite and checks models, capabilities, datasets, tasks and scorers.
pub fn plan(suite: Suite, catalogs: &Catalogs, settings: Settings, dir: PathBuf) -> Result<Plan> {
    let mut probes = Probes::new(&settings);
    let sides = Side::all(&suite, catalogs)?;
    let training = sides.iter().map(|side| {
        let adapts = side.evaluation.usages(&suite).iter().any(|usage| *usage != Usage::ZeroShot);
        if adapts { side.training() } else { Ok(BTreeMap::new()) }
    });
    let training: Vec<BTreeMap<String, String>> = training.collect::<Result<_>>()?;
    let embed = match &suite.embed {
        Some(table) => Some(probes.embedding(&table.model, catalogs, &suite)?),
        None => None,
    };
    let mut cells = Vec::new();
    for model in &suite.models {
        let (row, plugin) = remote::find(model, catalogs, &suite.remotes)?;
        let info = probes.info(plugin)?;
        let architecture = info.architectures.iter().find(|a| a.id == row.architecture).ok_or_else(|| {
            let known = suggest(&row.architecture, info.architectures.iter().map(|a| a.id.as_str()));
            let place = plugin.manifest.as_deref().unwrap_or(&plugin.library);
            Error::invalid(place, format!("model `{model}` wants architecture `{}`{known}", row.architecture))
        })?;
        let checkpoint = weights::find(&row, plugin, suite.weights.get(model).map(PathBuf::as_path))?;
        let mut digests = probes.model_digests(&row, plugin, checkpoint.as_deref())?;
        digests.insert("device".into(), settings.device.clone());
        digests.insert("dtype".into(), settings.dtype.clone());
        if let Some(dir) = &settings.adapter {
            digests.insert("adapter".into(), probes.digest(dir, weights::digest)?);
        }
        let source = ModelSource { row: row.clone(), plugin: plugin.clone(), weights: checkpoint };
        for (side, training) in sides.iter().zip(&training).filter(|(side, _)| side.evaluation.meets(model)) {
            for usage in side.evaluation.usages(&suite) {
                check_usage(model, &architecture.capabilities, side.task, *usage)?;
                if *usage == Usage::ClipAdapter && side.manifest.multi_label() {
                    let dataset = &side.manifest.id;
                    return Err(Error::usage(format!("`{usage}` has one class a sample, `{dataset}` has any number")));
                }
                for seed in &suite.seeds {
                    let mut cell = side.cell(&source.row.id, *usage, *seed);
                    cell.fingerprint.extend(digests.clone());
                    if *usage != Usage::ZeroShot {
                        cell.fingerprint.extend(training.clone());
                    }
                    cell.model = Some(source.clone());
                    cells.push(cell);
                }
            }
        }
    }
    cells.sort_by(|a, b| a.id.cmp(&b.id));
    if let Some(pair) = cells.windows(2).find(|pair| pair[0].id == pair[1].id) {
        return Err(Error::usage(format!("the suite names the cell {} twice", pair[0].id)));
    }
    let judges = granted::records(&suite.judges)?;
    let remotes = remote::records(&suite, catalogs)?;
    Ok(Plan { suite, dir, settings, cells, judges, embed, remotes })
}

/// The cells of a run directory, to score or report them again: no model is needed.
pub fn plan_scoring(record: &RunRecord, catalogs: &Catalogs, settings: Settings, dir: PathBuf) -> Result<Plan> {
    let sides = Side::all(&record.suite, catalogs)?;
    let mut cells = Vec::new();
    for (id, fingerprint) in &record.cells {
        let id: CellId = id.parse()?;
        let same = |side: &&Side| {
            (&side.evaluation.id, &side.evaluation.split, side.task) == (&id.dataset, &id.split, id.task)
        };
        // A cell of an earlier suite that used the same directory keeps its files, but is not this suite's.
        let Some(side) = sides.iter().find(same) else { continue };
        let mut cell = side.cell(&id.model, id.usage, id.seed);
        let changed = cell.fingerprint.iter().find(|(key, value)| fingerprint.get(*key) != Some(*value));
        if let Some((key, _)) = changed {
            return Err(Error::usage(format!("{id} was predicted on another copy of the dataset (changed: {key})")));
        }
        cell.fingerprint.clone_from(fingerprint);
        cells.push(cell);
    }
    cells.sort_by(|a, b| a.id.cmp(&b.id));
    let (suite, remotes) = (record.suite.clone(), record.remotes.clone());
    let judges = granted::records(&suite.judges)?;
    let embed = record.embed.clone().map(|recorded| {
        let mut probes = Probes::new(&settings);
        let here = probes.embed(&recorded.model, catalogs, &suite).map_err(|e| e.to_string());
        let same = here.and_then(|here| match here.record == recorded {
            true => here.model,
            false => Err("the model here is not the one that was used".into()),
        });
        EmbedSource { record: recorded, model: same }
    });
    Ok(Plan { suite, dir, settings, cells, judges, embed, remotes })
}

/// What a plugin offers; in a worker unless models run in this process.
pub fn probe(plugin: &PluginFile, place: &Place) -> Result<PluginInfo> {
    let info = match place {
        Place::Worker(settings) => worker::probe(plugin, settings),
        Place::InProcess => {
            loader::check_file(plugin).and_then(|()| loader::load(&plugin.library)).and_then(loader::info)
        }
    };
    info.map_err(|e| Error::invalid(&plugin.library, e.message))
}

/// The dataset's side of a suite's cells.
struct Side {
    manifest: Manifest,
    evaluation: Evaluation,
    task: Task,
    scorers: Vec<ScorerSource>,
    digests: BTreeMap<String, String>,
    granted: String,
}

/// Tasks and capabilities of scorers, by component and configuration.
type Known = BTreeMap<(PathBuf, String), (Vec<String>, Vec<String>)>;

impl Side {
    fn all(suite: &Suite, catalogs: &Catalogs) -> Result<Vec<Self>> {
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
        let dataset = Dataset::open(manifest, evaluation.root.as_deref())?;
        let task = evaluation.task.or_else(|| manifest.tasks().first().copied()).ok_or_else(|| {
            Error::invalid(&manifest.path, "offers no task: add [diagnosis], [[question]] or [caption]")
        })?;
        if !manifest.tasks().contains(&task) {
            let tasks: Vec<String> = manifest.tasks().iter().map(ToString::to_string).collect();
            let tasks = tasks.join(", ");
            return Err(Error::usage(format!("dataset `{}` has no task `{task}` (it has: {tasks})", manifest.id)));
        }
        manifest.split(&evaluation.split)?;
        let mut digests = dataset_digests(&dataset, evaluation, task)?;
        digests.insert("limit".into(), suite.limit.to_string());
        if let Some(template) = &evaluation.template {
            if !manifest.templates.contains_key(template) {
                let hint = suggest(template, manifest.templates.keys().map(String::as_str));
                return Err(Error::usage(format!("dataset `{}` has no template `{template}`{hint}", manifest.id)));
            }
            digests.insert("dataset.template".into(), template.clone());
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
        score::check_conditions(&scorers, &dataset, &evaluation.split, task)?;
        let granted = serde_json::json!([suite.judges, suite.embed]).to_string();
        Ok(Self { manifest: manifest.clone(), evaluation: evaluation.clone(), task, scorers, digests, granted })
    }

    /// Digests of the splits that an adapter is fitted on.
    fn training(&self) -> Result<BTreeMap<String, String>> {
        let dataset = Dataset::open(&self.manifest, self.evaluation.root.as_deref())?;
        if !self.manifest.splits.contains_key("train") {
            return Err(Error::usage(format!(
                "dataset `{}` has no split `train` to fit an adapter on",
                self.manifest.id
            )));
        }
        let splits = ["train", "validation"].into_iter().filter(|split| self.manifest.splits.contains_key(*split));
        splits.map(|split| Ok((format!("dataset.{split}_files"), dataset.fingerprint(split)?))).collect()
    }

    fn cell(&self, model: &str, usage: Usage, seed: u64) -> Cell {
        let (dataset, split) = (self.evaluation.id.clone(), self.evaluation.split.clone());
        Cell {
            id: CellId { model: model.into(), dataset, split, task: self.task, usage, seed },
            model: None,
            manifest: self.manifest.clone(),
            evaluation: self.evaluation.clone(),
            scorers: self.scorers.clone(),
            fingerprint: self.digests.clone(),
            granted: self.granted.clone(),
        }
    }
}

/// The capability that a task and usage ask of a model.
fn needed(task: Task, usage: Usage) -> Option<Capability> {
    match (task, usage) {
        (Task::Diagnosis, Usage::ZeroShot) => Some(Capability::ZeroShot),
        (Task::Diagnosis, Usage::LinearProbe | Usage::ClipAdapter) => Some(Capability::Features),
        (Task::Vqa | Task::Caption, Usage::ZeroShot) => Some(Capability::Generate),
        _ => None,
    }
}

/// How a model of these capabilities can be used for these tasks.
pub fn usages(tasks: &[Task], offered: &[Capability]) -> Vec<Usage> {
    let able = |usage: &Usage| tasks.iter().any(|t| needed(*t, *usage).is_some_and(|c| offered.contains(&c)));
    Usage::ALL.into_iter().filter(able).collect()
}

fn check_usage(model: &str, offered: &[Capability], task: Task, usage: Usage) -> Result<()> {
    let Some(capability) = needed(task, usage) else {
        return Err(Error::usage(format!(
            "usage `{usage}` is not built into this version for `{task}`; use `zero-shot`"
        )));
    };
    if offered.contains(&capability) {
        return Ok(());
    }
    let name = |c: &Capability| serde_json::to_string(c).unwrap_or_default().trim_matches('"').to_string();
    let known: Vec<String> = offered.iter().map(name).collect();
    Err(Error::usage(format!(
        "model `{model}` cannot do `{task}` as `{usage}`: that needs `{}`, it offers {}",
        name(&capability),
        if known.is_empty() { "nothing".into() } else { known.join(", ") }
    )))
}

/// The scorers of a suite's dataset, whose capabilities are yet to be looked into.
pub(super) fn scorers(
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

fn dataset_digests(dataset: &Dataset, evaluation: &Evaluation, task: Task) -> Result<BTreeMap<String, String>> {
    let mut digests = BTreeMap::from([
        ("dataset.manifest".into(), dataset.manifest().digest.clone()),
        ("dataset.files".into(), dataset.fingerprint(&evaluation.split)?),
    ]);
    if task == Task::Diagnosis {
        let prompts = dataset.class_prompts(evaluation.prompts.as_deref())?;
        digests
            .insert("dataset.prompts".into(), digest(serde_json::to_string(&prompts).unwrap_or_default().as_bytes()));
    }
    Ok(digests)
}
