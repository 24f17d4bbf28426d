//! What plugins and checkpoints are, asked while planning.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use plugin_api::{Capability, PluginInfo, abi::ABI_VERSION};

use super::{ModelSource, probe};
use crate::{
    config::Suite,
    error::{Error, Result, suggest},
    ids::digest,
    model::{PluginFile, Row, weights},
    run::{Catalogs, EmbedRecord, EmbedSource, Settings, cache_dir, remote},
};

/// A model that is at hand.
pub(super) struct Candidate {
    /// Its name in the suite.
    pub name: String,
    pub source: ModelSource,
    pub capabilities: Vec<Capability>,
    pub digests: BTreeMap<String, String>,
}

/// Each plugin is probed once and each checkpoint hashed once, however many cells share them.
pub(super) struct Probes<'a> {
    settings: &'a Settings,
    infos: BTreeMap<PathBuf, PluginInfo>,
    digests: BTreeMap<PathBuf, String>,
}

fn checkpoint_digest(dir: &Path) -> Result<String> {
    weights::digest(dir, cache_dir().map(|dir| dir.join("digests")).as_deref())
}

impl<'a> Probes<'a> {
    pub fn new(settings: &'a Settings) -> Self {
        Self { settings, infos: BTreeMap::new(), digests: BTreeMap::new() }
    }

    /// A model of the suite, with its library, its checkpoint and what it can do.
    pub fn candidate(&mut self, name: &str, catalogs: &Catalogs, suite: &Suite) -> Result<Candidate> {
        let (row, plugin) = remote::find(name, catalogs, &suite.remotes)?;
        let info = self.info(plugin)?;
        let architecture = info.architectures.iter().find(|a| a.id == row.architecture).ok_or_else(|| {
            let known = suggest(&row.architecture, info.architectures.iter().map(|a| a.id.as_str()));
            let place = plugin.manifest.as_deref().unwrap_or(&plugin.library);
            Error::invalid(place, format!("model `{name}` wants architecture `{}`{known}", row.architecture))
        })?;
        let weights = weights::find(&row, plugin, suite.weights.get(name).map(PathBuf::as_path))?;
        let mut digests = self.model_digests(&row, plugin, weights.as_deref())?;
        digests.insert("device".into(), self.settings.device.clone());
        digests.insert("dtype".into(), self.settings.dtype.clone());
        if let Some(dir) = &self.settings.adapter {
            digests.insert("adapter".into(), self.digest(dir, checkpoint_digest)?);
        }
        Ok(Candidate {
            name: name.into(),
            source: ModelSource { row, plugin: plugin.clone(), weights },
            capabilities: architecture.capabilities.clone(),
            digests,
        })
    }

    pub fn info(&mut self, plugin: &PluginFile) -> Result<PluginInfo> {
        if let Some(info) = self.infos.get(&plugin.library) {
            return Ok(info.clone());
        }
        let info = probe(plugin, &self.settings.place)?;
        self.infos.insert(plugin.library.clone(), info.clone());
        Ok(info)
    }

    pub fn model_digests(
        &mut self,
        row: &Row,
        plugin: &PluginFile,
        weights: Option<&Path>,
    ) -> Result<BTreeMap<String, String>> {
        let library = self
            .digest(&plugin.library, |path| std::fs::read(path).map(|bytes| digest(&bytes)).map_err(Error::io(path)))?;
        let (row, endpoint) = remote::identity(row);
        let row_text = serde_json::to_string(&row).map_err(|e| Error::failed(e.to_string()))?;
        let mut digests = BTreeMap::from([
            ("model.abi".into(), ABI_VERSION.into()),
            ("model.library".into(), library),
            ("model.row".into(), digest(row_text.as_bytes())),
        ]);
        if let Some(endpoint) = endpoint {
            digests.insert("model.endpoint".into(), endpoint);
        }
        if let Some(dir) = weights {
            digests.insert("model.weights".into(), self.digest(dir, checkpoint_digest)?);
        }
        Ok(digests)
    }

    /// The model of `[embed]`, which must be able to embed texts.
    pub fn embedding(&mut self, id: &str, catalogs: &Catalogs, suite: &Suite) -> Result<EmbedSource> {
        let source = self.embed(id, catalogs, suite)?;
        let (row, plugin) = catalogs.models.find(id)?;
        let mut architectures = self.info(plugin)?.architectures.into_iter();
        match architectures.find(|architecture| architecture.id == row.architecture) {
            Some(able) if able.capabilities.contains(&Capability::EmbedText) => Ok(source),
            _ => Err(Error::usage(format!("[embed]: model `{id}` offers no `embed-text`: name one that does"))),
        }
    }

    /// The model of `[embed]`, with its digests.
    pub fn embed(&mut self, id: &str, catalogs: &Catalogs, suite: &Suite) -> Result<EmbedSource> {
        let found = remote::find(id, catalogs, &suite.remotes);
        let (row, plugin) = found.map_err(|e| Error::usage(format!("[embed]: {e}")))?;
        let weights = weights::find(&row, plugin, suite.weights.get(id).map(PathBuf::as_path))?;
        let mut digests = self.model_digests(&row, plugin, weights.as_deref())?;
        digests.insert("device".into(), self.settings.device.clone());
        digests.insert("dtype".into(), self.settings.dtype.clone());
        let model = Ok(ModelSource { row, plugin: plugin.clone(), weights });
        Ok(EmbedSource { record: EmbedRecord { model: id.into(), digests }, model })
    }

    pub fn digest(&mut self, path: &Path, make: impl Fn(&Path) -> Result<String>) -> Result<String> {
        if let Some(known) = self.digests.get(path) {
            return Ok(known.clone());
        }
        let made = make(path)?;
        self.digests.insert(path.into(), made.clone());
        Ok(made)
    }
}
