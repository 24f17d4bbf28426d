//! The metrics of a cell on groups of its samples, such as the sexes of the patients.

use serde::{Deserialize, Serialize};

use crate::{
    config::Bootstrap,
    error::Result,
    run::scored::{Metric, Scored},
    stats::{self, Clusters},
};

/// Groups of fewer patients are listed without numbers: these would say little, and sound like much.
pub const SMALLEST: usize = 10;

/// The groups of one column.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SubgroupTable {
    /// The manifest's group column.
    pub column: String,
    /// Samples without a value, which are in no group.
    pub without_value: usize,
    /// The groups, in the order of their values.
    pub groups: Vec<GroupMetrics>,
    /// How far apart the groups are, one entry for each metric that at least two groups have.
    pub gaps: Vec<GroupGap>,
}

/// The metrics of one group.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GroupMetrics {
    /// Value of the column.
    pub value: String,
    /// Samples of the group.
    pub samples: usize,
    /// Clusters of its bootstrap: patients, or samples where the dataset names no patients.
    pub patients: usize,
    /// Whether it is smaller than [`SMALLEST`], so that it has no metrics.
    pub too_small: bool,
    /// The metrics.
    pub metrics: Vec<Metric>,
}

/// The distance between the groups in one metric.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GroupGap {
    /// Name of the metric.
    pub metric: String,
    /// Group with the worst value.
    pub worst: String,
    /// Group with the best value.
    pub best: String,
    /// Distance between the two.
    pub gap: f64,
    /// Equity-scaled value of an AUROC; see [`stats::equity_scaled`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub equity_scaled: Option<f64>,
}

/// A table for each column, given as its name with one value for each sample. `overall` are the metrics of all samples.
pub(super) fn tables(
    scored: &Scored<'_>,
    overall: &[Metric],
    clusters: &Clusters,
    columns: &[(&str, Vec<Option<&str>>)],
    bootstrap: &Bootstrap,
) -> Result<Vec<SubgroupTable>> {
    let group = |group: stats::Subgroup| -> Result<GroupMetrics> {
        let own = clusters.within(&group.positions);
        let too_small = own.len() < SMALLEST;
        Ok(GroupMetrics {
            value: group.value,
            samples: own.samples(),
            patients: own.len(),
            too_small,
            metrics: if too_small { Vec::new() } else { scored.metrics(&own, bootstrap)? },
        })
    };
    let table = |(column, values): &(&str, Vec<Option<&str>>)| {
        let groups: Vec<GroupMetrics> = stats::subgroups(values).into_iter().map(group).collect::<Result<_>>()?;
        Ok(SubgroupTable {
            column: column.to_string(),
            without_value: values.iter().filter(|value| value.is_none()).count(),
            gaps: overall.iter().enumerate().filter_map(|(i, metric)| gap(metric, i, &groups)).collect(),
            groups,
        })
    };
    columns.iter().map(table).collect()
}

fn gap(overall: &Metric, position: usize, groups: &[GroupMetrics]) -> Option<GroupGap> {
    let values: Vec<Option<f64>> = groups.iter().map(|g| g.metrics.get(position).and_then(|m| m.value)).collect();
    let gap = stats::gap(&values, overall.higher_is_better)?;
    let equity_scaled = overall.value.filter(|_| overall.name.starts_with("auroc"));
    Some(GroupGap {
        metric: overall.name.clone(),
        worst: groups[gap.worst].value.clone(),
        best: groups[gap.best].value.clone(),
        gap: gap.gap,
        equity_scaled: equity_scaled.and_then(|value| stats::equity_scaled(value, &values)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metric(name: &str, value: Option<f64>) -> Metric {
        Metric {
            name: name.into(),
            value,
            low: None,
            high: None,
            undefined_resamples: 0,
            missing: 0,
            higher_is_better: true,
        }
    }

    fn group(value: &str, metrics: Vec<Metric>) -> GroupMetrics {
        GroupMetrics { value: value.into(), samples: 9, patients: 9, too_small: metrics.is_empty(), metrics }
    }

    #[test]
    fn gaps_leave_out_groups_without_a_value_and_scale_areas_only() {
        let groups = [
            group("a", vec![metric("auroc", Some(0.5)), metric("f1", Some(0.75))]),
            group("b", vec![]),
            group("c", vec![metric("auroc", Some(0.75)), metric("f1", Some(0.25))]),
            group("d", vec![metric("auroc", None), metric("f1", None)]),
        ];
        let auroc = gap(&metric("auroc", Some(0.625)), 0, &groups).expect("a gap");
        assert_eq!((auroc.worst.as_str(), auroc.best.as_str(), auroc.gap), ("a", "c", 0.25));
        assert_eq!(auroc.equity_scaled, Some(0.625 / 1.25));
        let f1 = gap(&metric("f1", Some(0.5)), 1, &groups).expect("a gap");
        assert_eq!((f1.worst.as_str(), f1.best.as_str(), f1.gap, f1.equity_scaled), ("c", "a", 0.5, None));
        assert_eq!(gap(&metric("auroc", Some(0.5)), 0, &groups[..2]), None);
    }
}
