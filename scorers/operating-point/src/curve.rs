//! Points of the empirical ROC curve.

use std::iter;

use scorer_kit::{Ranking, Step};

/// Greatest sensitivity at a specificity of at least `specificity`; none without a positive or a negative sample.
pub(crate) fn sensitivity_at(specificity: f64, ranking: &Ranking, weights: &[u32]) -> Option<f64> {
    let total = total(ranking, weights)?;
    let specific = |point: &Step| share(total.negatives - point.negatives, total.negatives) >= specificity;
    let best = points(ranking, weights).take_while(specific).last()?;
    Some(share(best.positives, total.positives))
}

/// Greatest specificity at a sensitivity of at least `sensitivity`; none without a positive or a negative sample.
pub(crate) fn specificity_at(sensitivity: f64, ranking: &Ranking, weights: &[u32]) -> Option<f64> {
    let total = total(ranking, weights)?;
    let best = points(ranking, weights).find(|point| share(point.positives, total.positives) >= sensitivity)?;
    Some(share(total.negatives - best.negatives, total.negatives))
}

/// The samples at or above each threshold, from the threshold above all down to the lowest score.
fn points(ranking: &Ranking, weights: &[u32]) -> impl Iterator<Item = Step> {
    let above = ranking.steps(weights).rev().scan(Step::default(), |above, step| {
        above.positives += step.positives;
        above.negatives += step.negatives;
        Some(*above)
    });
    iter::once(Step::default()).chain(above)
}

fn total(ranking: &Ranking, weights: &[u32]) -> Option<Step> {
    points(ranking, weights).last().filter(|total| total.positives > 0 && total.negatives > 0)
}

fn share(part: u64, whole: u64) -> f64 {
    part as f64 / whole as f64
}
