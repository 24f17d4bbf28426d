//! What the cells of a run say together, and what is missing from them.

use crate::ids::{Task, Usage};

/// Findings over several cells.
#[derive(Debug, Clone, Default)]
pub struct Findings {
    /// Models against each other.
    pub comparisons: Vec<ComparisonReport>,
    /// The research questions of MedVLMBench.
    pub questions: Vec<QuestionReport>,
    /// Agreement of judges.
    pub agreement: Vec<AgreementReport>,
    /// What was left out of these, and why.
    pub notes: Vec<String>,
}

/// All pairs of models that answered the same samples in the same usage and seed, in one metric.
#[derive(Debug, Clone)]
pub struct ComparisonReport {
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
    /// Id of the scorer.
    pub scorer: String,
    /// Name of the metric.
    pub metric: String,
    /// True when a larger value is better.
    pub higher_is_better: bool,
    /// Samples that all of them answered.
    pub samples: usize,
    /// Their patients.
    pub patients: usize,
    /// The pairs: the family that the p values are corrected for.
    pub pairs: Vec<PairReport>,
}

/// Two models in one metric.
#[derive(Debug, Clone)]
pub struct PairReport {
    /// The first model.
    pub a: String,
    /// The second model.
    pub b: String,
    /// Value of the first.
    pub value_a: Option<f64>,
    /// Value of the second.
    pub value_b: Option<f64>,
    /// B − A.
    pub difference: Option<f64>,
    /// Lower end of the interval of the difference.
    pub low: Option<f64>,
    /// Upper end of the interval of the difference.
    pub high: Option<f64>,
    /// The test, or why there is none.
    pub test: String,
    /// Two-sided p value.
    pub p: Option<f64>,
    /// The p value corrected for the pairs of the family (Holm).
    pub p_holm: Option<f64>,
}

/// One of the three questions of MedVLMBench on one dataset, in one metric: the best generalist less the best specialist.
///
/// 1: both as published, the specialist in its domain. 2: the generalist tuned, the specialist as published and in its
/// domain. 3: both tuned, the specialist out of its domain.
#[derive(Debug, Clone)]
pub struct QuestionReport {
    /// 1, 2 or 3.
    pub number: u8,
    /// Name of the dataset.
    pub dataset: String,
    /// Name of the split.
    pub split: String,
    /// The task.
    pub task: Task,
    /// Id of the scorer.
    pub scorer: String,
    /// Name of the metric.
    pub metric: String,
    /// True when a larger value is better.
    pub higher_is_better: bool,
    /// Samples behind it.
    pub samples: usize,
    /// Their patients: the units that the interval resamples.
    pub patients: usize,
    /// The best generalist on all samples.
    pub generalist: Choice,
    /// The best specialist on all samples.
    pub specialist: Choice,
    /// Their distance; positive where the generalist is the better one, whatever the direction of the metric.
    pub difference: f64,
    /// Lower end of the interval; the best ones are chosen anew in every draw.
    pub low: Option<f64>,
    /// Upper end of the interval.
    pub high: Option<f64>,
    /// Draws in which both sides have a value.
    pub draws: usize,
}

/// The best of several models.
#[derive(Debug, Clone)]
pub struct Choice {
    /// Name of the model.
    pub model: String,
    /// How it is used.
    pub usage: Usage,
    /// Its value, the mean of its seeds.
    pub value: f64,
    /// Share of the draws in which it is the best one too.
    pub share: f64,
    /// Candidates that it was chosen among.
    pub among: usize,
}

/// Agreement of the judges of one scorer in one cell.
#[derive(Debug, Clone)]
pub struct AgreementReport {
    /// The cell.
    pub cell: String,
    /// Id of the scorer.
    pub scorer: String,
    /// The judges' votes.
    pub raters: Vec<RaterReport>,
    /// Samples with at least two grades.
    pub samples: usize,
    /// Krippendorff's alpha of the grades, for interval data.
    pub alpha: Option<f64>,
    /// Fleiss' kappa of the verdicts (a grade of at least one half) on samples that every rater graded.
    pub kappa: Option<f64>,
    /// Each two raters.
    pub pairs: Vec<RaterPair>,
}

/// One vote of one judge.
#[derive(Debug, Clone)]
pub struct RaterReport {
    /// Its name.
    pub name: String,
    /// Samples that it graded.
    pub graded: usize,
    /// Samples of which its grade is missing.
    pub missing: usize,
}

/// Two raters on the samples that both graded.
#[derive(Debug, Clone)]
pub struct RaterPair {
    /// Their positions in the list of raters.
    pub raters: (usize, usize),
    /// Number of samples.
    pub samples: usize,
    /// Cohen's kappa of the verdicts.
    pub kappa: Option<f64>,
    /// Spearman's correlation of the grades.
    pub spearman: Option<f64>,
}

/// What failed in a cell. The lists are cut; the counts are not.
#[derive(Debug, Clone, Default)]
pub struct FailureReport {
    /// Reasons of failed predictions with their number, the most frequent first.
    pub reasons: Vec<(String, usize)>,
    /// The first failed samples with their reason.
    pub listed: Vec<(String, String)>,
    /// Missing sample scores, one entry for each value that has any.
    pub missing: Vec<MissingReport>,
}

/// Sample scores that a scorer could not give.
#[derive(Debug, Clone)]
pub struct MissingReport {
    /// Id of the scorer.
    pub scorer: String,
    /// Name of the value.
    pub value: String,
    /// Samples without it.
    pub samples: usize,
    /// Requests to judges or encoders without an answer, and all of them, where the scorer makes any.
    pub unanswered: Option<(usize, usize)>,
    /// The first of these samples.
    pub listed: Vec<String>,
}

impl FailureReport {
    /// The most samples that a list holds.
    pub const LISTED: usize = 50;
    /// The most reasons that are told apart.
    pub const REASONS: usize = 200;

    /// True when nothing failed and nothing is missing.
    pub fn is_empty(&self) -> bool {
        self.reasons.is_empty() && self.missing.is_empty()
    }
}
