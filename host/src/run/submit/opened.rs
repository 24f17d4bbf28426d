//! What an archive says it is: rules 301 to 307. Nothing of it is believed before it was compared.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use tempfile::TempDir;

use crate::{
    config::Suite,
    dataset::{self, Manifest},
    error::{Error, Result},
    ids::{CellId, Task, Usage, digest},
    model,
    run::{
        Catalogs, Cell, RunRecord, cache_dir,
        plan::{self, ScorerSource},
        predict, score, to_json,
    },
    scorer::{self, Engine, Grants},
    submission::{Archive, Index, Kind, RUN, Rule, Violation, cell_file, manifest_file, samples_file, scorer_file},
};

/// Most cells of a submission.
const MOST_CELLS: usize = 20_000;
/// Most names in the exclusions of a suite.
const MOST_EXCLUDED: usize = 10_000;
/// Most resamples of a bootstrap: verifying shall end.
const MOST_RESAMPLES: u32 = 100_000;

/// An archive, unpacked and understood.
pub struct Opened {
    /// Where it is unpacked.
    pub dir: TempDir,
    /// Its index.
    pub index: Index,
    /// Its run record.
    pub record: RunRecord,
    /// Its cells, with scorers from the archive.
    pub cells: Vec<Cell>,
    /// Compiles and limits the scorers.
    pub engine: Engine,
}

impl Opened {
    /// Unpacks and understands an archive whose files are those of its index; none where that cannot be.
    pub fn new(archive: &Archive, index: Index, violations: &mut Vec<Violation>) -> Result<Option<Self>> {
        let dir = tempfile::tempdir().map_err(|e| Error::failed(format!("no temporary directory: {e}")))?;
        archive.extract(dir.path())?;
        let Some(record) = record(dir.path(), violations)? else { return Ok(None) };
        check_suite(&record.suite, violations);
        let Some(catalogs) = catalogs(dir.path(), violations)? else { return Ok(None) };
        let engine = Engine::new(cache_dir().map(|dir| dir.join("scorers")))?;
        let Some(cells) = cells(&record, &catalogs, &engine, violations)? else { return Ok(None) };
        let opened = Self { dir, index, record, cells, engine };
        opened.check_files(archive, violations);
        for cell in &opened.cells {
            opened.check_cell(cell, violations);
        }
        opened.check_components(&catalogs, violations)?;
        Ok(Some(opened))
    }

    /// The directory that holds the cells' directories.
    pub fn run(&self) -> PathBuf {
        self.dir.path().join("cells")
    }

    /// Path of the samples of a cell's split.
    pub fn samples(&self, cell: &Cell) -> PathBuf {
        self.dir.path().join(samples_of(&cell.id))
    }

    /// Files are there for every cell, dataset and scorer, and for none that the suite does not have.
    fn check_files(&self, archive: &Archive, violations: &mut Vec<Violation>) {
        let mut needed = BTreeSet::new();
        for cell in &self.cells {
            let id = cell.id.to_string();
            for file in [predict::FILE, score::SCORES, score::METRICS] {
                let name = cell_file(&id, file);
                if !archive.has(&name) {
                    let what =
                        format!("has no {file}: fill the holes of the run with `medvlm run` before it is packed");
                    violations.push(Violation::new(Rule::Cells, &id, what));
                }
                needed.insert(name);
            }
            let samples = samples_of(&cell.id);
            if !archive.has(&samples) {
                violations.push(Violation::new(Rule::Samples, &samples, "is missing"));
            }
            needed.extend([samples, manifest_file(&cell.id.dataset)]);
            needed.extend(["evidence.jsonl", "evidence.f32"].map(|file| cell_file(&id, file)));
            needed.extend(cell.scorers.iter().map(|source| scorer_file(&stem(&source.component))));
        }
        for (name, _) in archive.members() {
            let own = matches!(Kind::of(name), Some(Kind::Index | Kind::Run));
            if !own && !needed.contains(name) {
                violations.push(Violation::new(Rule::KnownMembers, name, "belongs to nothing of the suite"));
            }
        }
    }

    /// The fingerprint of a cell is whole, and agrees with manifest and suite.
    fn check_cell(&self, cell: &Cell, violations: &mut Vec<Violation>) {
        let id = cell.id.to_string();
        let mut wrong = |rule, what: String| violations.push(Violation::new(rule, &id, what));
        let print = &cell.fingerprint;
        let mut keys = vec!["model.abi", "model.library", "model.row", "dataset.manifest", "dataset.files"];
        if cell.id.usage != Usage::ZeroShot {
            keys.push("dataset.train_files");
        }
        for key in keys.into_iter().filter(|key| print.get(*key).is_none_or(String::is_empty)) {
            wrong(Rule::Fingerprint, format!("its fingerprint has no {key}"));
        }
        let mut expected = vec![
            ("device", Some(self.record.device.clone())),
            ("dtype", Some(self.record.dtype.clone())),
            ("limit", Some(self.record.suite.limit.to_string())),
            ("dataset.template", cell.evaluation.template.clone()),
        ];
        if cell.id.task == Task::Diagnosis {
            let prompts = cell.manifest.class_prompts(cell.evaluation.prompts.as_deref()).unwrap_or_default();
            let text = serde_json::to_string(&prompts).unwrap_or_default();
            expected.push(("dataset.prompts", Some(digest(text.as_bytes()))));
        }
        for (key, value) in expected.into_iter().filter(|(key, value)| print.get(*key) != value.as_ref()) {
            let value = value.unwrap_or_else(|| "nothing".into());
            wrong(Rule::Fingerprint, format!("the {key} of its fingerprint is not {value}, as suite and manifest say"));
        }
        if print.get("dataset.manifest") != Some(&cell.manifest.digest) {
            wrong(Rule::Manifests, format!("was made with another {}", manifest_file(&cell.id.dataset)));
        }
    }

    /// Components are those of the record.
    fn check_components(&self, catalogs: &Catalogs, violations: &mut Vec<Violation>) -> Result<()> {
        let mut found = BTreeMap::new();
        for source in self.cells.iter().flat_map(|cell| &cell.scorers) {
            if !found.contains_key(&source.id) {
                let bytes = fs::read(&source.component).map_err(Error::io(&source.component))?;
                found.insert(source.id.clone(), digest(&bytes));
            }
        }
        if catalogs.scorers.iter().count() > 0 && found != self.record.scorers {
            let what = format!("scorers of the record are {:?}, the archive holds {found:?}", self.record.scorers);
            violations.push(Violation::new(Rule::Components, RUN, what));
        }
        Ok(())
    }
}

/// The cells that a suite spans, by its own lists; none where these are beyond measure.
pub fn expected(record: &RunRecord, manifest: impl Fn(&str) -> Option<Manifest>) -> Option<Vec<(CellId, usize)>> {
    let suite = &record.suite;
    let each = |usages: usize| suite.models.len().saturating_mul(usages).saturating_mul(suite.seeds.len());
    let sizes = suite.datasets.iter().map(|evaluation| each(evaluation.usages(suite).len()));
    let excluded = suite.exclusions.iter().map(|out| out.models.len() + out.datasets.len() + 1);
    if sizes.fold(0, usize::saturating_add) > MOST_CELLS || excluded.sum::<usize>() > MOST_EXCLUDED {
        return None;
    }
    let mut ids = Vec::new();
    for (position, evaluation) in suite.datasets.iter().enumerate() {
        let Some(manifest) = manifest(&evaluation.id) else { continue };
        let Some(task) = evaluation.task.or_else(|| manifest.tasks().first().copied()) else { continue };
        for name in suite.models.iter().filter(|model| evaluation.meets(model)) {
            let remote = record.remotes.iter().find(|remote| remote.model == *name);
            let model = remote.map_or(name, |remote| &remote.id);
            let usages = evaluation.usages(suite).iter();
            for usage in usages.filter(|usage| suite.excludes(name, &evaluation.id, task, **usage).is_none()) {
                for seed in &suite.seeds {
                    let (dataset, split) = (evaluation.id.clone(), evaluation.split.clone());
                    let id = CellId { model: model.clone(), dataset, split, task, usage: *usage, seed: *seed };
                    ids.push((id, position));
                }
            }
        }
    }
    ids.sort();
    Some(ids)
}

fn record(dir: &Path, violations: &mut Vec<Violation>) -> Result<Option<RunRecord>> {
    let mut refuse = |what: String| violations.push(Violation::new(Rule::RunRecord, RUN, what));
    let path = dir.join(RUN);
    if !path.exists() {
        refuse("is missing".into());
        return Ok(None);
    }
    let bytes = fs::read(&path).map_err(Error::io(&path))?;
    let record: RunRecord = match serde_json::from_slice(&bytes) {
        Ok(record) => record,
        Err(e) => {
            refuse(format!("is no run record: {e}"));
            return Ok(None);
        }
    };
    if to_json(&record)? != bytes {
        refuse("is not written as packing writes it".into());
    }
    Ok(Some(record))
}

fn check_suite(suite: &Suite, violations: &mut Vec<Violation>) {
    if suite.limit > 0 {
        let what = format!("the suite takes {} samples of each split at most", suite.limit);
        violations.push(Violation::new(Rule::NoLimit, RUN, what));
    }
    let bootstrap = &suite.bootstrap;
    if bootstrap.resamples > MOST_RESAMPLES || !(bootstrap.level > 0.0 && bootstrap.level < 1.0) {
        let what = format!("{} resamples at level {}", bootstrap.resamples, bootstrap.level);
        violations.push(Violation::new(Rule::Bootstrap, RUN, what));
    }
}

/// Manifests and scorers of the archive.
fn catalogs(dir: &Path, violations: &mut Vec<Violation>) -> Result<Option<Catalogs>> {
    let datasets = match dataset::Catalog::load(&[dir.join("manifests")]) {
        Ok(datasets) => datasets,
        Err(e) => {
            violations.push(Violation::new(Rule::Manifests, "", told(&e, dir)));
            return Ok(None);
        }
    };
    let scorers = scorer::Catalog::load(&[dir.join("scorers")])?;
    Ok(Some(Catalogs { models: model::Catalog::load(&[])?, datasets, scorers }))
}

fn cells(
    record: &RunRecord,
    catalogs: &Catalogs,
    engine: &Engine,
    violations: &mut Vec<Violation>,
) -> Result<Option<Vec<Cell>>> {
    let suite = &record.suite;
    let before = violations.len();
    for evaluation in &suite.datasets {
        let manifest = catalogs.datasets.get(&evaluation.id).ok();
        let fits = manifest.is_some_and(|m| evaluation.task.is_none_or(|task| m.tasks().contains(&task)));
        if !fits {
            let what = "is missing, or does not offer the task of the suite";
            violations.push(Violation::new(Rule::Manifests, manifest_file(&evaluation.id), what));
        }
    }
    let Some(expected) = expected(record, |id| catalogs.datasets.get(id).ok().cloned()) else {
        violations.push(Violation::new(
            Rule::Cells,
            RUN,
            format!("the suite has more than {MOST_CELLS} cells, or as many exclusions"),
        ));
        return Ok(None);
    };
    if violations.len() > before {
        return Ok(None);
    }
    let ids: BTreeSet<String> = expected.iter().map(|(id, _)| id.to_string()).collect();
    if ids.len() < expected.len() || ids.is_empty() {
        violations.push(Violation::new(Rule::Cells, RUN, "the suite has no cells, or names one twice"));
    }
    for id in ids.iter().filter(|id| !record.cells.contains_key(*id)) {
        violations.push(Violation::new(Rule::Cells, id, "is a cell of the suite, and not in the record"));
    }
    for id in record.cells.keys().filter(|id| !ids.contains(*id)) {
        violations.push(Violation::new(Rule::Cells, id, "is in the record, and no cell of the suite"));
    }
    let granted = serde_json::json!([suite.judges, suite.embed]).to_string();
    let mut loaded: Vec<Option<Vec<ScorerSource>>> = vec![None; suite.datasets.len()];
    let mut cells = Vec::new();
    for (id, position) in expected {
        let evaluation = &suite.datasets[position];
        let manifest = catalogs.datasets.get(&evaluation.id)?;
        if loaded[position].is_none() {
            match sources(suite, manifest, id.task, catalogs, engine) {
                Ok(sources) => loaded[position] = Some(sources),
                Err(e) => {
                    violations.push(Violation::new(Rule::Components, &evaluation.id, e.to_string()));
                    return Ok(None);
                }
            }
        }
        cells.push(Cell {
            fingerprint: record.cells.get(&id.to_string()).cloned().unwrap_or_default(),
            id,
            model: None,
            manifest: manifest.clone(),
            evaluation: evaluation.clone(),
            scorers: loaded[position].clone().unwrap_or_default(),
            granted: granted.clone(),
        });
    }
    Ok(Some(cells))
}

fn sources(
    suite: &Suite,
    manifest: &Manifest,
    task: Task,
    catalogs: &Catalogs,
    engine: &Engine,
) -> Result<Vec<ScorerSource>> {
    let grants = Grants::idle(!suite.judges.is_empty(), suite.embed.is_some());
    let mut sources = plan::scorers(suite, manifest, task, catalogs)?;
    for source in &mut sources {
        let scorer = source.load_with(engine, &grants)?;
        source.capabilities = scorer.capabilities().iter().map(ToString::to_string).collect();
    }
    Ok(sources)
}

/// Name of the samples of a cell's split.
pub fn samples_of(id: &CellId) -> String {
    samples_file(&id.dataset, &id.split, id.task)
}

/// Name of a component without its ending.
pub fn stem(component: &Path) -> String {
    component.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

/// An error without the temporary directory that it names.
fn told(error: &Error, dir: &Path) -> String {
    error.to_string().replace(&format!("{}/", dir.display()), "")
}
