//! Scored samples, asked for the metrics of any part or draw of them.

use serde::{Deserialize, Serialize};

use crate::{
    config::Bootstrap,
    error::Result,
    scorer::{SampleScore, Scorer},
    stats::{self, Clusters},
};

/// One number with its interval.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Metric {
    /// The field's name.
    pub name: String,
    /// The value; none where it is undefined.
    pub value: Option<f64>,
    /// Lower end of the interval.
    pub low: Option<f64>,
    /// Upper end of the interval.
    pub high: Option<f64>,
    /// Resamples in which the metric is undefined.
    pub undefined_resamples: usize,
    /// Samples whose value of this name is missing.
    pub missing: usize,
    /// Direction.
    pub higher_is_better: bool,
}

/// The scores of all samples and the scorer that gave them.
pub(super) struct Scored<'a> {
    pub scorer: &'a Scorer,
    pub scores: &'a [SampleScore],
}

/// A value for each metric of the scorer.
pub(super) type Row = Vec<Option<f64>>;

/// Resamples that are drawn at a time, and samples that these have together: those of a large dataset would not fit into
/// memory at once.
const DRAWS: usize = 250;
const DRAWN: usize = 10_000_000;

impl Scored<'_> {
    /// The metrics of some clusters, with intervals from draws of these.
    pub fn metrics(&self, clusters: &Clusters, bootstrap: &Bootstrap) -> Result<Vec<Metric>> {
        let rows = self.draws(clusters, bootstrap)?;
        let positions = clusters.positions();
        let metadata = self.scorer.metadata();
        let metric = |(column, info): (usize, &crate::scorer::MetricInfo)| {
            let column = |row: &Row| row.get(column).copied().flatten();
            let draws: Vec<f64> = rows.iter().skip(1).filter_map(column).collect();
            let interval = stats::percentile_interval(&draws, bootstrap.level);
            let own_value = metadata.values.iter().position(|v| v.name == info.name);
            let is_missing =
                |value: usize, position: u32| matches!(self.scores[position as usize].values.get(value), Some(None));
            Metric {
                name: info.name.clone(),
                value: rows.first().and_then(column),
                low: interval.map(|(low, _)| low),
                high: interval.map(|(_, high)| high),
                undefined_resamples: rows.len().saturating_sub(1) - draws.len(),
                missing: own_value.map_or(0, |v| positions.iter().filter(|p| is_missing(v, **p)).count()),
                higher_is_better: info.higher_is_better,
            }
        };
        Ok(metadata.metrics.iter().enumerate().map(metric).collect())
    }

    /// The metrics of all samples of the clusters, then of each draw.
    pub fn draws(&self, clusters: &Clusters, bootstrap: &Bootstrap) -> Result<Vec<Row>> {
        let draws = (0..u64::from(bootstrap.resamples)).map(|number| clusters.resample(bootstrap.seed, number));
        self.at(std::iter::once(clusters.positions()).chain(draws))
    }

    /// The metrics of each list of positions.
    pub fn at(&self, lists: impl Iterator<Item = Vec<u32>>) -> Result<Vec<Row>> {
        // The contract promises every call the whole sample first.
        let everything: Vec<u32> = (0..self.scores.len() as u32).collect();
        let draws = (DRAWN / everything.len().max(1)).clamp(1, DRAWS);
        let mut lists = lists.peekable();
        let mut rows = Vec::new();
        while lists.peek().is_some() {
            let call: Vec<Vec<u32>> = std::iter::once(everything.clone()).chain(lists.by_ref().take(draws)).collect();
            rows.extend(self.scorer.aggregate(self.scores, &call)?.into_iter().skip(1));
        }
        Ok(rows)
    }
}
