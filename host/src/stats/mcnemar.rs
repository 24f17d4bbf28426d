//! Two models that are right or wrong on the same samples.

use statrs::distribution::{Binomial, DiscreteCDF};

/// The samples on which two models disagree, and whether one wins more of them than chance.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct McNemar {
    /// Samples on which only the first model is right.
    pub first_only: u64,
    /// Samples on which only the second model is right.
    pub second_only: u64,
    /// Two-sided exact p value.
    pub p: f64,
}

/// Exact test of McNemar: of the samples on which exactly one model is right, each is as likely the first's as the
/// second's (binomial, 1/2). The samples must be independent of each other.
///
/// Equals `statsmodels.stats.contingency_tables.mcnemar(exact=True)`; without disagreement p is 1.
pub fn mcnemar_exact(first: &[bool], second: &[bool]) -> McNemar {
    let only = |a: &[bool], b: &[bool]| a.iter().zip(b).filter(|(a, b)| **a && !**b).count() as u64;
    let (first_only, second_only) = (only(first, second), only(second, first));
    let fewer = first_only.min(second_only);
    let p = Binomial::new(0.5, first_only + second_only).map_or(1.0, |coin| (2.0 * coin.cdf(fewer)).min(1.0));
    McNemar { first_only, second_only, p }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::vectors::{close, vectors};

    #[test]
    fn equals_statsmodels() {
        let cases = vectors().mcnemar;
        assert!(cases.len() >= 8);
        for (first_only, second_only, p) in cases {
            // Two samples on which both are right and three on which both are wrong say nothing.
            let (a, b) = (first_only as usize, second_only as usize);
            let first = [vec![true; 2], vec![false; 3], vec![true; a], vec![false; b]].concat();
            let second = [vec![true; 2], vec![false; 3], vec![false; a], vec![true; b]].concat();
            let test = mcnemar_exact(&first, &second);
            assert_eq!((test.first_only, test.second_only), (first_only, second_only));
            close(&format!("{first_only} against {second_only}"), test.p, p);
        }
    }
}
