//! The numbers of a report as CSV tables, one row each.

use super::{
    CellReport, Report,
    grid::{Grid, grids},
};
use crate::error::{Error, Result};

/// Every metric of every cell, with its interval and its way back.
pub fn metrics(report: &Report) -> Result<String> {
    let head = [
        "model",
        "dataset",
        "split",
        "task",
        "usage",
        "seed",
        "specialist",
        "in_domain",
        "scorer",
        "version",
        "metric",
        "higher_is_better",
        "value",
        "low",
        "high",
        "samples",
        "patients",
        "failed",
        "missing",
        "cell",
    ];
    let rows = report.cells.iter().flat_map(|cell| {
        cell.metrics.iter().map(|metric| {
            let mut row = of_cell(cell);
            row.extend([metric.scorer.clone(), metric.version.clone(), metric.name.clone()]);
            row.push(metric.higher_is_better.to_string());
            row.extend([metric.value, metric.low, metric.high].map(number));
            row.extend([metric.samples, metric.patients, metric.failed, metric.missing].map(|n| n.to_string()));
            row.push(cell.id.clone());
            row
        })
    });
    table(&head, rows)
}

/// The grid in all metrics: seeds together, published values in columns of their own.
pub fn grid(report: &Report) -> Result<String> {
    let head = [
        "task",
        "metric",
        "scorer",
        "higher_is_better",
        "dataset",
        "split",
        "model",
        "usage",
        "specialist",
        "in_domain",
        "seeds",
        "mean",
        "sd",
        "low",
        "high",
        "published",
        "published_low",
        "published_high",
        "published_n",
        "published_source",
        "published_doubt",
    ];
    table(&head, grids(report).iter().flat_map(grid_rows))
}

/// Pairs of models, with the test and its corrected p value.
pub fn comparisons(report: &Report) -> Result<String> {
    let head = [
        "dataset",
        "split",
        "task",
        "usage",
        "seed",
        "scorer",
        "metric",
        "higher_is_better",
        "samples",
        "patients",
        "a",
        "b",
        "value_a",
        "value_b",
        "difference",
        "low",
        "high",
        "test",
        "p",
        "p_holm",
    ];
    let rows = report.findings.comparisons.iter().flat_map(|c| {
        c.pairs.iter().map(|pair| {
            let mut row = vec![c.dataset.clone(), c.split.clone(), c.task.to_string(), c.usage.to_string()];
            row.extend([c.seed.to_string(), c.scorer.clone(), c.metric.clone(), c.higher_is_better.to_string()]);
            row.extend([c.samples.to_string(), c.patients.to_string(), pair.a.clone(), pair.b.clone()]);
            row.extend([pair.value_a, pair.value_b, pair.difference, pair.low, pair.high].map(number));
            row.extend([pair.test.clone(), number(pair.p), number(pair.p_holm)]);
            row
        })
    });
    table(&head, rows)
}

/// The research questions.
pub fn questions(report: &Report) -> Result<String> {
    let head = [
        "question",
        "dataset",
        "split",
        "task",
        "scorer",
        "metric",
        "higher_is_better",
        "samples",
        "patients",
        "generalist",
        "generalist_usage",
        "generalist_value",
        "generalist_share",
        "specialist",
        "specialist_usage",
        "specialist_value",
        "specialist_share",
        "difference",
        "low",
        "high",
        "draws",
    ];
    let rows = report.findings.questions.iter().map(|q| {
        let mut row = vec![q.number.to_string(), q.dataset.clone(), q.split.clone(), q.task.to_string()];
        row.extend([q.scorer.clone(), q.metric.clone(), q.higher_is_better.to_string()]);
        row.extend([q.samples.to_string(), q.patients.to_string()]);
        for choice in [&q.generalist, &q.specialist] {
            row.extend([choice.model.clone(), choice.usage.to_string()]);
            row.extend([choice.value, choice.share].map(|value| value.to_string()));
        }
        row.extend([q.difference.to_string(), number(q.low), number(q.high), q.draws.to_string()]);
        row
    });
    table(&head, rows)
}

/// A table with a head, its numbers in full.
pub fn table(head: &[&str], rows: impl Iterator<Item = Vec<String>>) -> Result<String> {
    let broken = |e: String| Error::failed(format!("a CSV table: {e}"));
    let mut writer = ::csv::Writer::from_writer(Vec::new());
    writer.write_record(head).map_err(|e| broken(e.to_string()))?;
    for row in rows {
        writer.write_record(row).map_err(|e| broken(e.to_string()))?;
    }
    let bytes = writer.into_inner().map_err(|e| broken(e.to_string()))?;
    String::from_utf8(bytes).map_err(|e| broken(e.to_string()))
}

fn of_cell(cell: &CellReport) -> Vec<String> {
    let mut row = vec![cell.model.clone(), cell.dataset.clone(), cell.split.clone(), cell.task.to_string()];
    row.extend([cell.usage.to_string(), cell.seed.to_string()]);
    row.extend([cell.specialist, cell.in_domain].map(|flag| flag.to_string()));
    row
}

fn grid_rows(grid: &Grid<'_>) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    for row in &grid.rows {
        for ((dataset, split), value) in grid.columns.iter().zip(&row.values) {
            if value.seeds.is_empty() {
                continue;
            }
            let published = value.published;
            let mut line = vec![grid.task.to_string(), grid.metric.into(), grid.scorer.into()];
            line.extend([grid.higher_is_better.to_string(), dataset.to_string(), split.to_string()]);
            line.extend([row.model.into(), row.usage.to_string()]);
            line.extend([row.specialist.to_string(), value.in_domain.to_string(), value.seeds.len().to_string()]);
            let interval = value.interval();
            line.extend([value.mean(), value.deviation(), interval.map(|i| i.0), interval.map(|i| i.1)].map(number));
            line.extend(published.map_or([None; 3], |p| [Some(p.value), p.low, p.high]).map(number));
            line.push(published.and_then(|p| p.samples).map(|n| n.to_string()).unwrap_or_default());
            line.extend(published.map_or([String::new(), String::new()], |p| [p.source.clone(), p.doubt.clone()]));
            rows.push(line);
        }
    }
    rows
}

/// A number in full; nothing where it is undefined.
fn number(value: Option<f64>) -> String {
    value.map(|value| value.to_string()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::example;

    #[test]
    fn the_tables_have_a_row_for_each_number() {
        let report = example::report();
        let tables = [metrics(&report), grid(&report), comparisons(&report), questions(&report)];
        let text: Vec<String> = tables.into_iter().map(|table| table.expect("a table")).collect();
        insta::assert_snapshot!(text.join("\n"));
        for table in &text {
            let mut reader = ::csv::Reader::from_reader(table.as_bytes());
            assert!(reader.records().all(|row| row.is_ok()), "{table}");
        }
    }
}
