//! A finished run as a page, a table and machine-readable results.
//!
//! The types here are all that a report needs; nothing is read from disk and nothing is computed that could
//! change a number. Every number keeps its way back: cell, scorer, version, component digest, file and lines.

use crate::ids::{Task, Usage};

#[cfg(test)]
mod example;
mod figures;
mod html;
mod latex;
mod numbers;
mod results;
mod samples;
mod subgroups;
mod summary;
mod table;
mod thumbnail;

pub use html::to_html;
pub use latex::to_latex;
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
    /// The cells, in the order of the suite.
    pub cells: Vec<CellReport>,
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
    /// Reliability of the probabilities, where the model gives any.
    pub calibration: Option<Calibration>,
    /// The predictions, in the order of the split.
    pub samples: Vec<SampleReport>,
    /// Number of samples in the split.
    pub expected: usize,
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
    /// Area under the curve.
    pub area: Option<f64>,
    /// Points (false positive rate, true positive rate) from (0, 0) to (1, 1).
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
    /// Encoded JPEG or PNG; see [`thumbnail`].
    pub thumbnail: Option<Vec<u8>>,
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
