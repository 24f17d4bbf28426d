//! A finished run as a page, as tables, as machine-readable results and in the layouts of others.
//!
//! ```text
//! findings   what the cells say together          published  values of others, never mixed with ours
//! pages      samples, a part at a time            parquet    one row a prediction
//! html       the page                             table, latex, markdown, csv   the same numbers as text
//! results    results.json                         lm_eval, every_eval_ever, hub   layouts of others
//! ```
//!
//! The types here are all that a report needs; nothing is read from disk and nothing is computed that could
//! change a number. Every number keeps its way back: cell, scorer, version, component digest, file and lines.
//! Samples are written as they come, so that a report holds no more of them than a part has.

use std::collections::BTreeMap;

use crate::ids::{Task, Usage};

pub mod csv;
pub mod every_eval_ever;
#[cfg(test)]
mod example;
mod figures;
mod findings;
mod grid;
mod html;
pub mod hub;
mod latex;
pub mod lm_eval;
mod markdown;
mod numbers;
mod pages;
mod parquet;
mod published;
mod results;
mod sections;
mod subgroups;
mod summary;
mod table;
mod thumbnail;

pub use findings::{
    AgreementReport, Choice, ComparisonReport, FailureReport, Findings, MissingReport, PairReport, QuestionReport,
    RaterPair, RaterReport,
};
pub use html::to_html;
pub use latex::to_latex;
pub use markdown::to_markdown;
pub use pages::{CellIndex, CellPages, EmbeddedParts, PARTS, Pages, Parts, PicturePages};
pub use parquet::SampleTable;
pub use published::{PublishedValue, read_published};
pub use results::to_results_json;
pub use table::to_table;
pub use thumbnail::thumbnail;

/// A run.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// Title of the run.
    pub title: String,
    /// What was used: versions, hashes, device, command; shown in this order.
    pub provenance: Vec<(String, String)>,
    /// Draws behind each interval.
    pub resamples: u32,
    /// Coverage of the intervals.
    pub level: f64,
    /// The cells, in the order of the suite.
    pub cells: Vec<CellReport>,
    /// What the cells say together.
    pub findings: Findings,
    /// Values that others published for the same cells.
    pub published: Vec<PublishedValue>,
}

/// One point of the suite's grid.
#[derive(Debug, Clone)]
pub struct CellReport {
    /// The cell id, which is also the name of its directory in the run.
    pub id: String,
    /// Name of the model.
    pub model: String,
    /// Name of the dataset.
    pub dataset: String,
    /// Name of the split.
    pub split: String,
    /// The task.
    pub task: Task,
    /// The usage.
    pub usage: Usage,
    /// The seed.
    pub seed: u64,
    /// Whether the model was made for medicine.
    pub specialist: bool,
    /// Whether the model was trained on data of the dataset, as far as its authors say.
    pub in_domain: bool,
    /// Whether the dataset's terms keep its images and texts out of reports.
    pub restricted: bool,
    /// Digests of what the predictions depend on, by name.
    pub fingerprint: BTreeMap<String, String>,
    /// Names of the classes (`diagnosis`); empty otherwise.
    pub classes: Vec<String>,
    /// What the scorers aggregated.
    pub metrics: Vec<MetricReport>,
    /// The same metrics on groups of the samples.
    pub subgroups: Vec<SubgroupReport>,
    /// How far apart these groups are.
    pub gaps: Vec<GapReport>,
    /// Receiver operating characteristics (`diagnosis`); several for one curve against the rest for each class.
    pub roc: Vec<Curve>,
    /// Precision (second) over recall (first) of the same classes.
    pub precision_recall: Vec<Curve>,
    /// Reliability of the probabilities, where the model gives any.
    pub calibration: Option<Calibration>,
    /// What failed and what is missing.
    pub failures: FailureReport,
    /// Number of samples in the split.
    pub expected: usize,
    /// Number of predictions.
    pub predicted: usize,
    /// Number of predictions that failed.
    pub failed: usize,
}

/// One metric of one scorer.
#[derive(Debug, Clone)]
pub struct MetricReport {
    /// Id of the scorer.
    pub scorer: String,
    /// Version of the scorer.
    pub version: String,
    /// Digest of the scorer's component.
    pub component: String,
    /// Name of the metric.
    pub name: String,
    /// The value on all samples; `None` where undefined.
    pub value: Option<f64>,
    /// Lower end of the 95 % interval.
    pub low: Option<f64>,
    /// Upper end of the 95 % interval.
    pub high: Option<f64>,
    /// Samples behind the value, failed ones included.
    pub samples: usize,
    /// Patients behind the value: the units that the interval resamples.
    pub patients: usize,
    /// Sample scores that the scorer could not give.
    pub missing: usize,
    /// Failed predictions, which score the metric's worst.
    pub failed: usize,
    /// True when a larger value is better.
    pub higher_is_better: bool,
    /// Smallest and greatest possible value; absent where the scorer is not there to ask.
    pub range: Option<(f64, f64)>,
    /// First and last line of the scorer's sample scores in the cell's `scores.jsonl`, counted from 1.
    pub lines: Option<(usize, usize)>,
}

/// One metric of one group of samples.
#[derive(Debug, Clone)]
pub struct SubgroupReport {
    /// Id of the scorer.
    pub scorer: String,
    /// Name of the metric.
    pub metric: String,
    /// The group column, such as `sex`.
    pub column: String,
    /// Its value.
    pub group: String,
    /// Samples of the group.
    pub samples: usize,
    /// Patients of the group: the units that the interval resamples.
    pub patients: usize,
    /// Whether these are too few for numbers.
    pub too_small: bool,
    /// The value; `None` where undefined or too small.
    pub value: Option<f64>,
    /// Lower end of the interval.
    pub low: Option<f64>,
    /// Upper end of the interval.
    pub high: Option<f64>,
}

/// The distance between the groups of a column in one metric.
#[derive(Debug, Clone)]
pub struct GapReport {
    /// Id of the scorer.
    pub scorer: String,
    /// Name of the metric.
    pub metric: String,
    /// The group column.
    pub column: String,
    /// Group with the worst value.
    pub worst: String,
    /// Group with the best value.
    pub best: String,
    /// Distance between the two.
    pub gap: f64,
    /// Equity-scaled value, for an AUROC.
    pub equity_scaled: Option<f64>,
}

/// A curve in the unit square.
#[derive(Debug, Clone)]
pub struct Curve {
    /// The positive class.
    pub name: String,
    /// Area under the curve, or average precision.
    pub area: Option<f64>,
    /// Points in the order of falling thresholds: false and true positive rate, or recall and precision.
    pub points: Vec<(f64, f64)>,
}

/// Reliability of the confidence in the predicted class.
#[derive(Debug, Clone)]
pub struct Calibration {
    /// Expected calibration error.
    pub error: f64,
    /// The bins that hold samples.
    pub bins: Vec<CalibrationBin>,
}

/// Predictions of similar confidence.
#[derive(Debug, Clone, Copy)]
pub struct CalibrationBin {
    /// Lower edge.
    pub low: f64,
    /// Upper edge.
    pub high: f64,
    /// Number of predictions.
    pub count: usize,
    /// Mean confidence.
    pub confidence: f64,
    /// Share of correct predictions.
    pub accuracy: f64,
}

/// One prediction.
#[derive(Debug, Clone, Default)]
pub struct SampleReport {
    /// Id of the sample in its dataset.
    pub id: String,
    /// Position in the split.
    pub index: u32,
    /// The patient, where the dataset knows.
    pub patient: Option<String>,
    /// Whether there is a picture of it; see [`PicturePages`].
    pub pictured: bool,
    /// Whether question, target and prediction are kept out of the report.
    pub withheld: bool,
    /// The question (`vqa`).
    pub question: Option<String>,
    /// What is right.
    pub target: String,
    /// What the model answered.
    pub prediction: String,
    /// One for each class of the cell; empty without classes.
    pub probabilities: Vec<f64>,
    /// Whether the answer is right; `None` where the task has no right or wrong.
    pub correct: Option<bool>,
    /// Why the prediction failed.
    pub error: Option<String>,
    /// What each scorer gave, named `scorer.value`; `None` is a missing score.
    pub scores: Vec<(String, Option<f64>)>,
    /// Group columns of the dataset: sex, age group.
    pub groups: Vec<(String, String)>,
}
