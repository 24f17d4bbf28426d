//! Diagnoses on their way from `score` to `aggregate`.

use crate::{Error, Ranking, Sample, SampleScore, bad_input, meta, serde::Deserialize, sigmoid, softmax, usable};

/// What a model said of the classes, beside the truth.
#[derive(Debug, Clone, PartialEq)]
pub struct Diagnosis {
    /// Whether any number of classes may be true; exactly one is otherwise.
    pub multi_label: bool,
    /// One finite logit for each class; empty for a sample without an answer.
    pub logits: Vec<f64>,
    /// The true classes.
    pub labels: Vec<u32>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Meta {
    multi_label: bool,
}

impl Diagnosis {
    /// Reads a sample; it is multi-label if its meta object says `"multi_label": true`. A sample that failed, or with a
    /// logit that is not finite, has no answer.
    ///
    /// Fails if a sample that is not multi-label has not exactly one label, and if a label is none of the classes.
    pub fn of(sample: &Sample) -> Result<Self, Error> {
        let multi_label = meta::<Meta>(sample)?.multi_label;
        if !multi_label && sample.labels.len() != 1 {
            let count = sample.labels.len();
            return Err(bad_input(sample, format!("{count} labels, but its dataset is not marked multi_label")));
        }
        let answered = !sample.failed && usable(&sample.logits);
        let logits = if answered { sample.logits.clone() } else { Vec::new() };
        let foreign = sample.labels.iter().find(|&&label| answered && label as usize >= logits.len());
        match foreign {
            Some(label) => Err(bad_input(sample, format!("label {label} of {} classes", logits.len()))),
            None => Ok(Self { multi_label, logits, labels: sample.labels.clone() }),
        }
    }

    /// Whether a class is true.
    pub fn is(&self, class: usize) -> bool {
        self.labels.iter().any(|&label| label as usize == class)
    }

    /// Probability of each class, by softmax, or by the logistic function of each logit for multi-label; empty without
    /// an answer.
    pub fn probabilities(&self) -> Vec<f64> {
        match self.multi_label {
            _ if self.logits.is_empty() => Vec::new(),
            true => self.logits.iter().copied().map(sigmoid).collect(),
            false => softmax(&self.logits),
        }
    }

    /// The diagnosis as one list: multi-label flag, number of logits, these, labels.
    pub fn statistics(self) -> Vec<f64> {
        let head = [f64::from(self.multi_label), self.logits.len() as f64];
        head.into_iter().chain(self.logits).chain(self.labels.into_iter().map(f64::from)).collect()
    }

    fn from_statistics(score: &SampleScore) -> Result<Self, Error> {
        let foreign = || Error::BadInput(format!("sample {}: its statistics are those of no diagnosis", score.index));
        let [multi_label, count, rest @ ..] = &score.statistics[..] else { return Err(foreign()) };
        let (logits, labels) = rest.split_at_checked(*count as usize).ok_or_else(foreign)?;
        let multi_label = *multi_label != 0.0;
        if !multi_label && labels.len() != 1 {
            return Err(foreign());
        }
        let labels = labels.iter().map(|&label| label as u32).collect();
        Ok(Self { multi_label, logits: logits.into(), labels })
    }
}

/// The diagnoses of one scorer run.
#[derive(Debug, Clone)]
pub struct Diagnoses {
    /// In the order of the scores.
    pub samples: Vec<Diagnosis>,
    /// The number of classes; if no sample has an answer, one more than the greatest label, and at least 2.
    pub classes: usize,
    /// Whether any number of classes may be true.
    pub multi_label: bool,
}

impl Diagnoses {
    /// Reads scores whose statistics are [`Diagnosis::statistics`].
    ///
    /// Fails on other statistics, and if the samples disagree on the number of classes.
    pub fn read(scores: &[SampleScore]) -> Result<Self, Error> {
        let samples = scores.iter().map(Diagnosis::from_statistics).collect::<Result<Vec<_>, _>>()?;
        let greatest = samples.iter().flat_map(|sample| &sample.labels).max().map_or(0, |&label| label as usize);
        let mut counts = samples.iter().map(|sample| sample.logits.len()).filter(|&count| count > 0);
        let classes = counts.next().unwrap_or((greatest + 1).max(2));
        if let Some(other) = counts.find(|&other| other != classes) {
            return Err(Error::BadInput(format!("samples have {classes} and {other} classes")));
        }
        if greatest >= classes {
            return Err(Error::BadInput(format!("a sample has label {greatest} of {classes} classes")));
        }
        let multi_label = samples.iter().any(|sample| sample.multi_label);
        Ok(Self { samples, classes, multi_label })
    }

    /// Whether exactly one of two classes is true.
    pub fn binary(&self) -> bool {
        self.classes == 2 && !self.multi_label
    }

    /// The samples ranked by the probability of each class that a metric is the mean over: `class` alone if it is
    /// given, class 1 of two classes, and every class otherwise. A sample without an answer ranks below all others for
    /// its true classes, and above all for the rest.
    ///
    /// Fails if `class` is none of the classes.
    pub fn rankings(&self, class: Option<u32>) -> Result<Vec<Ranking>, Error> {
        let classes = match class.map(|class| class as usize) {
            Some(class) if class >= self.classes => {
                return Err(Error::BadInput(format!("the configuration asks for class {class} of {}", self.classes)));
            }
            Some(class) => class..class + 1,
            None if self.binary() => 1..2,
            None => 0..self.classes,
        };
        let probabilities: Vec<Vec<f64>> = self.samples.iter().map(Diagnosis::probabilities).collect();
        let ranking = |class: usize| {
            let scored = self.samples.iter().zip(&probabilities).map(|(sample, probabilities)| {
                let positive = sample.is(class);
                let worst = if positive { -1.0 } else { 2.0 };
                (probabilities.get(class).copied().unwrap_or(worst), positive)
            });
            Ranking::new(scored)
        };
        Ok(classes.map(ranking).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn diagnosis(logits: &[f64], labels: &[u32], multi_label: bool) -> Result<Diagnosis, Error> {
        let meta = format!(r#"{{"multi_label":{multi_label},"sex":"F"}}"#);
        Diagnosis::of(&Sample { logits: logits.into(), labels: labels.into(), meta, ..crate::sample(4) })
    }

    fn score(statistics: Vec<f64>) -> SampleScore {
        SampleScore { index: 4, values: vec![], statistics, note: None }
    }

    fn read(diagnoses: &[Diagnosis]) -> Result<Diagnoses, Error> {
        Diagnoses::read(&diagnoses.iter().map(|diagnosis| score(diagnosis.clone().statistics())).collect::<Vec<_>>())
    }

    #[test]
    fn statistics_carry_the_diagnosis() {
        let samples = [(vec![1.5, -2.0, 0.25], vec![0, 2]), (vec![], vec![1]), (vec![0.0, 1.0, 2.0], vec![])];
        let diagnoses = samples.map(|(logits, labels)| diagnosis(&logits, &labels, true).expect("valid"));
        let run = read(&diagnoses).expect("diagnoses");
        assert_eq!((&run.samples[..], run.classes, run.multi_label), (&diagnoses[..], 3, true));
        assert!(run.samples[0].is(2) && !run.samples[0].is(1));
    }

    #[test]
    fn a_logit_that_is_not_finite_is_no_answer() {
        assert!(diagnosis(&[0.0, f64::NAN], &[1], false).expect("valid").logits.is_empty());
        let failed = Sample { logits: vec![0.0, 1.0], labels: vec![1], failed: true, ..crate::sample(0) };
        assert!(Diagnosis::of(&failed).expect("valid").probabilities().is_empty());
    }

    #[test]
    fn contradictions_are_errors() {
        let message = |result: Result<Diagnosis, Error>| result.expect_err("invalid");
        assert_eq!(
            message(diagnosis(&[0.0, 1.0], &[2], false)),
            Error::BadInput("sample 4: label 2 of 2 classes".into())
        );
        let two = "sample 4: 2 labels, but its dataset is not marked multi_label";
        assert_eq!(message(diagnosis(&[0.0, 1.0], &[0, 1], false)), Error::BadInput(two.into()));

        let valid = |logits: &[f64], label| diagnosis(logits, &[label], false).expect("valid");
        let error = read(&[valid(&[0.0, 1.0], 1), valid(&[0.0, 1.0, 2.0], 1)]).expect_err("two and three");
        assert_eq!(error, Error::BadInput("samples have 2 and 3 classes".into()));
        let error = read(&[valid(&[0.0, 1.0], 1), valid(&[], 5)]).expect_err("no such class");
        assert_eq!(error, Error::BadInput("a sample has label 5 of 2 classes".into()));
        for foreign in [vec![], vec![0.0, 2.0, 1.0], vec![0.0, 1.0, 1.0]] {
            let error = Diagnoses::read(&[score(foreign)]).expect_err("no diagnosis");
            assert_eq!(error, Error::BadInput("sample 4: its statistics are those of no diagnosis".into()));
        }
    }

    #[test]
    fn without_answers_the_labels_count_the_classes() {
        let failed = |label| diagnosis(&[], &[label], false).expect("valid");
        assert!(read(&[failed(0)]).expect("diagnoses").binary());
        assert!(read(&[]).expect("nothing").binary());
        let run = read(&[failed(0), failed(3)]).expect("diagnoses");
        assert_eq!((run.classes, run.rankings(None).expect("ranked").len()), (4, 4));
        let error = run.rankings(Some(4)).expect_err("no such class");
        assert_eq!(error, Error::BadInput("the configuration asks for class 4 of 4".into()));
    }
}
