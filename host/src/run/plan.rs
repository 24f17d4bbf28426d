//! Suite to cells: everything that can be wrong is found here, before any weights are loaded.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use plugin_api::PluginInfo;

use crate::{
    config::{Conditions, Evaluation, Suite},
    dataset::{Dataset, Manifest},
    error::{Error, Result},
    ids::{CellId, Usage},
    model::{Place, PluginFile, Row, loader, worker},
    run::{
        Catalogs, EmbedSource, Filter, RunRecord, Settings,
        granted::{self, JudgeRecord},
        policy,
        remote::{self, RemoteRecord},
    },
    scorer::{Engine, Grants, Scorer},
};

mod probes;
mod side;
mod usage;

use probes::{Candidate, Probes};
use side::Side;
pub(super) use side::scorers;
use usage::check_usage;
pub use usage::usages;

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
    /// Cells that cannot be predicted here, and why, in the order of the suite.
    pub blocked: Vec<(CellId, Error)>,
    /// Cells that the suite leaves out, and its reason.
    pub excluded: Vec<(CellId, String)>,
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

/// Expands a suite and checks models, capabilities, datasets, tasks and scorers. What the suite names must exist; cells for
/// which something is not at hand are listed as blocked. Only cells that `chosen` accepts are looked into.
pub fn plan(suite: Suite, catalogs: &Catalogs, settings: Settings, dir: PathBuf, chosen: &Filter) -> Result<Plan> {
    let mut probes = Probes::new(&settings);
    let sides = Side::all(&suite, catalogs)?;
    let trained = sides.iter().map(|side| {
        let adapts = side.evaluation.usages(&suite).iter().any(|usage| *usage != Usage::ZeroShot);
        if adapts { side.training() } else { Ok(BTreeMap::new()) }
    });
    let trained: Vec<Result<BTreeMap<String, String>>> = trained.collect();
    let embed = match &suite.embed {
        Some(table) => Some(probes.embedding(&table.model, catalogs, &suite)?),
        None => None,
    };
    let (mut cells, mut blocked, mut excluded) = (Vec::new(), Vec::new(), Vec::new());
    for model in &suite.models {
        let (named, _) = catalogs.models.find(model)?;
        // Looked into when the first of its cells is.
        let mut candidate = None;
        for (side, trained) in sides.iter().zip(&trained).filter(|(side, _)| side.evaluation.meets(model)) {
            let usages = side.evaluation.usages(&suite);
            for (usage, seed) in usages.iter().flat_map(|usage| suite.seeds.iter().map(move |seed| (*usage, *seed))) {
                let mut cell = side.cell(&named.id, usage, seed, BTreeMap::new());
                if !chosen.accepts(&cell.id) {
                    continue;
                }
                if let Some(reason) = suite.excludes(model, &side.evaluation.id, side.task, usage) {
                    excluded.push((cell.id, reason.to_string()));
                    continue;
                }
                let found = candidate.get_or_insert_with(|| probes.candidate(model, catalogs, &suite));
                match fingerprint(found, side, trained, usage) {
                    Ok(fingerprint) => {
                        cell.fingerprint = fingerprint;
                        cell.model = found.as_ref().ok().map(|found| found.source.clone());
                        cells.push(cell);
                    }
                    Err(error) => blocked.push((cell.id, error)),
                }
            }
        }
    }
    cells.sort_by(|a, b| a.id.cmp(&b.id));
    if let Some(pair) = cells.windows(2).find(|pair| pair[0].id == pair[1].id) {
        return Err(Error::usage(format!("the suite names the cell {} twice", pair[0].id)));
    }
    if cells.is_empty() && blocked.is_empty() {
        return Err(chosen.nothing());
    }
    let judges = granted::records(&suite.judges)?;
    let remotes = remote::records(&suite, catalogs)?;
    Ok(Plan { suite, dir, settings, cells, blocked, excluded, judges, embed, remotes })
}

/// Digests of all that a cell's predictions depend on, or why it cannot be predicted here.
fn fingerprint(
    candidate: &Result<Candidate>,
    side: &Side,
    trained: &Result<BTreeMap<String, String>>,
    usage: Usage,
) -> Result<BTreeMap<String, String>> {
    let candidate = candidate.as_ref().map_err(Error::clone)?;
    let mut digests = side.digests.clone()?;
    check_usage(&candidate.name, &candidate.capabilities, side.task, usage)?;
    if usage == Usage::ClipAdapter && side.manifest.multi_label() {
        let dataset = &side.manifest.id;
        return Err(Error::usage(format!("`{usage}` has one class a sample, `{dataset}` has any number")));
    }
    digests.extend(candidate.digests.clone());
    if usage != Usage::ZeroShot {
        digests.extend(trained.clone()?);
    }
    Ok(digests)
}

impl Plan {
    /// Counts as blocked, too, cells of remote models without a key or whose samples must not reach them, so that what is
    /// left can be run.
    pub fn leave_out_blocked(&mut self) {
        let remotes = &self.remotes;
        let why = |cell: &Cell| {
            if let Some(remote) = policy::forbidden(cell, remotes) {
                let (dataset, endpoint) = (&cell.manifest.id, &remote.endpoint);
                return Some(Error::usage(format!(
                    "samples of `{dataset}` must not leave this machine for {endpoint}"
                )));
            }
            remotes.iter().find(|remote| remote.id == cell.id.model).and_then(|remote| remote::check_key(remote).err())
        };
        let (cells, out): (Vec<Cell>, Vec<Cell>) = self.cells.drain(..).partition(|cell| why(cell).is_none());
        let reasons: Vec<(CellId, Error)> =
            out.into_iter().filter_map(|cell| why(&cell).map(|error| (cell.id, error))).collect();
        self.blocked.extend(reasons);
        self.cells = cells;
        let embedder = self.embed.as_ref().map(|embed| &embed.record.model);
        let used = |remote: &RemoteRecord| {
            embedder == Some(&remote.model) || self.cells.iter().any(|cell| cell.id.model == remote.id)
        };
        self.remotes.retain(used);
    }

    /// Fails if a cell is blocked.
    ///
    /// # Errors
    /// What blocks the first one.
    pub fn check_ready(&self) -> Result<()> {
        self.blocked.first().map_or(Ok(()), |(_, error)| Err(error.clone()))
    }
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
        let mut cell = side.cell(&id.model, id.usage, id.seed, side.digests.clone()?);
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
    Ok(Plan { suite, dir, settings, cells, blocked: Vec::new(), excluded: Vec::new(), judges, embed, remotes })
}

/// The cells of a suite whose answers come from elsewhere: no model is needed.
pub fn plan_answers(suite: Suite, catalogs: &Catalogs, settings: Settings, dir: PathBuf) -> Result<Plan> {
    let mut cells = Vec::new();
    for side in Side::all(&suite, catalogs)? {
        for model in &suite.models {
            let usages = side.evaluation.usages(&suite).iter();
            let points = usages.flat_map(|usage| suite.seeds.iter().map(move |seed| (*usage, *seed)));
            let digests = side.digests.clone()?;
            cells.extend(points.map(|(usage, seed)| side.cell(model, usage, seed, digests.clone())));
        }
    }
    let (blocked, excluded, judges, remotes) = Default::default();
    Ok(Plan { suite, dir, settings, cells, blocked, excluded, judges, embed: None, remotes })
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
