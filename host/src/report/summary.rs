//! Cells that answer the same question side by side: one table for each dataset, split and task.

use std::fmt::{self, Display};

use super::{CellReport, MetricReport, Report, numbers::counted};
use crate::ids::Task;

/// Cells that share dataset, split and task.
pub(super) struct Group<'a> {
    pub dataset: &'a str,
    pub split: &'a str,
    pub task: Task,
    pub columns: Vec<Column<'a>>,
    pub cells: Vec<&'a CellReport>,
}

/// One metric of one scorer.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Column<'a> {
    pub scorer: &'a str,
    pub version: &'a str,
    pub name: &'a str,
    pub higher_is_better: bool,
}

/// The groups of a report, in the order in which its cells first name them.
pub(super) fn groups(report: &Report) -> Vec<Group<'_>> {
    let mut groups: Vec<Group<'_>> = Vec::new();
    for cell in &report.cells {
        let known = groups.iter().position(|g| (g.dataset, g.split, g.task) == (&cell.dataset, &cell.split, cell.task));
        let at = known.unwrap_or_else(|| {
            let (columns, cells) = (Vec::new(), Vec::new());
            groups.push(Group { dataset: &cell.dataset, split: &cell.split, task: cell.task, columns, cells });
            groups.len() - 1
        });
        groups[at].cells.push(cell);
        for column in cell.metrics.iter().map(column_of) {
            if !groups[at].columns.contains(&column) {
                groups[at].columns.push(column);
            }
        }
    }
    groups
}

impl Group<'_> {
    /// The metric of a cell in a column.
    pub fn metric<'a>(&self, cell: &'a CellReport, column: &Column<'_>) -> Option<&'a MetricReport> {
        cell.metrics.iter().find(|m| column_of(m) == *column)
    }

    /// The best value of a column, where at least two cells can be compared.
    pub fn best(&self, column: &Column<'_>) -> Option<f64> {
        let values: Vec<f64> =
            self.cells.iter().filter_map(|c| self.metric(c, column)?.value).filter(|v| !v.is_nan()).collect();
        let better = if column.higher_is_better { f64::max } else { f64::min };
        values.iter().copied().reduce(better).filter(|_| values.len() > 1)
    }
}

impl Display for Group<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} · {} · {}", self.dataset, self.split, self.task)
    }
}

/// How the cell is used: the usage, and the seed where it is not 0.
pub(super) fn usage(cell: &CellReport) -> String {
    if cell.seed == 0 { cell.usage.to_string() } else { format!("{} · seed {}", cell.usage, cell.seed) }
}

/// What a reader must know before trusting the cell: failed, absent and missing counts.
pub(super) fn defects(cell: &CellReport) -> Vec<String> {
    let mut defects = Vec::new();
    if cell.failed > 0 {
        defects.push(format!("{} failed", counted(cell.failed, "prediction")));
    }
    let absent = cell.expected.saturating_sub(cell.predicted);
    if absent > 0 {
        defects.push(format!("{} absent", counted(absent, "prediction")));
    }
    for metric in cell.metrics.iter().filter(|m| m.missing > 0) {
        defects.push(format!("{} missing in {}", counted(metric.missing, "score"), metric.name));
    }
    defects
}

fn column_of(metric: &MetricReport) -> Column<'_> {
    let MetricReport { scorer, version, name, higher_is_better, .. } = metric;
    Column { scorer, version, name, higher_is_better: *higher_is_better }
}
