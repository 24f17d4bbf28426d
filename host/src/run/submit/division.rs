//! The closed division: rules 601 to 607.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use serde_json::{Value, json};

use super::{
    opened::{Opened, stem},
    verify::{CellVerdict, Options},
};
use crate::{
    config::Suite,
    error::{Error, Result},
    ids::{Task, Usage, digest},
    submission::{RUN, Rule, Violation},
};

/// What of a suite says who is evaluated, where things are on a machine, and how patiently a judge is asked, rather than what is
/// measured.
const FREE: [&str; 8] = ["name", "title", "models", "weights", "remote", "specialists", "in_domain", "published"];
const FREE_OF_DATASETS: [&str; 2] = ["root", "models"];
const FREE_OF_JUDGES: [&str; 7] = ["base-url", "key-env", "approved", "price", "retries", "timeout", "in-flight"];

/// The suites in a directory: those that ship with the program are the official ones.
pub fn officials(dir: &Path) -> Result<Vec<Suite>> {
    if !dir.is_dir() {
        return Ok(Vec::new());
    }
    let mut paths: Vec<_> = fs::read_dir(dir).map_err(Error::io(dir))?.flatten().map(|entry| entry.path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
    paths.sort();
    paths.iter().map(|path| Suite::read(path)).collect()
}

/// Checks what the closed division asks for beyond what every submission keeps to.
pub fn check(opened: &Opened, cells: &[CellVerdict], options: &Options, violations: &mut Vec<Violation>) -> Result<()> {
    let mut wrong = |rule, place: &str, what: String| violations.push(Violation::new(rule, place, what));
    let suite = &opened.record.suite;
    let own = protocol(suite)?;
    let mut known = Vec::new();
    for official in &options.officials {
        known.push((official.name.clone(), protocol(official)?));
    }
    if !known.iter().any(|(_, official)| *official == own) {
        let near = known.iter().find(|(name, _)| *name == suite.name);
        let what = match near {
            Some((name, official)) => {
                format!("differs from the official suite `{name}` in {}", differences(official, &own))
            }
            None => {
                let names: Vec<&str> = known.iter().map(|(name, _)| name.as_str()).collect();
                format!("the suite is none of the official ones ({})", names.join(", "))
            }
        };
        wrong(Rule::OfficialSuite, RUN, format!("{what}; protocol {}", digest(own.to_string().as_bytes())));
    }
    for (model, what) in left_out(opened) {
        wrong(Rule::WholeTask, &model, what);
    }
    let mut seen = BTreeSet::new();
    for cell in &opened.cells {
        let dataset = &cell.id.dataset;
        let official = options.catalogs.datasets.get(dataset).ok();
        if seen.insert(dataset.clone()) && official.is_none_or(|official| official.digest != cell.manifest.digest) {
            wrong(Rule::OfficialManifests, dataset, "its manifest is not the one that ships with this program".into());
        }
        for source in &cell.scorers {
            let name = stem(&source.component);
            let official = options.catalogs.scorers.find(&name).ok().and_then(|path| fs::read(path).ok());
            let packed = fs::read(&source.component).map_err(Error::io(&source.component))?;
            if seen.insert(format!("scorer {name}")) && official.as_ref() != Some(&packed) {
                wrong(Rule::OfficialScorers, &name, "is not the scorer that ships with this program".into());
            }
        }
        if cell.fingerprint.contains_key("adapter") {
            let what = "was made with a given adapter, and nobody can see what that was trained on";
            wrong(Rule::OwnAdapters, &cell.id.to_string(), what.into());
        }
    }
    for cell in cells {
        let missing = cell.metrics.as_ref().map_or(0, |metrics| metrics.unanswered());
        if missing > 0 {
            wrong(Rule::FullEvidence, &cell.cell, format!("{missing} requests of scorers have no answer"));
        }
    }
    for version in BTreeSet::from([&opened.record.medvlm, &opened.index.medvlm]) {
        let released = version.split('.').count() == 3 && version.split('.').all(|part| part.parse::<u32>().is_ok());
        if !released {
            wrong(Rule::Released, RUN, format!("`{version}` is no released version"));
        }
    }
    Ok(())
}

/// What of a suite decides what is measured.
fn protocol(suite: &Suite) -> Result<Value> {
    let mut value = serde_json::to_value(suite).map_err(|e| Error::failed(e.to_string()))?;
    let strip = |value: &mut Value, keys: &[&str]| {
        if let Some(object) = value.as_object_mut() {
            object.retain(|key, _| !keys.contains(&key.as_str()));
        }
    };
    strip(&mut value, &FREE);
    for (list, keys) in [("dataset", &FREE_OF_DATASETS[..]), ("judge", &FREE_OF_JUDGES[..])] {
        let items = value.get_mut(list).and_then(Value::as_array_mut);
        items.into_iter().flatten().for_each(|item| strip(item, keys));
    }
    Ok(value)
}

/// Names of the parts of a protocol that differ.
fn differences(official: &Value, own: &Value) -> String {
    let empty = json!({});
    let object = |value: &Value| value.as_object().cloned().unwrap_or_default();
    let (a, b) = (object(official), object(own));
    let keys: BTreeSet<&String> = a.keys().chain(b.keys()).collect();
    let differ = keys.into_iter().filter(|key| a.get(*key).unwrap_or(&empty) != b.get(*key).unwrap_or(&empty));
    differ.map(|key| format!("`{key}`")).collect::<Vec<_>>().join(", ")
}

/// Models that do not meet all datasets of a task that they meet any of, where the suite does not leave these out.
fn left_out(opened: &Opened) -> Vec<(String, String)> {
    let suite = &opened.record.suite;
    let mut met: BTreeMap<(&str, Task), BTreeSet<(&str, &str)>> = BTreeMap::new();
    let mut all: BTreeMap<Task, BTreeSet<(&str, &str)>> = BTreeMap::new();
    for id in opened.cells.iter().map(|cell| &cell.id) {
        let side = (id.dataset.as_str(), id.split.as_str());
        all.entry(id.task).or_default().insert(side);
        met.entry((&id.model, id.task)).or_default().insert(side);
    }
    let mut found = Vec::new();
    for ((model, task), met) in met {
        let remote = opened.record.remotes.iter().find(|remote| remote.id == model);
        let name = remote.map_or(model, |remote| &remote.model);
        let usages: BTreeSet<Usage> = opened.cells.iter().map(|cell| cell.id.usage).collect();
        let excused = |dataset: &str| usages.iter().all(|usage| suite.excludes(name, dataset, task, *usage).is_some());
        let missing = all[&task].difference(&met).filter(|(dataset, _)| !excused(dataset));
        let missing: Vec<String> = missing.map(|(dataset, split)| format!("{dataset}.{split}")).collect();
        if !missing.is_empty() {
            let what = format!("meets only a part of the datasets of `{task}`: not {}", missing.join(", "));
            found.push((model.to_string(), what));
        }
    }
    found
}
