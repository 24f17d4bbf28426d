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

    /// A value of each sample without a metric of its name.
    pub fn sample_value(mut self, name: &str, min: f64, max: f64) -> Self {
        self.0.values.push(info(name, min, max));
        self
    }

    /// A metric that `aggregate` returns: higher is better, within `min..=max`.
    pub fn metric(mut self, name: &str, min: f64, max: f64) -> Self {
        self.0.metrics.push(info(name, min, max));
        self
    }

    /// Of the value or metric named last, lower is better.
    pub fn lower_is_better(mut self) -> Self {
        let name = self.0.metrics.last().map(|metric| metric.name.clone());
        for info in self.0.values.iter_mut().chain(&mut self.0.metrics).filter(|info| Some(&info.name) == name.as_ref())
        {
            info.higher_is_better = false;
        }
        self
    }

    /// Capabilities that the scorer imports: `judge`, `embed`.
    pub fn needs<'a>(mut self, capabilities: impl IntoIterator<Item = &'a str>) -> Self {
        self.0.needs.extend(capabilities.into_iter().map(str::to_string));
        self
    }

    /// JSON schema of the configuration; without it the scorer takes none.
    pub fn config_schema(mut self, schema: &str) -> Self {
        self.0.config_schema = schema.into();
        self
    }

    /// The fields of the configuration, each with its JSON schema; all may be left out.
    pub fn fields<'a>(self, fields: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let fields: Vec<String> = fields.into_iter().map(|(name, schema)| format!(r#""{name}":{schema}"#)).collect();
        let fields = fields.join(",");
        self.config_schema(&format!(r#"{{"type":"object","additionalProperties":false,"properties":{{{fields}}}}}"#))
    }

    /// The metadata.
    pub fn build(self) -> Metadata {
        self.0
    }
}

fn info(name: &str, min: f64, max: f64) -> MetricInfo {
    MetricInfo { name: name.into(), higher_is_better: true, min, max }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_make_a_json_schema() {
        let schema = metadata("x", "0.1.0", "x").fields([("a", r#"{"type":"boolean"}"#), ("b", "{}")]).build();
        let schema: serde_json::Value = serde_json::from_str(&schema.config_schema).expect("valid JSON");
        assert_eq!(
            (&schema["additionalProperties"], &schema["properties"]["a"]["type"]),
            (&false.into(), &"boolean".into())
        );
    }

    #[test]
    fn lower_is_better_for_the_last_one_only() {
        let built = metadata("x", "0.1.0", "x").metric("a", 0.0, 1.0).value("b", 0.0, 1.0).lower_is_better().build();
        let higher = |infos: &[MetricInfo]| infos.iter().map(|info| info.higher_is_better).collect::<Vec<_>>();
        assert_eq!((higher(&built.metrics), higher(&built.values)), (vec![true, false], vec![false]));
    }
}
