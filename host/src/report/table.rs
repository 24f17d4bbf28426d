//! The summary for a terminal.

use super::{
    Report,
    numbers::{count, interval, number},
    summary::{Group, defects, groups, usage},
};

/// One aligned table for each dataset, split and task; `*` marks the best value of a column, `!` a defect.
pub fn to_table(report: &Report) -> String {
    groups(report).iter().map(table).collect::<Vec<_>>().join("\n")
}

fn table(group: &Group<'_>) -> String {
    let mut rows = vec![vec!["model".into(), "usage".into(), "samples".into()]];
    rows[0].extend(group.columns.iter().map(|c| format!("{} {}", c.name, if c.higher_is_better { '↑' } else { '↓' })));
    let mut notes = Vec::new();
    for cell in &group.cells {
        let mut row = vec![cell.model.clone(), usage(cell), count(cell.samples.len())];
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
    format!("{group}\n{}{}", aligned(&rows), notes.concat())
}

/// Columns padded to their widest entry, under a rule; counts to the right.
fn aligned(rows: &[Vec<String>]) -> String {
    let width = |column: usize| rows.iter().map(|r| r[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..rows[0].len()).map(width).collect();
    let line = |row: &Vec<String>| {
        let fields = row.iter().zip(&widths).enumerate();
        let padded = fields.map(|(i, (text, &w))| if i == 2 { format!("{text:>w$}") } else { format!("{text:<w$}") });
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
    use crate::report::example;

    #[test]
    fn the_table_aligns_and_says_what_is_missing() {
        insta::assert_snapshot!(to_table(&example::report()));
    }
}
