//! The pipeline: every arrow of the flow is a file here, and ends in a file that the next one starts from.

use std::{
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    sync::atomic::{AtomicBool, Ordering},
};

use crate::{
    config::SearchPath,
    dataset,
    error::{Error, Result},
    ids::CellId,
    model::{self, Place},
    scorer,
};

mod adapt;
pub mod compare;
pub mod crew;
mod embedder;
pub mod estimate;
pub mod eval;
mod filter;
pub mod granted;
pub mod import;
pub mod leaderboard;
pub mod leaks;
pub mod lease;
pub mod merge;
pub mod parity;
pub mod plan;
pub mod policy;
pub mod predict;
pub mod record;
pub mod remote;
pub mod report;
pub mod score;
mod scored;
pub mod status;
pub mod subgroups;
pub mod submit;

pub use embedder::{EmbedRecord, EmbedSource};
pub use filter::{Condition, Filter};
pub use granted::{Asking, Granted};
pub use plan::{Cell, Plan};
pub use record::RunRecord;

/// Everything that can be named in a suite.
pub struct Catalogs {
    /// Models and the plugins that bring them.
    pub models: model::Catalog,
    /// Dataset manifests.
    pub datasets: dataset::Catalog,
    /// Scorer components.
    pub scorers: scorer::Catalog,
}

/// How to predict; none of it may change a prediction but `device` and `dtype`, which are recorded.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where models run.
    pub place: Place,
    /// `cpu` or `cuda:N`.
    pub device: String,
    /// `f32`, `bf16` or `f16`.
    pub dtype: String,
    /// Samples in a batch.
    pub batch_size: usize,
    /// A trained adapter to use instead of training one.
    pub adapter: Option<PathBuf>,
}

/// Hears of progress; the command line shows it.
pub trait Observer: Sync {
    /// A part of a cell's work begins: `done` of its `total` samples are on disk.
    fn begin(&self, cell: &CellId, work: &str, done: usize, total: usize);
    /// More samples are on disk.
    fn advance(&self, samples: usize);
    /// That part is complete for now.
    fn end(&self, failed: usize);
    /// Something worth a line.
    fn note(&self, line: &str);
}

/// Set by the first Ctrl-C; the batch in flight is finished and kept.
pub static INTERRUPTED: AtomicBool = AtomicBool::new(false);

impl Catalogs {
    /// Reads the search path.
    pub fn load(search: &SearchPath) -> Result<Self> {
        Ok(Self {
            models: model::Catalog::load(&search.plugins)?,
            datasets: dataset::Catalog::load(&search.datasets)?,
            scorers: scorer::Catalog::load(&search.scorers)?,
        })
    }
}

/// An error once the user has asked to stop.
pub fn check_interrupt() -> Result<()> {
    if INTERRUPTED.load(Ordering::Relaxed) { Err(Error::Interrupted) } else { Ok(()) }
}

/// Directory of compiled scorers: `$XDG_CACHE_HOME/medvlm`, else `~/.cache/medvlm`.
pub fn cache_dir() -> Option<PathBuf> {
    let set = |name| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    set("XDG_CACHE_HOME").or_else(|| set("HOME").map(|home| home.join(".cache"))).map(|cache| cache.join("medvlm"))
}

/// Writes a file in one step, so that a reader sees the old bytes or the new ones, and only when they differ.
fn write_atomically(path: &std::path::Path, bytes: &[u8]) -> Result<()> {
    if std::fs::read(path).is_ok_and(|old| old == bytes) {
        return Ok(());
    }
    let dir = path.parent().unwrap_or(std::path::Path::new("."));
    std::fs::create_dir_all(dir).map_err(Error::io(dir))?;
    // As readable as any other file of the user: a run directory is often shared.
    let mode = std::fs::Permissions::from_mode(0o666);
    let mut file = tempfile::Builder::new().permissions(mode).tempfile_in(dir).map_err(Error::io(dir))?;
    std::io::Write::write_all(&mut file, bytes).map_err(Error::io(path))?;
    file.persist(path).map_err(|e| Error::Io { path: path.into(), source: e.error })?;
    Ok(())
}

/// Pretty JSON with a last newline.
fn to_json(value: &impl serde::Serialize) -> Result<Vec<u8>> {
    let mut bytes = serde_json::to_vec_pretty(value).map_err(|e| Error::failed(e.to_string()))?;
    bytes.push(b'\n');
    Ok(bytes)
}
