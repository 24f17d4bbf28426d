//! Two cells to the differences between their metrics, sample by sample on the same samples.

use std::path::PathBuf;

use serde::Serialize;

use crate::{
    config::Bootstrap,
    error::{Error, Result, suggest},
    run::{
        Catalogs, cache_dir,
        scored::{Row, Scored},
    },
    scorer::{Engine, MetricInfo, SampleScore, Scorer},
    stats,
};

mod hypothesis;
mod pairs;
mod side;

pub(super) use hypothesis::Hypothesis;
use pairs::Pairs;
pub(super) use pairs::{Binary, probability};
use side::Side;

/// What to compare, and how.
#[derive(Debug, Clone)]
pub struct Options {
    /// Names of metrics; empty for all.
    pub metrics: Vec<String>,
    /// Name of a scorer; none for all that both cells have.
    pub scorer: Option<String>,
    /// Resamples of the intervals; none for as many as the first run has.
    pub resamples: Option<u32>,
    /// Permutations of a permutation test.
    pub permutations: u32,
    /// Kind of the intervals.
    pub interval: Interval,
    /// Whether draws keep the number of patients of each class.
    pub stratified: bool,
    /// Correction of the p values for the number of metrics.
    pub correction: Correction,
}

/// Kind of a bootstrap interval.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Interval {
    /// Percentiles of the draws
    Percentile,
    /// Bias-corrected and accelerated percentiles
    Bca,
}

/// Correction of p values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Correction {
    /// Holm: the chance of any false finding
    Holm,
    /// Benjamini-Hochberg: the share of false findings
    Bh,
    /// None
    None,
}

/// A cell of a run directory.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Place {
    /// The run directory.
    pub run: PathBuf,
    /// The cell.
    pub cell: String,
}

/// Two cells side by side.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Comparison {
    /// The first cell.
    pub a: Place,
    /// The second cell.
    pub b: Place,
    /// Samples that both answered.
    pub samples: usize,
    /// Their patients, which are drawn and exchanged whole.
    pub patients: usize,
    /// How the draws were made.
    pub bootstrap: Bootstrap,
    /// Kind of the intervals.
    pub interval: Interval,
    /// Whether draws keep the number of patients of each class.
    pub stratified: bool,
    /// Correction of the p values.
    pub correction: Correction,
    /// The metrics.
    pub metrics: Vec<Difference>,
}

/// One metric of both cells.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Difference {
    /// Name of the scorer.
    pub scorer: String,
    /// Its version.
    pub version: String,
    /// Digest of its component.
    pub component: String,
    /// Name of the metric.
    pub metric: String,
    /// Direction.
    pub higher_is_better: bool,
    /// Value of the first cell; none where undefined.
    pub a: Option<f64>,
    /// Value of the second cell; none where undefined.
    pub b: Option<f64>,
    /// B − A.
    pub difference: Option<f64>,
    /// Lower end of the interval of the difference.
    pub low: Option<f64>,
    /// Upper end of the interval of the difference.
    pub high: Option<f64>,
    /// Resamples in which the metric of either cell is undefined.
    pub undefined_resamples: usize,
    /// The test; none where either value is undefined.
    pub test: Option<&'static str>,
    /// Two-sided p value of the test.
    pub p: Option<f64>,
    /// The p value corrected for the number of tests here.
    pub p_corrected: Option<f64>,
}

/// Compares two cells.
///
/// # Errors
/// Different samples, targets or scorer versions; scores that are older than what they come from; a metric or scorer
/// that the cells do not share.
pub fn compare(
    [a, b]: [Place; 2],
    roots: &[(String, PathBuf)],
    options: &Options,
    catalogs: &Catalogs,
) -> Result<Comparison> {
    let (a, b) = (Side::open(a, roots, catalogs)?, Side::open(b, roots, catalogs)?);
    if let Some((id, _)) = roots.iter().find(|(id, _)| ![a.dataset(), b.dataset()].contains(&id.as_str())) {
        return Err(Error::usage(format!("--root {id}=…: neither cell is of the dataset `{id}`")));
    }
    let pairs = Pairs::new(&a, &b, options.stratified)?;
    let engine = Engine::new(cache_dir().map(|dir| dir.join("scorers")))?;
    let mut scorers = Vec::new();
    for id in shared_scorers(&a, &b, options.scorer.as_deref())? {
        side::check_version(&a, &b, id)?;
        scorers.push((id, a.scorer(id)?.load(&engine)?));
    }
    a.check_fresh()?;
    b.check_fresh()?;
    let known: Vec<&str> = scorers.iter().flat_map(|(_, s)| &s.metadata().metrics).map(|m| m.name.as_str()).collect();
    if let Some(name) = options.metrics.iter().find(|name| !known.contains(&name.as_str())) {
        return Err(Error::usage(format!("the cells share no metric `{name}`{}", suggest(name, known))));
    }

    let mut bootstrap = a.bootstrap().clone();
    bootstrap.resamples = options.resamples.unwrap_or(bootstrap.resamples);
    let mut metrics = Vec::new();
    for (id, scorer) in &scorers {
        let wanted = |info: &MetricInfo| options.metrics.is_empty() || options.metrics.contains(&info.name);
        let infos = scorer.metadata().metrics.iter().enumerate().filter(|(_, info)| wanted(info));
        let infos: Vec<(usize, &MetricInfo)> = infos.collect();
        if !infos.is_empty() {
            let selected = match a.scorer(id)?.conditions.is_empty() {
                true => None,
                false => Some(pairs.scored(&a, id)?),
            };
            let pairs = selected.as_ref().unwrap_or(&pairs);
            let shared = Shared { id, scorer, scores: [pairs.scores(&a, id, 0)?, pairs.scores(&b, id, 1)?] };
            metrics.extend(shared.differences(&infos, pairs, &bootstrap, options)?);
        }
    }
    // A metric that the task does not define is none to correct for.
    metrics.retain(|metric| metric.a.is_some() || metric.b.is_some());
    correct(&mut metrics, options.correction);
    Ok(Comparison {
        samples: pairs.len(),
        patients: pairs.clusters.len(),
        bootstrap,
        interval: options.interval,
        stratified: options.stratified,
        correction: options.correction,
        metrics,
        a: a.place,
        b: b.place,
    })
}

fn shared_scorers<'a>(a: &'a Side, b: &Side, only: Option<&str>) -> Result<Vec<&'a str>> {
    let theirs = b.scorers();
    let shared: Vec<&str> = a.scorers().into_iter().filter(|id| theirs.contains(id)).collect();
    let Some(only) = only else {
        return match shared.is_empty() {
            true => Err(Error::usage(format!("{} and {} share no scorer", a.place.cell, b.place.cell))),
            false => Ok(shared),
        };
    };
    match shared.iter().find(|id| **id == only) {
        Some(id) => Ok(vec![id]),
        None => Err(Error::usage(format!("the cells share no scorer `{only}`{}", suggest(only, shared)))),
    }
}

/// A scorer with the scores that it gave the same samples of both cells.
struct Shared<'a> {
    id: &'a str,
    scorer: &'a Scorer,
    scores: [Vec<SampleScore>; 2],
}

impl Shared<'_> {
    /// Its metrics, on the same draws of both cells.
    fn differences(
        &self,
        infos: &[(usize, &MetricInfo)],
        pairs: &Pairs,
        bootstrap: &Bootstrap,
        options: &Options,
    ) -> Result<Vec<Difference>> {
        let both = |rows: &dyn Fn(Scored<'_>) -> Result<Vec<Row>>| -> Result<[Vec<Row>; 2]> {
            let [a, b] = self.scores.each_ref().map(|scores| rows(Scored { scorer: self.scorer, scores }));
            Ok([a?, b?])
        };
        let draws = both(&|side| side.draws(&pairs.clusters, bootstrap))?;
        let left_out = match options.interval {
            Interval::Percentile => [Vec::new(), Vec::new()],
            Interval::Bca => both(&|side| side.at(pairs.clusters.leave_one_out()))?,
        };
        let difference = |(column, info): &(usize, &MetricInfo)| {
            let column = *column;
            let [a, b] = draws.each_ref().map(|rows| rows.first().and_then(|row| row[column]));
            let all = subtract(&draws, column);
            let drawn = all.get(1..).unwrap_or_default();
            let mut found = Difference {
                scorer: self.id.into(),
                version: self.scorer.metadata().version.clone(),
                component: self.scorer.digest().into(),
                metric: info.name.clone(),
                higher_is_better: info.higher_is_better,
                a,
                b,
                difference: None,
                low: None,
                high: None,
                undefined_resamples: drawn.iter().filter(|d| d.is_nan()).count(),
                test: None,
                p: None,
                p_corrected: None,
            };
            let Some((a, b)) = a.zip(b) else { return Ok(found) };
            let interval = match options.interval {
                Interval::Percentile => stats::percentile_interval(drawn, bootstrap.level),
                Interval::Bca => stats::bca_interval(drawn, b - a, &subtract(&left_out, column), bootstrap.level),
            };
            (found.low, found.high) = interval.unzip();
            found.difference = Some(b - a);
            let hypothesis = Hypothesis {
                scorer: self.scorer,
                scores: self.scores.each_ref().map(Vec::as_slice),
                column,
                values: [a, b],
                clusters: &pairs.clusters,
                binary: pairs.binary.as_ref(),
            };
            let test = hypothesis.test(options.permutations, bootstrap.seed)?;
            (found.test, found.p) = test.unzip();
            Ok(found)
        };
        infos.iter().map(difference).collect()
    }
}

/// B − A of one metric in each row; NaN where either is undefined.
fn subtract([a, b]: &[Vec<Row>; 2], column: usize) -> Vec<f64> {
    a.iter().zip(b).map(|(a, b)| a[column].zip(b[column]).map_or(f64::NAN, |(a, b)| b - a)).collect()
}

fn correct(metrics: &mut [Difference], correction: Correction) {
    let p: Vec<f64> = metrics.iter().filter_map(|m| m.p).collect();
    let corrected = match correction {
        Correction::Holm => stats::holm(&p),
        Correction::Bh => stats::benjamini_hochberg(&p),
        Correction::None => p,
    };
    for (metric, p) in metrics.iter_mut().filter(|m| m.p.is_some()).zip(corrected) {
        metric.p_corrected = Some(p);
    }
}
