//! The summary for a README or a forge.

use super::{
    Report,
    grid::{Grid, GridValue, grids},
    numbers::{count, interval, number},
    summary::{Group, defects, groups, usage},
};

/// One table for each grid of the leading metrics, then one for each dataset, split and task; the best of a column is bold.
pub fn to_markdown(report: &Report) -> String {
    let leading = grids(report).into_iter().filter(|grid| grid.leading);
    let mut parts: Vec<String> = leading.map(|grid| grid_table(&grid)).collect();
    parts.extend(groups(report).iter().map(group_table));
    format!("# {}\n\n{}", escaped(&report.title), parts.join("\n"))
}

fn grid_table(grid: &Grid<'_>) -> String {
    let arrow = if grid.higher_is_better { '↑' } else { '↓' };
    let mut head = vec!["model".into(), "usage".into()];
    for (column, (dataset, split)) in grid.columns.iter().enumerate() {
        head.push(if *split == "test" { escaped(dataset) } else { escaped(&format!("{dataset} · {split}")) });
        head.extend(published(grid, column).then(|| "published".to_string()));
    }
    let rows = grid.rows.iter().map(|row| {
        let mut line =
            vec![format!("{}{}", escaped(row.model), if row.specialist { " ◆" } else { "" }), row.usage.to_string()];
        for (column, value) in row.values.iter().enumerate() {
            let best = value.mean().is_some() && value.mean() == grid.best(column);
            let text = shown(value);
            let text = if best { format!("**{text}**") } else { text };
            line.push(if value.in_domain && !value.seeds.is_empty() { format!("{text} ●") } else { text });
            if published(grid, column) {
                line.push(value.published.map(published_text).unwrap_or_default());
            }
        }
        line
    });
    let note = "◆ made for medicine · ● in domain · ± standard deviation over seeds";
    let note = match grid.is_published() {
        true => {
            format!("{note} · published values are those of others; ? marks doubts, which tables/grid.csv spells out")
        }
        false => note.into(),
    };
    let title = format!("{} {arrow} ({}, {})", grid.metric, grid.scorer, grid.task);
    format!("## {}\n\n{}\n{note}\n", escaped(&title), table(&head, rows))
}

fn published(grid: &Grid<'_>, column: usize) -> bool {
    grid.rows.iter().any(|row| row.values[column].published.is_some())
}

fn published_text(value: &super::PublishedValue) -> String {
    format!("{}{}", number(Some(value.value)), if value.doubt.is_empty() { "" } else { " ?" })
}

fn shown(value: &GridValue<'_>) -> String {
    match (value.seeds.is_empty(), value.deviation()) {
        (true, _) => String::new(),
        (false, Some(sd)) => format!("{} ± {}", number(value.mean()), number(Some(sd))),
        (false, None) => number(value.mean()),
    }
}

fn group_table(group: &Group<'_>) -> String {
    let mut head = vec!["model".into(), "usage".into(), "samples".into()];
    head.extend(
        group.columns.iter().map(|c| format!("{} {}", escaped(c.name), if c.higher_is_better { '↑' } else { '↓' })),
    );
    let mut notes = String::new();
    let rows = group.cells.iter().map(|cell| {
        notes.extend(defects(cell).iter().map(|d| format!("* {} ({}): {d}\n", escaped(&cell.model), usage(cell))));
        let mut row = vec![escaped(&cell.model), usage(cell), count(cell.predicted)];
        row.extend(group.columns.iter().map(|column| match group.metric(cell, column) {
            None => String::new(),
            Some(metric) => {
                let best = metric.value.is_some() && metric.value == group.best(column);
                let value = number(metric.value);
                let value = if best { format!("**{value}**") } else { value };
                interval(metric).map_or(value.clone(), |interval| format!("{value} {interval}"))
            }
        }));
        row
    });
    let rows: Vec<Vec<String>> = rows.collect();
    format!("## {}\n\n{}\n{notes}", escaped(&group.to_string()), table(&head, rows.into_iter()))
}

fn table(head: &[String], rows: impl Iterator<Item = Vec<String>>) -> String {
    let line = |fields: &[String]| format!("| {} |\n", fields.join(" | "));
    let rule: Vec<String> = head.iter().map(|_| "---".into()).collect();
    let body: String = rows.map(|row| line(&row)).collect();
    format!("{}{}{body}", line(head), line(&rule))
}

/// Text that Markdown prints as it stands, in a cell of a table.
fn escaped(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        match c {
            '\\' | '|' | '*' | '`' | '[' | ']' | '<' | '>' | '#' | '&' => out.extend(['\\', c]),
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::example;

    #[test]
    fn the_tables_are_plain_markdown() {
        insta::assert_snapshot!(to_markdown(&example::report()));
    }

    #[test]
    fn names_cannot_break_out_of_a_cell() {
        let mut report = example::report();
        report.cells[0].model = "a|b\n<i>".into();
        let text = to_markdown(&report);
        assert!(text.contains("a\\|b \\<i\\>"), "{text}");
        assert!(!text.contains("<i>"), "{text}");
    }
}
