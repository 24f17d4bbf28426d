//! Cells that answer the same samples, against each other.

use std::path::PathBuf;

use super::{
    opened::{Opened, Scorers, Split},
    questions::{Track, questions},
    scores::Cursors,
};
use crate::{
    config::Bootstrap,
    dataset::Target,
    error::Result,
    ids::{CellId, Task, Usage},
    report::{ComparisonReport, Findings, PairReport},
    run::{
        Plan,
        compare::{Binary, Hypothesis, probability},
        plan::ScorerSource,
        score::Metrics,
        scored::Scored,
    },
    scorer::{SampleScore, Scorer},
    stats::{self, Clusters},
};

/// The most permutations of a test.
const PERMUTATIONS: u64 = 10_000;
/// Sample scores that the permutations of a family of tests may look at together.
const BUDGET: u64 = 200_000_000;
/// Permutations for each test of a family below which no corrected p value could become small.
const FEWEST: u64 = 20;

/// The cells of a split.
pub(super) struct Together<'a> {
    plan: &'a Plan,
    split: &'a Split,
    members: Vec<Member<'a>>,
}

struct Member<'a> {
    id: &'a CellId,
    dir: PathBuf,
    metrics: &'a Metrics,
    scorers: &'a [ScorerSource],
    /// Predictions of the split that are there.
    answered: usize,
    /// Probability of class 1 of each sample, where the task has two classes.
    positive: Option<Vec<f64>>,
}

/// Samples in all draws of all cells beyond which a comparison takes minutes.
const LONG: usize = 50_000_000;

/// What a scorer gave one cell, with its metric on all samples and on draws of them.
struct Entrant<'a> {
    member: &'a Member<'a>,
    scores: Vec<SampleScore>,
    values: Vec<f64>,
}

/// One scorer and the metric of it that leads.
struct Leading<'a> {
    source: &'a ScorerSource,
    scorer: &'a Scorer,
    column: usize,
}

impl<'a> Together<'a> {
    /// No cells yet.
    pub fn new(plan: &'a Plan, split: &'a Split) -> Self {
        Self { plan, split, members: Vec::new() }
    }

    /// Takes a cell.
    pub fn push(&mut self, opened: &Opened<'a>) {
        let label = |target: &Target| matches!(target, Target::Labels(labels) if labels == &[1]);
        let binary = opened.cell.id.task == Task::Diagnosis && opened.classes().len() == 2;
        let binary = binary && !opened.cell.manifest.multi_label();
        let positive = || opened.pairs().map(|(sample, answer)| probability(answer, label(&sample.target))).collect();
        self.members.push(Member {
            id: &opened.cell.id,
            dir: opened.dir.clone(),
            metrics: opened.metrics,
            scorers: &opened.cell.scorers,
            answered: opened.len(),
            positive: binary.then(positive),
        });
    }

    /// Compares the cells that answered all samples, in the leading metric of each scorer.
    pub fn compare(self, scorers: &Scorers, findings: &mut Findings, note: &dyn Fn(&str)) -> Result<()> {
        let all = self.split.samples().len();
        let (complete, partial): (Vec<&Member<'_>>, Vec<&Member<'_>>) =
            self.members.iter().partition(|member| member.answered == all);
        if self.members.len() < 2 {
            return Ok(());
        }
        for member in partial {
            let why = format!("it has predictions of {} of {all} samples", member.answered);
            findings.notes.push(format!("{} is compared with no other cell: {why}.", member.id));
        }
        let Some(first) = complete.first() else { return Ok(()) };
        if complete.len() * all * self.plan.suite.bootstrap.resamples as usize > LONG {
            let (count, id) = (complete.len(), first.id);
            note(&format!(
                "report: comparing {count} cells on {}.{}.{}, {all} samples each",
                id.dataset, id.split, id.task
            ));
        }
        for source in first.scorers {
            let Some(leading) = leading(source, scorers, &complete) else { continue };
            self.in_metric(&leading, &complete, findings)?;
        }
        Ok(())
    }

    fn in_metric(&self, leading: &Leading<'_>, members: &[&Member<'_>], findings: &mut Findings) -> Result<()> {
        let asked = !self.plan.suite.specialists.is_empty();
        let mut tracks = Vec::new();
        let mut units = None;
        for group in groups(members) {
            if group.len() < 2 && !asked {
                continue;
            }
            let mut entrants = Vec::new();
            for member in group {
                if !scored_alike(member, leading) {
                    let id = &leading.source.id;
                    findings
                        .notes
                        .push(format!("{} has scores of another version of {id}; score it again.", member.id));
                    continue;
                }
                let scores = Cursors::all(&member.dir, member.metrics, &leading.source.id)?;
                let (indices, clusters) = units.get_or_insert_with(|| self.units(&scores));
                if scores.iter().map(|score| score.index).ne(indices.iter().copied()) {
                    findings.notes.push(format!("{} was scored on other samples and is not compared.", member.id));
                    continue;
                }
                let scored = Scored { scorer: leading.scorer, scores: &scores };
                let rows = scored.draws(clusters, &self.plan.suite.bootstrap)?;
                let value = |row: &Vec<Option<f64>>| row.get(leading.column).copied().flatten().unwrap_or(f64::NAN);
                entrants.push(Entrant { member, values: rows.iter().map(value).collect(), scores });
            }
            if let Some((indices, clusters)) = &units {
                findings.comparisons.extend(self.pairs(leading, &entrants, indices, clusters)?);
            }
            tracks.extend(entrants.into_iter().map(|entrant| Track { id: entrant.member.id, values: entrant.values }));
        }
        if let (true, Some((indices, clusters))) = (asked, units) {
            let info = &leading.scorer.metadata().metrics[leading.column];
            findings.questions.extend(questions(&self.plan.suite, &tracks, info.higher_is_better, |mut report| {
                report.scorer.clone_from(&leading.source.id);
                report.metric.clone_from(&info.name);
                (report.samples, report.patients) = (indices.len(), clusters.len());
                report
            }));
        }
        Ok(())
    }

    /// The positions of scored samples, and their patients.
    fn units(&self, scores: &[SampleScore]) -> (Vec<u32>, Clusters) {
        let patient = |score: &SampleScore| match self.split.get(score.index) {
            Some(sample) => sample.patient.as_deref().unwrap_or(&sample.id),
            None => "",
        };
        let patients: Vec<&str> = scores.iter().map(patient).collect();
        (scores.iter().map(|score| score.index).collect(), Clusters::new(&patients))
    }

    /// All pairs of the entrants, tested and corrected.
    fn pairs(
        &self,
        leading: &Leading<'_>,
        entrants: &[Entrant<'_>],
        indices: &[u32],
        clusters: &Clusters,
    ) -> Result<Option<ComparisonReport>> {
        let Some(id) = entrants.first().map(|entrant| entrant.member.id).filter(|_| entrants.len() > 1) else {
            return Ok(None);
        };
        let info = &leading.scorer.metadata().metrics[leading.column];
        let numbers = (0..entrants.len()).flat_map(|a| (a + 1..entrants.len()).map(move |b| (a, b)));
        let numbers: Vec<(usize, usize)> = numbers.collect();
        let mut pairs = Vec::new();
        for (a, b) in &numbers {
            let pair = [&entrants[*a], &entrants[*b]];
            pairs.push(self.pair(leading, pair, indices, clusters, numbers.len() as u64)?);
        }
        let p: Vec<f64> = pairs.iter().filter_map(|pair| pair.p).collect();
        let corrected = stats::holm(&p);
        pairs.iter_mut().filter(|pair| pair.p.is_some()).zip(corrected).for_each(|(pair, p)| pair.p_holm = Some(p));
        Ok(Some(ComparisonReport {
            dataset: id.dataset.clone(),
            split: id.split.clone(),
            task: id.task,
            usage: id.usage,
            seed: id.seed,
            scorer: leading.source.id.clone(),
            metric: info.name.clone(),
            higher_is_better: info.higher_is_better,
            samples: indices.len(),
            patients: clusters.len(),
            pairs,
        }))
    }

    fn pair(
        &self,
        leading: &Leading<'_>,
        [a, b]: [&Entrant<'_>; 2],
        indices: &[u32],
        clusters: &Clusters,
        family: u64,
    ) -> Result<PairReport> {
        let Bootstrap { level, seed, .. } = self.plan.suite.bootstrap;
        let value = |entrant: &Entrant<'_>| entrant.values.first().copied().filter(|value| !value.is_nan());
        let differences: Vec<f64> = a.values.iter().zip(&b.values).map(|(a, b)| b - a).collect();
        let mut pair = PairReport {
            a: a.member.id.model.clone(),
            b: b.member.id.model.clone(),
            value_a: value(a),
            value_b: value(b),
            difference: None,
            low: None,
            high: None,
            test: "none: a value is undefined".into(),
            p: None,
            p_holm: None,
        };
        let Some(values) = value(a).zip(value(b)) else { return Ok(pair) };
        pair.difference = Some(values.1 - values.0);
        (pair.low, pair.high) = stats::percentile_interval(&differences[1..], level).unzip();
        let binary = self.binary([a, b], indices);
        let hypothesis = Hypothesis {
            scorer: leading.scorer,
            scores: [&a.scores, &b.scores],
            column: leading.column,
            values: [values.0, values.1],
            clusters,
            binary: binary.as_ref(),
        };
        if let Some((name, p)) = hypothesis.without_permutations() {
            (pair.test, pair.p) = (name.into(), Some(p));
            return Ok(pair);
        }
        let permutations = (BUDGET / (family * indices.len().max(1) as u64)).min(PERMUTATIONS);
        if permutations < FEWEST * family {
            pair.test = "none: too many samples to permute; `medvlm compare` tests two cells".into();
        } else if let Some((name, p)) = hypothesis.test(permutations as u32, seed)? {
            (pair.test, pair.p) = (format!("{name}, at most {permutations} permutations"), Some(p));
        }
        Ok(pair)
    }

    fn binary(&self, pair: [&Entrant<'_>; 2], indices: &[u32]) -> Option<Binary> {
        let [a, b] = [pair[0].member.positive.as_ref()?, pair[1].member.positive.as_ref()?];
        let samples = self.split.samples();
        let places: Vec<usize> = indices
            .iter()
            .map(|index| samples.binary_search_by_key(index, |sample| sample.index).ok())
            .collect::<Option<_>>()?;
        let label = |place: &usize| match &samples[*place].target {
            Target::Labels(labels) if labels.len() == 1 => Some(labels[0] == 1),
            _ => None,
        };
        let labels = places.iter().map(label).collect::<Option<_>>()?;
        let of = |values: &Vec<f64>| places.iter().map(|place| values[*place]).collect();
        Some(Binary { labels, probabilities: [of(a), of(b)] })
    }
}

/// The first metric of a scorer that any cell has a value of.
fn leading<'a>(source: &'a ScorerSource, scorers: &'a Scorers, members: &[&Member<'_>]) -> Option<Leading<'a>> {
    let scorer = scorers.get(source)?;
    let defined = |name: &str| {
        let metrics = members.iter().flat_map(|member| &member.metrics.scorers).filter(|s| s.id == source.id);
        metrics.flat_map(|scorer| &scorer.metrics).any(|metric| metric.name == name && metric.value.is_some())
    };
    let column = scorer.metadata().metrics.iter().position(|info| defined(&info.name))?;
    Some(Leading { source, scorer, column })
}

fn scored_alike(member: &Member<'_>, leading: &Leading<'_>) -> bool {
    let found = member.metrics.scorers.iter().find(|scorer| scorer.id == leading.source.id);
    found.is_some_and(|scorer| scorer.component == leading.scorer.digest())
}

/// The cells of each usage and seed.
fn groups<'m, 'a>(members: &[&'m Member<'a>]) -> Vec<Vec<&'m Member<'a>>> {
    let mut keys: Vec<(Usage, u64)> = members.iter().map(|member| (member.id.usage, member.id.seed)).collect();
    keys.sort_unstable();
    keys.dedup();
    let of = |key: (Usage, u64)| members.iter().filter(|m| (m.id.usage, m.id.seed) == key).copied().collect();
    keys.into_iter().map(of).collect()
}
