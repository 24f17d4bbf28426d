//! Several tests at once: p values that are corrected for their number.

/// Adjusted p values in the same order, for the chance of one false finding among all (Holm, *A Simple Sequentially
/// Rejective Multiple Test Procedure*, 1979). Equals `statsmodels multipletests(method="holm")` and R's `p.adjust`.
pub fn holm(p: &[f64]) -> Vec<f64> {
    let mut adjusted = vec![0.0; p.len()];
    let mut largest = 0.0_f64;
    for (rank, position) in ascending(p).into_iter().enumerate() {
        largest = largest.max((p.len() - rank) as f64 * p[position]).min(1.0);
        adjusted[position] = largest;
    }
    adjusted
}

/// Adjusted p values in the same order, for the share of false findings among the findings (Benjamini and Hochberg,
/// *Controlling the False Discovery Rate*, 1995). Equals `multipletests(method="fdr_bh")` and R's `p.adjust`.
pub fn benjamini_hochberg(p: &[f64]) -> Vec<f64> {
    let mut adjusted = vec![0.0; p.len()];
    let mut smallest = 1.0_f64;
    for (rank, position) in ascending(p).into_iter().enumerate().rev() {
        smallest = smallest.min(p.len() as f64 * p[position] / (rank + 1) as f64);
        adjusted[position] = smallest;
    }
    adjusted
}

fn ascending(p: &[f64]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..p.len()).collect();
    order.sort_by(|&a, &b| p[a].total_cmp(&p[b]));
    order
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::vectors::{close, vectors};

    #[test]
    fn adjusted_values_equal_statsmodels() {
        let cases = vectors().correction;
        assert!(cases.len() >= 3);
        for case in cases {
            let adjusted = [holm(&case.p), benjamini_hochberg(&case.p)];
            for (adjusted, expected) in adjusted.iter().zip([&case.holm, &case.benjamini_hochberg]) {
                assert_eq!(adjusted.len(), expected.len());
                adjusted.iter().zip(expected).for_each(|(a, e)| close(&case.name, *a, *e));
            }
        }
    }

    #[test]
    fn one_test_is_not_corrected() {
        assert_eq!((holm(&[0.03]), benjamini_hochberg(&[0.03])), (vec![0.03], vec![0.03]));
        assert_eq!((holm(&[]), benjamini_hochberg(&[])), (vec![], vec![]));
    }
}
