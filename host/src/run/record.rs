//! `run.json`: the resolved suite with every version and hash, written before the first prediction.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use serde::{Deserialize, Serialize};

use crate::{
    config::Suite,
    error::{Error, Result},
    ids::digest,
    run::{
        EmbedRecord, Plan, granted::JudgeRecord, import, lease::Leases, remote::RemoteRecord, to_json, write_atomically,
    },
};

/// What a run directory was made from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunRecord {
    /// Version of the host.
    pub medvlm: String,
    /// Version of the plugin ABI.
    pub plugin_abi: String,
    /// The resolved suite.
    pub suite: Suite,
    /// Device and element type.
    pub device: String,
    /// Element type of the weights.
    pub dtype: String,
    /// Operating system, architecture, number of threads.
    pub environment: BTreeMap<String, String>,
    /// Digests of the scorer components, by name.
    #[serde(default)]
    pub scorers: BTreeMap<String, String>,
    /// The judges that the suite grants, and where they were asked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub judges: Vec<JudgeRecord>,
    /// The models behind endpoints, and where they were asked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub remotes: Vec<RemoteRecord>,
    /// The embeddings that it grants.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub embed: Option<EmbedRecord>,
    /// Digests of everything that the predictions of each cell depend on.
    pub cells: BTreeMap<String, BTreeMap<String, String>>,
}

/// File name in a run directory.
pub const FILE: &str = "run.json";

impl RunRecord {
    /// Reads the record of a run directory.
    pub fn read(dir: &Path) -> Result<Self> {
        let path = dir.join(FILE);
        let text = std::fs::read(&path).map_err(|e| match e.kind() {
            std::io::ErrorKind::NotFound => {
                Error::usage(format!("{}: no run directory (no {FILE} in it)", dir.display()))
            }
            _ => Error::Io { path: path.clone(), source: e },
        })?;
        serde_json::from_slice(&text).map_err(|e| Error::invalid(&path, format!("broken run record: {e}")))
    }

    /// Whether all of its predictions were made by another program.
    pub fn is_imported(&self) -> bool {
        !self.cells.is_empty() && self.cells.values().all(|inputs| inputs.contains_key(import::FINGERPRINT))
    }

    /// Writes the record of a run directory.
    pub fn save(&self, dir: &Path) -> Result<()> {
        write_atomically(&dir.join(FILE), &to_json(self)?)
    }
}

/// Writes the record of a plan. Cells that the directory already holds must have been made from the same inputs, unless
/// `redo` asks to put those that were not aside.
pub fn write(plan: &Plan, redo: bool) -> Result<()> {
    // Processes that begin together write one after the other.
    let _alone = Leases::new(&plan.dir).wait("run")?;
    let mut cells: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
    if plan.dir.join(FILE).exists() {
        cells = RunRecord::read(&plan.dir)?.cells;
    }
    for cell in &plan.cells {
        let id = cell.id.to_string();
        let predicted = cell.dir(&plan.dir).exists();
        if let Some(old) = cells.get(&id).filter(|old| predicted && **old != cell.fingerprint) {
            if !redo {
                return Err(stale(&plan.dir, &id, old, &cell.fingerprint));
            }
            put_aside(&plan.dir, &id, old)?;
        }
        cells.insert(id, cell.fingerprint.clone());
    }
    let components = plan.cells.iter().flat_map(|cell| &cell.scorers);
    let scorers = components
        .map(|s| Ok((s.id.clone(), digest(&std::fs::read(&s.component).map_err(Error::io(&s.component))?))))
        .collect::<Result<BTreeMap<String, String>>>()?;
    let threads = std::thread::available_parallelism().map_or(1, Into::into);
    let record = RunRecord {
        medvlm: env!("CARGO_PKG_VERSION").into(),
        plugin_abi: plugin_api::abi::ABI_VERSION.into(),
        suite: plan.suite.clone(),
        device: plan.settings.device.clone(),
        dtype: plan.settings.dtype.clone(),
        environment: BTreeMap::from([
            ("os".into(), std::env::consts::OS.into()),
            ("arch".into(), std::env::consts::ARCH.into()),
            ("threads".into(), threads.to_string()),
        ]),
        scorers,
        judges: plan.judges.clone(),
        remotes: plan.remotes.clone(),
        embed: plan.embed.as_ref().map(|source| source.record.clone()),
        cells,
    };
    record.save(&plan.dir)
}

/// The inputs in which two fingerprints differ.
pub fn changed<'a>(old: &'a BTreeMap<String, String>, new: &'a BTreeMap<String, String>) -> Vec<&'a str> {
    let keys: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    keys.into_iter().filter(|key| old.get(*key) != new.get(*key)).map(String::as_str).collect()
}

/// Moves a cell's directory to `stale/`, under the digest of what it was made from.
fn put_aside(run: &Path, id: &str, fingerprint: &BTreeMap<String, String>) -> Result<()> {
    let text = serde_json::to_string(fingerprint).map_err(|e| Error::failed(e.to_string()))?;
    let aside = run.join("stale").join(format!("{id}.{}", &digest(text.as_bytes())[..8]));
    std::fs::create_dir_all(run.join("stale")).map_err(Error::io(run))?;
    if aside.exists() {
        std::fs::remove_dir_all(&aside).map_err(Error::io(&aside))?;
    }
    std::fs::rename(run.join(id), &aside).map_err(Error::io(&aside))
}

fn stale(dir: &Path, id: &str, old: &BTreeMap<String, String>, new: &BTreeMap<String, String>) -> Error {
    let changed = changed(old, new);
    Error::usage(format!(
        "{}: {id} was predicted from other inputs (changed: {}); give --out another directory, or --redo to put it aside and \
         predict it anew",
        dir.display(),
        changed.join(", "),
    ))
}
