//! Token embeddings by a model plugin, opened when the first text has none on record.

use std::collections::BTreeMap;

use plugin_api::{Capability, client, message::Texts};
use serde::{Deserialize, Serialize};

use crate::{
    error::{Error, Result},
    evidence::Embedding,
    ids::digest,
    model::Model,
    run::{Settings, plan::ModelSource, predict},
};

/// Texts of one call of the model.
const BATCH: usize = 32;

/// The model as `run.json` records it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EmbedRecord {
    /// Its name.
    pub model: String,
    /// Digests of everything that its embeddings depend on, by name.
    pub digests: BTreeMap<String, String>,
}

/// What embeddings are made with.
#[derive(Debug, Clone)]
pub struct EmbedSource {
    /// The model on record.
    pub record: EmbedRecord,
    /// The model on this machine, or why it cannot be used.
    pub model: std::result::Result<ModelSource, String>,
}

/// The model, once it is needed.
pub(super) struct Embedder {
    source: EmbedSource,
    settings: Settings,
    identity: String,
    open: Option<Model>,
}

impl Embedder {
    pub fn new(source: EmbedSource, settings: &Settings) -> Self {
        let identity = serde_json::to_string(&source.record).unwrap_or_default();
        Self { source, settings: settings.clone(), identity, open: None }
    }

    /// Name of the model.
    pub fn name(&self) -> &str {
        &self.source.record.model
    }

    /// Digest of a text with everything that its embedding depends on.
    pub fn key(&self, text: &str) -> String {
        digest(format!("{}\n{text}", self.identity).as_bytes())
    }

    /// An embedding of each text.
    pub fn embed(&mut self, texts: &[String]) -> Result<Vec<Embedding>> {
        let name = self.name().to_string();
        let model = match &mut self.open {
            Some(model) => model,
            none => none.insert(open(&self.source, &self.settings)?),
        };
        let failed = |e: String| Error::failed(format!("model `{name}` cannot embed a text: {e}"));
        let mut all = Vec::with_capacity(texts.len());
        for batch in texts.chunks(BATCH) {
            model.revive()?;
            let matrices = client::embed_text(model.door(), &Texts { texts: batch.into() });
            let matrices = matrices.map_err(|e| failed(e.message))?;
            if matrices.len() != batch.len() {
                return Err(failed(format!("it returned {} embeddings for {} texts", matrices.len(), batch.len())));
            }
            for matrix in matrices {
                let rows: Vec<&[f32]> = (0..matrix.rows()).map(|row| matrix.row(row)).collect();
                let data = rows.concat();
                if data.iter().any(|number| !number.is_finite()) {
                    return Err(failed("it returned a number that is not finite".into()));
                }
                let columns = rows.first().map_or(0, |row| row.len());
                all.push(Embedding { rows: rows.len() as u32, columns: columns as u32, data });
            }
        }
        Ok(all)
    }
}

fn open(source: &EmbedSource, settings: &Settings) -> Result<Model> {
    let name = &source.record.model;
    let model = source.model.as_ref().map_err(|why| {
        Error::failed(format!("embeddings by `{name}` are not on record, and it cannot be asked: {why}"))
    })?;
    let opened = predict::open_model(model, settings)?;
    if opened.description().capabilities.contains(&Capability::EmbedText) {
        return Ok(opened);
    }
    Err(Error::usage(format!("model `{name}` offers no `embed-text`: name another one in [embed]")))
}
