//! Builds the metadata of a scorer.

use crate::{Metadata, MetricInfo};

/// See [`metadata`].
#[derive(Debug)]
pub struct MetadataBuilder(Metadata);

/// Starts the metadata of a scorer: its name, its semantic version, and one sentence.
pub fn metadata(id: &str, version: &str, summary: &str) -> MetadataBuilder {
    MetadataBuilder(Metadata {
        id: id.into(),
        version: version.into(),
        summary: summary.into(),
        tasks: Vec::new(),
        values: Vec::new(),
        metrics: Vec::new(),
        needs: Vec::new(),
        config_schema: r#"{"type":"object","additionalProperties":false}"#.into(),
    })
}

impl MetadataBuilder {
    /// Tasks that the scorer understands: `diagnosis`, `vqa`, `caption`.
    pub fn tasks<'a>(mut self, tasks: impl IntoIterator<Item = &'a str>) -> Self {
        self.0.tasks.extend(tasks.into_iter().map(str::to_string));
        self
    }

    /// A value of each sample, and the metric of the same name: higher is better, within `min..=max`.
    pub fn value(mut self, name: &str, min: f64, max: f64) -> Self {
        self.0.values.push(info(name, min, max));
        self.metric(name, min, max)
    }

    /// A metric that `aggregate` returns: higher is better, within `min..=max`.
    pub fn metric(mut self, name: &str, min: f64, max: f64) -> Self {
        self.0.metrics.push(info(name, min, max));
        self
    }

    /// JSON schema of the configuration; without it the scorer takes none.
    pub fn config_schema(mut self, schema: &str) -> Self {
        self.0.config_schema = schema.into();
        self
    }

    /// The metadata.
    pub fn build(self) -> Metadata {
        self.0
    }
}

fn info(name: &str, min: f64, max: f64) -> MetricInfo {
    MetricInfo { name: name.into(), higher_is_better: true, min, max }
}
