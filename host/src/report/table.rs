//! The summary for a terminal.

use super::{
    Report,
    numbers::{count, interval, number},
    summary::{Group, defects, groups, usage},
};

/// The most characters of a line; a wider table is turned, so that each metric has a line.
const WIDTH: usize = 120;

/// One aligned table for each dataset, split and task; `*` marks the best value of a metric, `!` a defect.
pub fn to_table(report: &Report) -> String {
    groups(report).iter().map(table).collect::<Vec<_>>().join("\n")
}

fn table(group: &Group<'_>) -> String {
    let mut rows = vec![vec!["model".into(), "usage".into(), "samples".into()]];
    rows[0].extend(group.columns.iter().map(|c| format!("{} {}", c.name, if c.higher_is_better { '↑' } else { '↓' })));
    let mut notes = Vec::new();
    for cell in &group.cells {
        let mut row = vec![cell.model.clone(), usage(cell), count(cell.predicted)];
        row.extend(group.columns.iter().map(|column| match group.metric(cell, column) {
            None => String::new(),
            Some(metric) => {
                let best = metric.value.is_some() && metric.value == group.best(column);
                let value = format!("{}{}", number(metric.value), if best { "*" } else { " " });
                interval(metric).map_or(value.clone(), |interval| format!("{value} {interval}"))
            }
        }));
        rows.push(row);
        notes.extend(defects(cell).iter().map(|defect| format!("! {} ({}): {defect}\n", cell.model, usage(cell))));
    }
    let upright = aligned(&rows, Some(2));
    let fits = upright.lines().all(|line| line.chars().count() <= WIDTH);
    let lines = if fits { upright } else { aligned(&turned(&rows), None) };
    format!("{group}\n{lines}{}", notes.concat())
}

/// Rows for columns.
fn turned(rows: &[Vec<String>]) -> Vec<Vec<String>> {
    (0..rows[0].len()).map(|column| rows.iter().map(|row| row[column].clone()).collect()).collect()
}

/// Columns padded to their widest entry, under a rule; that of `counts` to the right.
fn aligned(rows: &[Vec<String>], counts: Option<usize>) -> String {
    let width = |column: usize| rows.iter().map(|r| r[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..rows[0].len()).map(width).collect();
    let line = |row: &Vec<String>| {
        let fields = row.iter().zip(&widths).enumerate();
        let padded = fields.map(|(column, (text, &w))| match counts == Some(column) {
            true => format!("{text:>w$}"),
            false => format!("{text:<w$}"),
        });
        format!("  {}\n", padded.collect::<Vec<_>>().join("  ").trim_end())
    };
    let rule = format!("  {}\n", "─".repeat(widths.iter().sum::<usize>() + 2 * (widths.len() - 1)));
    let mut lines: Vec<String> = rows.iter().map(line).collect();
    lines.insert(1, rule);
    lines.concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{MetricReport, example};

    #[test]
    fn the_table_aligns_and_says_what_is_missing() {
        insta::assert_snapshot!(to_table(&example::report()));
    }

    #[test]
    fn a_wide_table_has_a_line_for_each_metric() {
        let mut report = example::report();
        let metrics = &mut report.cells[0].metrics;
        let metric = metrics[0].clone();
        metrics.extend((0..6).map(|n| MetricReport { name: format!("metric_{n}"), ..metric.clone() }));
        let table = to_table(&report);
        assert!(table.lines().all(|line| line.chars().count() <= WIDTH), "{table}");
        assert!(table.contains("\n  metric_5 ↑  0.750  [0.500, 1.000]\n"), "{table}");
    }
}
