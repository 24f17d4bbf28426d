//! The summary for a paper.

use super::{
    Report,
    grid::{Grid, grids},
    numbers::{count, number},
    summary::{Group, defects, groups, usage},
};

/// One `booktabs` table for each grid of the leading metrics, then one for each dataset, split and task; the best value of a
/// column is bold, intervals are small.
pub fn to_latex(report: &Report) -> String {
    let level = report.level * 100.0;
    let head = format!("% Needs \\usepackage{{booktabs}}. Intervals: {level} %, bootstrap clustered by patient.\n");
    let grids: String = grids(report).iter().filter(|grid| grid.leading).map(grid_table).collect();
    format!("{head}{grids}{}", groups(report).iter().map(table).collect::<String>())
}

/// Models by datasets; a dagger marks specialists, an asterisk what is in the model's domain.
fn grid_table(grid: &Grid<'_>) -> String {
    let head: String = grid.columns.iter().map(|(dataset, _)| format!(" & {}", escaped(dataset))).collect();
    let mut body = String::new();
    for row in &grid.rows {
        let mark = if row.specialist { "$^\\dagger$" } else { "" };
        body.push_str(&format!("  {}{mark} & {}", escaped(row.model), row.usage));
        for (column, value) in row.values.iter().enumerate() {
            let Some(mean) = value.mean() else {
                body.push_str(if value.seeds.is_empty() { " & " } else { " & --" });
                continue;
            };
            let text = number(Some(mean));
            let text = if Some(mean) == grid.best(column) { format!("\\textbf{{{text}}}") } else { text };
            let deviation = value.deviation().map(|sd| format!(" {{\\scriptsize $\\pm$ {}}}", number(Some(sd))));
            let domain = if value.in_domain { "$^*$" } else { "" };
            body.push_str(&format!(" & {text}{domain}{}", deviation.unwrap_or_default()));
        }
        body.push_str(" \\\\\n");
    }
    let arrow = if grid.higher_is_better { "\\uparrow" } else { "\\downarrow" };
    format!(
        "\n\\begin{{table}}\n  \\centering\n  \\caption{{{} ${arrow}$, {}. $\\dagger$: specialist, $*$: in domain.}}\n  \
         \\begin{{tabular}}{{ll{}}}\n  \\toprule\n  Model & Usage{head} \\\\\n  \\midrule\n{body}  \\bottomrule\n  \
         \\end{{tabular}}\n\\end{{table}}\n",
        escaped(grid.metric),
        grid.task,
        "l".repeat(grid.columns.len()),
    )
}

fn table(group: &Group<'_>) -> String {
    let head: String = group
        .columns
        .iter()
        .map(|c| format!(" & {} ${}$", escaped(c.name), if c.higher_is_better { "\\uparrow" } else { "\\downarrow" }))
        .collect();
    let mut body = String::new();
    for cell in &group.cells {
        body.push_str(&format!("  {} & {} & {}", escaped(&cell.model), escaped(&usage(cell)), count(cell.predicted)));
        for column in &group.columns {
            let Some(metric) = group.metric(cell, column) else {
                body.push_str(" & ");
                continue;
            };
            let value = number(metric.value).replace('–', "--");
            let best = metric.value.is_some() && metric.value == group.best(column);
            body.push_str(&if best { format!(" & \\textbf{{{value}}}") } else { format!(" & {value}") });
            if let (Some(low), Some(high)) = (metric.low, metric.high) {
                let (low, high) = (number(Some(low)), number(Some(high)));
                body.push_str(&format!(" {{\\scriptsize [{low}, {high}]}}"));
            }
        }
        body.push_str(&format!(" \\\\ % {}\n", one_line(&cell.id)));
        body.extend(defects(cell).iter().map(|defect| format!("  % warning: {defect}\n")));
    }
    let scorers: String =
        group.columns.iter().map(|c| format!("% {}: {} {}\n", c.name, c.scorer, one_line(c.version))).collect();
    format!(
        "\n{scorers}\\begin{{table}}\n  \\centering\n  \\caption{{{}}}\n  \\begin{{tabular}}{{llr{}}}\n  \\toprule\n  \
         Model & Usage & $n${head} \\\\\n  \\midrule\n{body}  \\bottomrule\n  \\end{{tabular}}\n\\end{{table}}\n",
        escaped(&group.to_string()),
        "l".repeat(group.columns.len()),
    )
}

/// Text that LaTeX prints as it stands.
fn escaped(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\textbackslash{}"),
            '~' => out.push_str("\\textasciitilde{}"),
            '^' => out.push_str("\\textasciicircum{}"),
            '·' => out.push_str("\\textperiodcentered{}"),
            '&' | '%' | '$' | '#' | '_' | '{' | '}' => out.extend(['\\', c]),
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

/// A comment must not reach the next line.
fn one_line(text: &str) -> String {
    text.replace(['\n', '\r'], " ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::example;

    #[test]
    fn the_table_is_plain_booktabs() {
        insta::assert_snapshot!(to_latex(&example::report()));
    }

    #[test]
    fn names_cannot_break_out_of_a_cell_or_a_comment() {
        let mut report = example::report();
        report.cells[0].model = "50% & \\input{x}_$".into();
        report.cells[0].id = "a\n\\input{y}".into();
        let latex = to_latex(&report);
        assert!(latex.contains("50\\% \\& \\textbackslash{}input\\{x\\}\\_\\$"), "{latex}");
        assert!(latex.contains("% a \\input{y}\n"), "{latex}");
    }
}
