//! Answers to questions, graded by a language model.
//!
//! Open questions are put to every rater that the suite grants (its judges' votes); a sample's grade is the mean of those
//! that could be read. Closed questions are compared without a judge. A reply that cannot be read, or never came, is a
//! missing value: it is counted, shown, and never replaced by a default. A prediction that failed grades 0 without asking.
//!
//! * `gpt_open`: mean grade of the open questions, in [0, 1].
//! * `gpt_overall`: mean over all questions, the open ones by grade and the closed ones right or wrong: the mix of
//!   MedVLMBench, weighted by the number of samples.
//! * `gpt_alpha`: Krippendorff's alpha of the raters, for interval data; undefined for fewer than two raters.
//!
//! `rubric = "medvlmbench"` is the protocol of MedVLMBench (arXiv 2506.17337): two system messages, a rating from 1 to 100
//! alone on the first line, and closed questions right where the answer holds the truth as a substring. Its exact words are
//! not published; these follow its description. The default rubric asks for a reason and one of five grades as JSON, quotes
//! what it grades, and takes a closed question for right where the first word of the answer is the truth.

mod alpha;
mod closed;
mod rubric;

use scorer_kit::{
    Answer, Error, JudgeError, Metadata, Request, Sample, SampleScore, Score, Scorer, bad_input, complete_panel,
    export_scorer, mean, meta, metadata, serde::Deserialize,
};

pub use alpha::Agreement;
pub use rubric::Rubric;

/// The scorer.
#[derive(Debug, Clone, Deserialize)]
#[serde(crate = "scorer_kit::serde", default, deny_unknown_fields)]
pub struct GptJudge {
    /// What a judge is told.
    pub rubric: Rubric,
    /// 0 is greedy; several votes of one judge differ only above it.
    pub temperature: f32,
    /// Most tokens of a reply.
    pub max_tokens: u32,
    /// Seed of the first vote.
    pub seed: u64,
}

impl Default for GptJudge {
    fn default() -> Self {
        Self { rubric: Rubric::Graded, temperature: 0.0, max_tokens: 512, seed: 0 }
    }
}

#[derive(Default, Deserialize)]
#[serde(crate = "scorer_kit::serde", default)]
struct Meta {
    question: String,
    closed: Option<bool>,
}

const SCHEMA: &str = r#"{
  "type": "object", "additionalProperties": false,
  "properties": {
    "rubric": {"enum": ["graded", "medvlmbench"], "default": "graded"},
    "temperature": {"type": "number", "minimum": 0, "default": 0},
    "max_tokens": {"type": "integer", "minimum": 1, "default": 512},
    "seed": {"type": "integer", "minimum": 0, "default": 0}
  }
}"#;

/// First statistic of a sample: whether its question is open. What follows are the raters' grades, below 0 where missing.
const OPEN: f64 = 1.0;
const CLOSED: f64 = 0.0;
const MISSING: f64 = -1.0;

impl Scorer for GptJudge {
    fn metadata() -> Metadata {
        metadata("gpt-judge", "0.1.0", "grades that language models give to answers")
            .tasks(["vqa"])
            .needs(["judge"])
            .value("gpt_overall", 0.0, 1.0)
            .metric("gpt_open", 0.0, 1.0)
            .metric("gpt_alpha", -1.0, 1.0)
            .config_schema(SCHEMA)
            .build()
    }

    fn score(&self, sample: &Sample) -> Result<Score, Error> {
        Ok(self.score_batch(std::slice::from_ref(sample))?.remove(0))
    }

    fn score_batch(&self, samples: &[Sample]) -> Result<Vec<Score>, Error> {
        let mut scores: Vec<Option<Score>> = Vec::with_capacity(samples.len());
        let mut requests = Vec::new();
        for sample in samples {
            let Meta { question, closed } = meta(sample)?;
            if sample.references.is_empty() {
                return Err(bad_input(sample, "there is no reference to grade the answer by"));
            }
            scores.push(if closed == Some(true) {
                let right = !sample.failed && self.rubric.is_right(&sample.prediction, &sample.references);
                Some(Score { statistics: vec![CLOSED], ..Score::of(f64::from(right)) })
            } else if sample.failed {
                Some(Score { statistics: vec![OPEN], ..Score::of(0.0) })
            } else {
                requests.push(self.request(&question, &sample.references, &sample.prediction));
                None
            });
        }
        let mut panels = if requests.is_empty() { Vec::new() } else { complete_panel(&requests) }.into_iter();
        let graded = |score: Option<Score>| match score {
            Some(score) => Ok(score),
            None => {
                panels.next().map(|panel| self.graded(&panel)).ok_or(Error::Judge("a request has no answer".into()))
            }
        };
        scores.into_iter().map(graded).collect()
    }

    fn aggregate(&self, scores: &[SampleScore], resamples: &[Vec<u32>]) -> Result<Vec<Vec<Option<f64>>>, Error> {
        let units: Vec<Agreement> = scores.iter().map(|score| Agreement::of(grades(score))).collect();
        let metrics = |resample: &Vec<u32>| {
            let open = |score: &SampleScore| score.values[0].filter(|_| score.statistics.first() == Some(&OPEN));
            let together: Agreement = resample.iter().map(|&position| units[position as usize]).sum();
            vec![mean(scores, resample, |score| score.values[0]), mean(scores, resample, open), together.alpha()]
        };
        Ok(resamples.iter().map(metrics).collect())
    }
}

impl GptJudge {
    fn request(&self, question: &str, references: &[String], prediction: &str) -> Request {
        Request {
            messages: self.rubric.messages(question, references, prediction),
            temperature: self.temperature,
            max_tokens: self.max_tokens,
            seed: Some(self.seed),
            response_schema: self.rubric.schema(),
        }
    }

    /// The grade that the raters give, and what they say.
    fn graded(&self, panel: &[Answer]) -> Score {
        let mut statistics = vec![OPEN];
        let mut notes = Vec::new();
        for answer in panel {
            let grade = match answer {
                Ok(response) => self.rubric.read(&response.text),
                Err(error) => Err(why(error)),
            };
            match grade {
                Ok((grade, reason)) => {
                    statistics.push(grade);
                    notes.push(format!("{grade}: {reason}"));
                }
                Err(problem) => {
                    statistics.push(MISSING);
                    notes.push(format!("missing: {problem}"));
                }
            }
        }
        let given: Vec<f64> = statistics[1..].iter().copied().filter(|grade| *grade != MISSING).collect();
        let value = (!given.is_empty()).then(|| given.iter().sum::<f64>() / given.len() as f64);
        Score { values: vec![value], statistics, note: Some(notes.join("\n")) }
    }
}

/// The grades of a sample's raters.
fn grades(score: &SampleScore) -> impl Iterator<Item = f64> {
    score.statistics.iter().skip(1).copied().filter(|grade| *grade != MISSING)
}

fn why(error: &JudgeError) -> String {
    match error {
        JudgeError::BudgetExhausted => "the budget is used up".into(),
        JudgeError::Denied(message) | JudgeError::Transport(message) | JudgeError::Rejected(message) => message.clone(),
    }
}

export_scorer!(GptJudge);

#[cfg(test)]
mod tests;
