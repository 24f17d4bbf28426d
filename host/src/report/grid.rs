//! The suite's grid: models by datasets, in one metric, the seeds of a cell together.

use super::{CellReport, MetricReport, PublishedValue, Report};
use crate::ids::{Task, Usage};

/// One metric of one scorer in all cells of a task.
pub(super) struct Grid<'a> {
    pub task: Task,
    pub scorer: &'a str,
    pub metric: &'a str,
    pub higher_is_better: bool,
    /// Whether it is the first defined metric of its scorer, or one with a published value.
    pub leading: bool,
    /// Dataset and split.
    pub columns: Vec<(&'a str, &'a str)>,
    pub rows: Vec<GridRow<'a>>,
}

/// A model in one usage.
pub(super) struct GridRow<'a> {
    pub model: &'a str,
    pub usage: Usage,
    pub specialist: bool,
    pub values: Vec<GridValue<'a>>,
}

/// The seeds of a model in one usage on one dataset.
#[derive(Default)]
pub(super) struct GridValue<'a> {
    /// One for each seed; none where the cell was not scored.
    pub seeds: Vec<(&'a CellReport, &'a MetricReport)>,
    pub in_domain: bool,
    pub published: Option<&'a PublishedValue>,
}

/// The grids of a report: those of a task together, in the order of its scorers.
pub(super) fn grids(report: &Report) -> Vec<Grid<'_>> {
    let mut grids: Vec<Grid<'_>> = Vec::new();
    for cell in &report.cells {
        for metric in &cell.metrics {
            let same = |g: &Grid<'_>| (g.task, g.scorer, g.metric) == (cell.task, &metric.scorer, &metric.name);
            if !grids.iter().any(same) {
                grids.push(grid(report, cell, metric));
            }
        }
    }
    grids.sort_by_key(|grid| grid.task);
    grids
}

fn grid<'a>(report: &'a Report, first: &'a CellReport, metric: &'a MetricReport) -> Grid<'a> {
    let cells: Vec<&CellReport> = report.cells.iter().filter(|cell| cell.task == first.task).collect();
    let mut columns: Vec<(&str, &str)> = Vec::new();
    let mut rows: Vec<(&str, Usage, bool)> = Vec::new();
    for cell in cells.iter().filter(|cell| of(cell, metric).is_some()) {
        let (column, row) = ((cell.dataset.as_str(), cell.split.as_str()), (cell.model.as_str(), cell.usage));
        if !columns.contains(&column) {
            columns.push(column);
        }
        if !rows.iter().any(|known| (known.0, known.1) == row) {
            rows.push((row.0, row.1, cell.specialist));
        }
    }
    columns.sort_unstable();
    rows.sort_by_key(|(model, usage, specialist)| (*usage, *specialist, *model));
    let value = |row: (&str, Usage), column: (&str, &str)| {
        let here = |cell: &&&'a CellReport| {
            (cell.model.as_str(), cell.usage) == row && (cell.dataset.as_str(), cell.split.as_str()) == column
        };
        let cells: Vec<&'a CellReport> = cells.iter().filter(here).copied().collect();
        GridValue {
            in_domain: cells.iter().any(|cell| cell.in_domain),
            published: report.published.iter().find(|p| {
                (p.model.as_str(), p.usage, p.dataset.as_str(), p.task, p.metric.as_str())
                    == (row.0, row.1, column.0, first.task, metric.name.as_str())
            }),
            seeds: cells.into_iter().filter_map(|cell| Some((cell, of(cell, metric)?))).collect(),
        }
    };
    let rows: Vec<GridRow<'a>> = rows
        .iter()
        .map(|&(model, usage, specialist)| GridRow {
            model,
            usage,
            specialist,
            values: columns.iter().map(|column| value((model, usage), *column)).collect(),
        })
        .collect();
    let first_of_scorer = |cell: &&&CellReport| {
        cell.metrics
            .iter()
            .find(|m| m.scorer == metric.scorer && m.value.is_some())
            .is_some_and(|m| m.name == metric.name)
    };
    let published = rows.iter().flat_map(|row| &row.values).any(|value| value.published.is_some());
    Grid {
        task: first.task,
        scorer: &metric.scorer,
        metric: &metric.name,
        higher_is_better: metric.higher_is_better,
        leading: published || cells.iter().any(|cell| first_of_scorer(&cell)),
        columns,
        rows,
    }
}

fn of<'a>(cell: &'a CellReport, like: &MetricReport) -> Option<&'a MetricReport> {
    cell.metrics.iter().find(|m| (&m.scorer, &m.name) == (&like.scorer, &like.name))
}

impl Grid<'_> {
    /// Whether any of its values was published.
    pub fn is_published(&self) -> bool {
        self.rows.iter().flat_map(|row| &row.values).any(|value| value.published.is_some())
    }

    /// The best mean of a column, where there are at least two.
    pub fn best(&self, column: usize) -> Option<f64> {
        let means: Vec<f64> = self.rows.iter().filter_map(|row| row.values[column].mean()).collect();
        let better = if self.higher_is_better { f64::max } else { f64::min };
        means.iter().copied().reduce(better).filter(|_| means.len() > 1)
    }
}

impl GridValue<'_> {
    /// Mean over the seeds; none where one of them has no value.
    pub fn mean(&self) -> Option<f64> {
        let values = self.defined()?;
        Some(values.iter().sum::<f64>() / values.len() as f64)
    }

    /// Standard deviation over the seeds (with n − 1), where there are several.
    pub fn deviation(&self) -> Option<f64> {
        let (values, mean) = (self.defined()?, self.mean()?);
        let squares: f64 = values.iter().map(|v| (v - mean) * (v - mean)).sum();
        (values.len() > 1).then(|| (squares / (values.len() - 1) as f64).sqrt())
    }

    /// The interval of a single seed.
    pub fn interval(&self) -> Option<(f64, f64)> {
        match self.seeds[..] {
            [(_, metric)] => metric.low.zip(metric.high),
            _ => None,
        }
    }

    fn defined(&self) -> Option<Vec<f64>> {
        let values: Option<Vec<f64>> = self.seeds.iter().map(|(_, metric)| metric.value).collect();
        values.filter(|values| !values.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::example;

    #[test]
    fn seeds_of_a_cell_become_their_mean_and_deviation() {
        let mut report = example::report();
        let mut second = report.cells[0].clone();
        (second.seed, second.metrics[1].value) = (1, Some(0.625));
        report.cells.insert(1, second);
        let grids = grids(&report);
        let auroc = grids.iter().find(|grid| grid.metric == "auroc").expect("a grid");
        assert_eq!((auroc.columns.as_slice(), auroc.rows.len()), (&[("phantom-chest", "test")][..], 2));
        let [generalist, specialist] = &auroc.rows[..] else { panic!("two rows") };
        assert_eq!((generalist.model, specialist.model), ("clip-vit-b32", "phantom-clip"), "generalists come first");
        let value = &specialist.values[0];
        assert_eq!((value.mean(), value.interval(), value.in_domain), (Some(0.75), None, true));
        // statistics.stdev([0.875, 0.625])
        assert!((value.deviation().expect("two seeds") - 0.176_776_695_296_636_87).abs() < 1e-15);
        assert_eq!(value.published.map(|p| p.value), Some(0.9));
        assert_eq!((generalist.values[0].mean(), auroc.best(0)), (None, None));
    }

    #[test]
    fn the_first_metric_of_a_scorer_leads_and_so_does_a_published_one() {
        let mut report = example::report();
        let extra = MetricReport { name: "f1".into(), ..report.cells[0].metrics[0].clone() };
        report.cells[0].metrics.insert(1, extra);
        let leading = |report: &Report| -> Vec<String> {
            grids(report).iter().filter(|grid| grid.leading).map(|grid| grid.metric.to_string()).collect()
        };
        assert_eq!(leading(&report), ["accuracy", "auroc", "bleu_4"]);
        report.published[0].metric = "f1".into();
        assert_eq!(leading(&report), ["accuracy", "f1", "auroc", "bleu_4"]);
    }
}
