//! Dataset repositories of the Hugging Face hub, or of a mirror.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::{Wanted, http};
use crate::{
    dataset::{Checksum, Hub, Manifest, files},
    error::{Error, Result},
};

/// How the hub is reached, as the environment of Hugging Face's own tools says.
#[derive(Debug, Clone, Default)]
pub struct HubAccess {
    /// Base address without a slash at its end.
    pub endpoint: String,
    /// A token; it is sent to the endpoint alone, and appears in no message.
    pub token: Option<String>,
    /// Nothing may be downloaded.
    pub offline: bool,
    /// The local cache, which is read and never written.
    pub cache: Option<PathBuf>,
}

/// One entry of the hub's listing of a repository.
#[derive(Deserialize)]
struct Entry {
    path: String,
    #[serde(rename = "type")]
    kind: String,
    lfs: Option<Stored>,
}

/// A file that the hub keeps outside git, under its SHA-256.
#[derive(Deserialize)]
struct Stored {
    oid: String,
}

impl HubAccess {
    /// From `HF_ENDPOINT`, `HF_TOKEN`, `HF_HUB_OFFLINE`, and `HF_HUB_CACHE` or `HF_HOME`.
    pub fn from_env() -> Self {
        let value = |name: &str| std::env::var(name).ok().filter(|value| !value.trim().is_empty());
        let home = value("HF_HOME").map(PathBuf::from).or_else(|| {
            let cache = value("XDG_CACHE_HOME").map(PathBuf::from);
            Some(cache.or_else(|| Some(PathBuf::from(value("HOME")?).join(".cache")))?.join("huggingface"))
        });
        let stored = || std::fs::read_to_string(home.as_ref()?.join("token")).ok();
        let switched_on = |text: String| ["1", "on", "yes", "true"].iter().any(|on| text.eq_ignore_ascii_case(on));
        let endpoint = value("HF_ENDPOINT").unwrap_or_else(|| "https://huggingface.co".into());
        Self {
            endpoint: endpoint.trim_end_matches('/').into(),
            token: value("HF_TOKEN").or_else(stored).map(|token| token.trim().to_string()).filter(|t| !t.is_empty()),
            offline: value("HF_HUB_OFFLINE").is_some_and(switched_on),
            cache: value("HF_HUB_CACHE").map(PathBuf::from).or_else(|| Some(home.as_ref()?.join("hub"))),
        }
    }

    /// The files of the repository in the local cache with their places there, when it has some for every pattern.
    pub fn cached(&self, hub: &Hub, patterns: &[String]) -> Result<Option<Vec<(String, PathBuf)>>> {
        let Some(cache) = &self.cache else { return Ok(None) };
        let repository = cache.join(format!("datasets--{}", hub.repo.replace('/', "--")));
        let branch = repository.join("refs").join(&hub.revision);
        let commit = std::fs::read_to_string(branch).map_or_else(|_| hub.revision.clone(), |text| text.trim().into());
        let snapshot = repository.join("snapshots").join(commit);
        let mut found = Vec::new();
        for pattern in patterns {
            let matches = files::glob(&snapshot, pattern)?;
            if matches.is_empty() {
                return Ok(None);
            }
            let named = |path: PathBuf| Some((relative(&snapshot, &path)?, path));
            found.extend(matches.into_iter().filter_map(named));
        }
        Ok(Some(found))
    }

    /// The files of the repository that match a pattern, with their addresses and checksums.
    pub(super) fn list(&self, hub: &Hub, patterns: &[String]) -> Result<Vec<Wanted>> {
        let Self { endpoint, token, .. } = self;
        let Hub { repo, revision, .. } = hub;
        if self.offline {
            return Err(Error::failed(format!(
                "HF_HUB_OFFLINE is set, and the local cache lacks files of `{repo}` ({})",
                patterns.join(", ")
            )));
        }
        let url = format!("{endpoint}/api/datasets/{repo}/tree/{revision}?recursive=true");
        let entries: Vec<Entry> = serde_json::from_str(&http::text(&url, token.as_deref())?)
            .map_err(|e| Error::failed(format!("{url}: no list of files: {e}")))?;
        if let Some(pattern) = patterns.iter().find(|pattern| !entries.iter().any(|e| files::fits(pattern, &e.path))) {
            return Err(Error::failed(format!("{url}: the repository has no `{pattern}`")));
        }
        let wanted = |entry: Entry| Wanted {
            url: format!("{endpoint}/datasets/{repo}/resolve/{revision}/{}", entry.path.replace(' ', "%20")),
            token: token.clone(),
            published: Checksum { sha256: entry.lfs.map(|stored| stored.oid), ..Checksum::default() },
            file: entry.path,
        };
        let fitting = entries
            .into_iter()
            .filter(|entry| entry.kind == "file" && patterns.iter().any(|pattern| files::fits(pattern, &entry.path)));
        Ok(fitting.map(wanted).collect())
    }
}

/// Patterns of all files that the manifest asks for: those of the hub, else what it reads, and archives.
pub fn patterns(manifest: &Manifest, hub: &Hub) -> Vec<String> {
    let split = manifest.splits.values().flat_map(|split| &split.files);
    let mut patterns: Vec<String> = manifest.files.iter().chain(split).chain(&hub.files).cloned().collect();
    patterns.extend(manifest.unpack.keys().cloned());
    patterns.sort();
    patterns.dedup();
    patterns
}

fn relative(root: &Path, path: &Path) -> Option<String> {
    Some(path.strip_prefix(root).ok()?.to_string_lossy().replace('\\', "/"))
}
