//! The subgroups of a cell as rows of a table.

use serde::Serialize;

use super::{
    CellReport, SubgroupReport,
    numbers::{count, number},
    summary::usage,
};

/// One metric of one cell on the groups of one column.
#[derive(Serialize)]
pub(super) struct SubgroupRow {
    model: String,
    usage: String,
    metric: String,
    column: String,
    groups: Vec<GroupView>,
    gap: Option<String>,
    equity_scaled: Option<String>,
}

#[derive(Serialize)]
struct GroupView {
    name: String,
    patients: String,
    value: String,
    interval: Option<String>,
}

/// The rows of a cell, in the order of its scorers, columns and metrics.
pub(super) fn subgroup_rows(cell: &CellReport) -> Vec<SubgroupRow> {
    let key = |group: &SubgroupReport| (group.scorer.clone(), group.column.clone(), group.metric.clone());
    let mut keys: Vec<_> = Vec::new();
    for group in &cell.subgroups {
        if !keys.contains(&key(group)) {
            keys.push(key(group));
        }
    }
    let row = |wanted: (String, String, String)| {
        let gap = cell.gaps.iter().find(|g| (&g.scorer, &g.column, &g.metric) == (&wanted.0, &wanted.1, &wanted.2));
        let groups = cell.subgroups.iter().filter(|group| key(group) == wanted).map(view).collect();
        SubgroupRow {
            model: cell.model.clone(),
            usage: usage(cell),
            gap: gap.map(|g| format!("{} ({} to {})", number(Some(g.gap)), g.worst, g.best)),
            equity_scaled: gap.and_then(|g| g.equity_scaled).map(|value| number(Some(value))),
            groups,
            column: wanted.1,
            metric: wanted.2,
        }
    };
    keys.into_iter().map(row).collect()
}

fn view(group: &SubgroupReport) -> GroupView {
    let interval = group.low.zip(group.high);
    GroupView {
        name: group.group.clone(),
        patients: count(group.patients),
        value: if group.too_small { "too small".into() } else { number(group.value) },
        interval: interval.map(|(low, high)| format!("[{}, {}]", number(Some(low)), number(Some(high)))),
    }
}
