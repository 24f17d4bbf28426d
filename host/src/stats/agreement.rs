//! Agreement of raters who judged the same samples.

/// Krippendorff's alpha for interval data, one list of ratings for each sample; what was not rated is left out of its list.
///
/// Equals the package `krippendorff` (Krippendorff, *Computing Krippendorff's Alpha-Reliability*, 2011). `None` where all
/// ratings are equal or nothing is rated twice.
pub fn krippendorff_alpha(units: &[Vec<f64>]) -> Option<f64> {
    let rated: Vec<&Vec<f64>> = units.iter().filter(|ratings| ratings.len() > 1).collect();
    let all = || rated.iter().flat_map(|ratings| ratings.iter());
    let first = *all().next()?;
    let count = rated.iter().map(|ratings| ratings.len()).sum::<usize>() as f64;
    let pairs = |values: &mut dyn Iterator<Item = f64>| {
        let (n, sum, squares) = values.fold((0.0, 0.0, 0.0), |(n, s, q), v| (n + 1.0, s + v, q + v * v));
        2.0 * (n * squares - sum * sum)
    };
    // Measured from one of the ratings, so that equal ratings cancel exactly.
    let within: f64 =
        rated.iter().map(|ratings| pairs(&mut ratings.iter().map(|v| v - first)) / (ratings.len() as f64 - 1.0)).sum();
    let between = pairs(&mut all().map(|v| v - first));
    (between > 0.0).then(|| 1.0 - (count - 1.0) * within / between)
}

/// Fleiss' kappa of verdicts by any number of raters, one list for each sample; only samples that as many raters judged
/// as the first one count.
///
/// Equals `statsmodels.stats.inter_rater.fleiss_kappa` (Fleiss, *Measuring Nominal Scale Agreement among Many Raters*,
/// 1971). `None` with fewer than two raters, or where all verdicts are the same.
pub fn fleiss_kappa(units: &[Vec<bool>]) -> Option<f64> {
    let raters = units.first()?.len();
    let units: Vec<&Vec<bool>> = units.iter().filter(|verdicts| verdicts.len() == raters).collect();
    let (n, raters) = (units.len() as f64, raters as f64);
    if raters < 2.0 {
        return None;
    }
    let yes: Vec<f64> = units.iter().map(|verdicts| verdicts.iter().filter(|v| **v).count() as f64).collect();
    let agreed = |yes: &f64| {
        let no = raters - yes;
        (yes * yes + no * no - raters) / (raters * (raters - 1.0))
    };
    let observed = yes.iter().map(agreed).sum::<f64>() / n;
    let share = yes.iter().sum::<f64>() / (n * raters);
    let chance = share * share + (1.0 - share) * (1.0 - share);
    (chance < 1.0).then(|| (observed - chance) / (1.0 - chance))
}

/// Cohen's kappa of two raters' verdicts on the same samples.
///
/// Equals `sklearn.metrics.cohen_kappa_score` (Cohen, *A Coefficient of Agreement for Nominal Scales*, 1960). `None`
/// without samples, or where both raters say the same of all of them.
pub fn cohen_kappa(first: &[bool], second: &[bool]) -> Option<f64> {
    let n = first.len() as f64;
    let share = |verdicts: &[bool]| verdicts.iter().filter(|v| **v).count() as f64 / n;
    let observed = first.iter().zip(second).filter(|(a, b)| a == b).count() as f64 / n;
    let (a, b) = (share(first), share(second));
    let chance = a * b + (1.0 - a) * (1.0 - b);
    (n > 0.0 && chance < 1.0).then(|| (observed - chance) / (1.0 - chance))
}

/// Spearman's rank correlation; ties share their mean rank. Equals `scipy.stats.spearmanr`. `None` where a side does not
/// vary.
pub fn spearman(first: &[f64], second: &[f64]) -> Option<f64> {
    let (a, b) = (ranks(first), ranks(second));
    let mean = (first.len() as f64 + 1.0) / 2.0;
    let product = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| (a - mean) * (b - mean)).sum::<f64>();
    let scale = (product(&a, &a) * product(&b, &b)).sqrt();
    (scale > 0.0).then(|| product(&a, &b) / scale)
}

/// Ranks from 1.
fn ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&a, &b| values[a].total_cmp(&values[b]));
    let mut ranks = vec![0.0; values.len()];
    let mut before = 0;
    for ties in order.chunk_by(|&a, &b| values[a] == values[b]) {
        let rank = before as f64 + (ties.len() as f64 + 1.0) / 2.0;
        ties.iter().for_each(|&position| ranks[position] = rank);
        before += ties.len();
    }
    ranks
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::vectors::{close, vectors};

    #[test]
    fn agreement_equals_krippendorff_statsmodels_scikit_learn_and_scipy() {
        let cases = vectors().agreement;
        assert!(cases.len() >= 4);
        for case in cases {
            let units: Vec<Vec<f64>> =
                case.ratings.iter().map(|unit| unit.iter().flatten().copied().collect()).collect();
            close(&case.name, krippendorff_alpha(&units).expect("alpha"), case.alpha);
            let whole: Vec<Vec<f64>> =
                case.ratings.iter().filter_map(|unit| unit.iter().copied().collect::<Option<Vec<f64>>>()).collect();
            let column = |rater: usize| whole.iter().map(|unit| unit[rater]).collect::<Vec<f64>>();
            let verdicts = |ratings: &[f64]| ratings.iter().map(|r| *r >= 0.5).collect::<Vec<bool>>();
            let units: Vec<Vec<bool>> = whole.iter().map(|unit| verdicts(unit)).collect();
            close(&case.name, fleiss_kappa(&units).expect("kappa"), case.fleiss);
            let (a, b) = (column(0), column(1));
            close(&case.name, cohen_kappa(&verdicts(&a), &verdicts(&b)).expect("kappa"), case.cohen);
            close(&case.name, spearman(&a, &b).expect("correlation"), case.spearman);
        }
    }

    #[test]
    fn without_variation_or_a_second_rater_there_is_no_agreement() {
        assert_eq!(krippendorff_alpha(&[vec![0.1, 0.1], vec![0.1, 0.1]]), None);
        assert_eq!(krippendorff_alpha(&[vec![0.1], vec![0.2]]), None);
        assert_eq!(
            (fleiss_kappa(&[]), fleiss_kappa(&[vec![true]]), fleiss_kappa(&[vec![true; 2]])),
            (None, None, None)
        );
        assert_eq!((cohen_kappa(&[], &[]), cohen_kappa(&[true], &[true])), (None, None));
        assert_eq!((spearman(&[], &[]), spearman(&[1.0, 1.0], &[1.0, 2.0])), (None, None));
    }
}
