//! Suite to cells: everything that can be wrong is found here, before any weights are loaded.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use plugin_api::{Capability, PluginInfo, abi::ABI_VERSION};

use crate::{
    config::{Evaluation, Suite},
    dataset::{Dataset, Manifest},
    error::{Error, Result, suggest},
    ids::{CellId, Task, Usage, digest},
    model::{Place, PluginFile, Row, loader, weights, worker},
    run::{Catalogs, RunRecord, Settings, cache_dir},
    scorer::{Engine, Scorer},
};

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
}

/// One point of the grid with all that it takes.
#[derive(Debug)]
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
}

impl ScorerSource {
    /// Loads and configures the scorer.
    pub fn load(&self, engine: &Engine) -> Result<Scorer> {
        Scorer::load(engine, &self.component, &self.config)
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
    let mut probes = Probes { settings: &settings, infos: BTreeMap::new(), digests: BTreeMap::new() };
    let sides = Side::all(&suite, catalogs)?;
    let mut cells = Vec::new();
    for model in &suite.models {
        let (row, plugin) = catalogs.models.find(model)?;
        let info = probes.info(plugin)?;
        let architecture = info.architectures.iter().find(|a| a.id == row.architecture).ok_or_else(|| {
            let known = suggest(&row.architecture, info.architectures.iter().map(|a| a.id.as_str()));
            let place = plugin.manifest.as_deref().unwrap_or(&plugin.library);
            Error::invalid(place, format!("model `{model}` wants architecture `{}`{known}", row.architecture))
        })?;
        let checkpoint = weights::find(row, plugin, suite.weights.get(model).map(PathBuf::as_path))?;
        let mut digests = probes.model_digests(row, plugin, checkpoint.as_deref())?;
        digests.insert("device".into(), settings.device.clone());
        digests.insert("dtype".into(), settings.dtype.clone());
        if let Some(dir) = &settings.adapter {
            digests.insert("adapter".into(), probes.digest(dir, weights::digest)?);
        }
        let source = ModelSource { row: row.clone(), plugin: plugin.clone(), weights: checkpoint };
        for side in &sides {
            for usage in &suite.usages {
                check_usage(model, &architecture.capabilities, side.task, *usage)?;
                for seed in &suite.seeds {
                    let mut cell = side.cell(model, *usage, *seed);
                    cell.fingerprint.extend(digests.clone());
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
    Ok(Plan { suite, dir, settings, cells })
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
    Ok(Plan { suite: record.suite.clone(), dir, settings, cells })
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
}

impl Side {
    fn all(suite: &Suite, catalogs: &Catalogs) -> Result<Vec<Self>> {
        let engine = Engine::new(cache_dir().map(|dir| dir.join("scorers")))?;
        let mut known = BTreeMap::new();
        let side = |evaluation| Self::new(suite, evaluation, catalogs, &engine, &mut known);
        let sides: Vec<Self> = suite.datasets.iter().map(side).collect::<Result<_>>()?;
        let used: Vec<&str> = sides.iter().flat_map(|side| &side.scorers).map(|scorer| scorer.id.as_str()).collect();
        match suite.options.keys().find(|id| !used.contains(&id.as_str())) {
            Some(id) => Err(Error::usage(format!("[options.{id}]: no scorer of the suite{}", suggest(id, used)))),
            None => Ok(sides),
        }
    }

    /// `known` holds the tasks of the scorers that were looked into already.
    fn new(
        suite: &Suite,
        evaluation: &Evaluation,
        catalogs: &Catalogs,
        engine: &Engine,
        known: &mut BTreeMap<PathBuf, Vec<String>>,
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
        let scorers = scorers(suite, manifest, task, catalogs)?;
        for scorer in &scorers {
            let component = &scorer.component;
            if !known.contains_key(component) {
                known.insert(component.clone(), scorer.load(engine)?.metadata().tasks.clone());
            }
            if !known[component].contains(&task.to_string()) {
                let (id, tasks) = (&scorer.id, known[component].join(", "));
                return Err(Error::usage(format!("scorer `{id}` does not score `{task}`: it scores {tasks}")));
            }
        }
        Ok(Self { manifest: manifest.clone(), evaluation: evaluation.clone(), task, scorers, digests })
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

fn scorers(suite: &Suite, manifest: &Manifest, task: Task, catalogs: &Catalogs) -> Result<Vec<ScorerSource>> {
    let names =
        if suite.scorers.is_empty() { manifest.scorers.get(&task).cloned() } else { Some(suite.scorers.clone()) };
    let names = names.filter(|names| !names.is_empty()).ok_or_else(|| {
        Error::invalid(&manifest.path, format!("names no scorers for `{task}`: add them there or to the suite"))
    })?;
    let source = |id: &String| {
        let options = suite.options.get(id).cloned().unwrap_or_default();
        let config = serde_json::Value::Object(options).to_string();
        Ok(ScorerSource { id: id.clone(), component: catalogs.scorers.find(id)?.to_path_buf(), config })
    };
    names.iter().map(source).collect()
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

/// Each plugin is probed once and each checkpoint hashed once, however many cells share them.
struct Probes<'a> {
    settings: &'a Settings,
    infos: BTreeMap<PathBuf, PluginInfo>,
    digests: BTreeMap<PathBuf, String>,
}

impl Probes<'_> {
    fn info(&mut self, plugin: &PluginFile) -> Result<PluginInfo> {
        if let Some(info) = self.infos.get(&plugin.library) {
            return Ok(info.clone());
        }
        let info = probe(plugin, &self.settings.place)?;
        self.infos.insert(plugin.library.clone(), info.clone());
        Ok(info)
    }

    fn model_digests(
        &mut self,
        row: &Row,
        plugin: &PluginFile,
        weights: Option<&Path>,
    ) -> Result<BTreeMap<String, String>> {
        let library = self
            .digest(&plugin.library, |path| std::fs::read(path).map(|bytes| digest(&bytes)).map_err(Error::io(path)))?;
        let row_text = serde_json::to_string(row).map_err(|e| Error::failed(e.to_string()))?;
        let mut digests = BTreeMap::from([
            ("model.abi".into(), ABI_VERSION.into()),
            ("model.library".into(), library),
            ("model.row".into(), digest(row_text.as_bytes())),
        ]);
        if let Some(dir) = weights {
            digests.insert("model.weights".into(), self.digest(dir, weights::digest)?);
        }
        Ok(digests)
    }

    fn digest(&mut self, path: &Path, make: impl Fn(&Path) -> Result<String>) -> Result<String> {
        if let Some(known) = self.digests.get(path) {
            return Ok(known.clone());
        }
        let made = make(path)?;
        self.digests.insert(path.into(), made.clone());
        Ok(made)
    }
}
