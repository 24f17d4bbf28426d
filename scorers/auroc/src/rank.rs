//! Weighted Mann-Whitney statistics, counted in whole numbers.

use scorer_kit::Ranking;

/// Area under the ROC curve of one class against the rest.
pub(crate) struct Area {
    pub(crate) value: f64,
    /// Samples of the class.
    pub(crate) positives: u64,
}

/// Area under the ROC curve of a resample: the share of pairs of a positive and a negative sample in which the
/// positive one has the greater score; equal ones count one half. None without such a pair.
pub(crate) fn area(ranking: &Ranking, weights: &[u32]) -> Option<Area> {
    let (mut positives, mut negatives, mut halves) = (0, 0, 0);
    for step in ranking.steps(weights) {
        halves += step.positives * (2 * negatives + step.negatives);
        positives += step.positives;
        negatives += step.negatives;
    }
    let pairs = positives * negatives;
    (pairs > 0).then(|| Area { value: halves as f64 / (2 * pairs) as f64, positives })
}

/// Mean over all pairs of classes of the area within the pair, where the score of either class serves once (Hand &
/// Till, "A simple generalisation of the area under the ROC curve for multiple class classification problems", 2001).
/// `rankings` are those of every class, `labels` the class of each sample. None without a pair.
pub(crate) fn one_vs_one(rankings: &[Ranking], weights: &[u32], labels: &[usize]) -> Option<f64> {
    let mut counts = vec![0; rankings.len()];
    for (&label, &weight) in labels.iter().zip(weights) {
        counts[label] += u64::from(weight);
    }
    let (mut sum, mut pairs) = (0.0, 0u32);
    for (class, ranking) in rankings.iter().enumerate().filter(|&(class, _)| counts[class] > 0) {
        let halves = halves_against_each(ranking, weights, labels, rankings.len());
        for other in (0..rankings.len()).filter(|&other| other != class && counts[other] > 0) {
            sum += halves[other] as f64 / (2 * counts[class] * counts[other]) as f64;
            pairs += 1;
        }
    }
    (pairs > 0).then(|| sum / f64::from(pairs))
}

/// For each class, twice the pairs with a positive sample of the ranking in which the positive one has the greater
/// score; equal ones count one.
fn halves_against_each(ranking: &Ranking, weights: &[u32], labels: &[usize], classes: usize) -> Vec<u64> {
    let (mut below, mut halves) = (vec![0; classes], vec![0; classes]);
    for tied in ranking.ties() {
        let samples = |positive| {
            let same = tied.iter().filter(move |sample| sample.positive == positive);
            same.map(|sample| (labels[sample.position as usize], u64::from(weights[sample.position as usize])))
        };
        let positives: u64 = samples(true).map(|(_, weight)| weight).sum();
        if positives > 0 {
            for (halves, below) in halves.iter_mut().zip(&below) {
                *halves += 2 * positives * below;
            }
        }
        for (label, weight) in samples(false) {
            halves[label] += positives * weight;
            below[label] += weight;
        }
    }
    halves
}
