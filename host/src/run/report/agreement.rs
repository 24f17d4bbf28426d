//! Agreement of the judges behind a scorer.
//!
//! A scorer that asks judges keeps their grades as statistics of the sample: first 1 if the judges were asked and 0 if not,
//! then a grade in [0, 1] for each vote of each judge, in the order of the suite, below 0 where it is missing.

use super::{opened::Opened, scores::Cursors};
use crate::{
    error::Result,
    report::{AgreementReport, RaterPair, RaterReport},
    run::Plan,
    scorer::{JUDGE, SampleScore},
    stats,
};

/// A grade from which on a verdict is favourable.
const FAVOURABLE: f64 = 0.5;

/// The agreement in a cell, one entry for each scorer whose samples have at least two raters.
pub(super) fn agreement(opened: &Opened<'_>, plan: &Plan) -> Result<Vec<AgreementReport>> {
    let mut reports = Vec::new();
    for source in opened.cell.scorers.iter().filter(|source| source.capabilities.iter().any(|c| c == JUDGE)) {
        let scores = Cursors::all(&opened.dir, opened.metrics, &source.id)?;
        let grades: Vec<Vec<Option<f64>>> = scores.iter().filter_map(grades).collect();
        let names = raters(plan, grades.iter().map(Vec::len).max().unwrap_or(0));
        if names.len() > 1 {
            reports.push(report(opened.cell.id.to_string(), source.id.clone(), &names, &grades));
        }
    }
    Ok(reports)
}

fn report(cell: String, scorer: String, names: &[String], grades: &[Vec<Option<f64>>]) -> AgreementReport {
    let given: Vec<Vec<f64>> = grades.iter().map(|unit| unit.iter().copied().flatten().collect()).collect();
    let verdict = |grade: f64| grade >= FAVOURABLE;
    let whole: Vec<Vec<bool>> =
        grades.iter().filter_map(|unit| unit.iter().map(|grade| grade.map(verdict)).collect()).collect();
    let rater = |(number, name): (usize, &String)| {
        let graded = grades.iter().filter(|unit| unit.get(number).copied().flatten().is_some()).count();
        RaterReport { name: name.clone(), graded, missing: grades.len() - graded }
    };
    let pair = |(a, b): (usize, usize)| {
        let both = |unit: &Vec<Option<f64>>| unit.get(a).copied().flatten().zip(unit.get(b).copied().flatten());
        let (first, second): (Vec<f64>, Vec<f64>) = grades.iter().filter_map(both).unzip();
        let verdicts = |grades: &[f64]| grades.iter().map(|grade| verdict(*grade)).collect::<Vec<bool>>();
        RaterPair {
            raters: (a, b),
            samples: first.len(),
            kappa: stats::cohen_kappa(&verdicts(&first), &verdicts(&second)),
            spearman: stats::spearman(&first, &second),
        }
    };
    let pairs = (0..names.len()).flat_map(|a| (a + 1..names.len()).map(move |b| (a, b)));
    AgreementReport {
        cell,
        scorer,
        raters: names.iter().enumerate().map(rater).collect(),
        samples: given.iter().filter(|unit| unit.len() > 1).count(),
        alpha: stats::krippendorff_alpha(&given),
        kappa: stats::fleiss_kappa(&whole),
        pairs: pairs.map(pair).collect(),
    }
}

/// The grades of a sample; none where no judge was asked.
fn grades(score: &SampleScore) -> Option<Vec<Option<f64>>> {
    let (asked, grades) = score.statistics.split_first()?;
    (*asked == 1.0 && !grades.is_empty())
        .then(|| grades.iter().map(|grade| Some(*grade).filter(|g| *g >= 0.0)).collect())
}

/// Names of the raters: the votes of each judge, in the order of the suite.
fn raters(plan: &Plan, count: usize) -> Vec<String> {
    let votes = plan.suite.judges.iter().flat_map(|judge| {
        (1..=judge.votes).map(move |vote| match judge.votes {
            1 => judge.model.clone(),
            _ => format!("{}, vote {vote}", judge.model),
        })
    });
    let names: Vec<String> = votes.collect();
    if names.len() == count { names } else { (1..=count).map(|number| format!("rater {number}")).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grades_are_those_of_samples_that_judges_were_asked_about() {
        let score = |statistics: &[f64]| SampleScore { statistics: statistics.into(), ..Default::default() };
        assert_eq!(grades(&score(&[1.0, 0.75, -1.0])), Some(vec![Some(0.75), None]));
        assert_eq!((grades(&score(&[0.0])), grades(&score(&[1.0])), grades(&score(&[]))), (None, None, None));
    }

    #[test]
    fn raters_are_counted_and_compared_where_both_graded() {
        let grades = [(Some(1.0), Some(0.75)), (Some(0.0), Some(0.25)), (Some(0.5), None), (Some(1.0), Some(1.0))];
        let grades: Vec<Vec<Option<f64>>> = grades.iter().map(|(a, b)| vec![*a, *b]).collect();
        let report = report("c".into(), "s".into(), &["x".into(), "y".into()], &grades);
        assert_eq!((report.samples, report.raters[1].graded, report.raters[1].missing), (3, 3, 1));
        assert_eq!((report.pairs[0].samples, report.pairs[0].kappa, report.kappa), (3, Some(1.0), Some(1.0)));
        // scipy.stats.spearmanr([1, 0, 1], [.75, .25, 1])
        assert!((report.pairs[0].spearman.expect("defined") - 0.866_025_403_784_438_7).abs() < 1e-12);
    }
}
