//! Two models on the same samples, when it were all the same which of them had answered: whole patients are exchanged.
//!
//! Sources: Good, *Permutation, Parametric and Bootstrap Tests of Hypotheses* (2005), section 3; the p value of random
//! permutations counts the observed one too (Phipson and Smyth, *Permutation P-values Should Never Be Zero*, 2010).

use rand_chacha::rand_core::RngCore;
use rayon::prelude::*;

use super::{Clusters, clusters::generator};

/// Result of a paired permutation test.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PermutationTest {
    /// Two-sided p value.
    pub p: f64,
    /// Number of permutations.
    pub permutations: u64,
    /// Whether these are all that there are, so that p is exact.
    pub exact: bool,
}

/// Patterns that one call of a statistic is given.
const CHUNK: usize = 100;
/// The chances of exchanges are others than those of bootstrap draws.
const PURPOSE: u64 = 1;

/// Tests whether the mean of paired differences is 0: each cluster keeps or flips the sign of all its differences.
///
/// All `2^clusters` patterns are tried if they are no more than `permutations`, as in
/// `scipy.stats.permutation_test(permutation_type="samples")`; else that many random ones, which depend on `seed` only.
pub fn sign_flip_test(differences: &[f64], clusters: &Clusters, permutations: u32, seed: u64) -> PermutationTest {
    let sum = |members: &Vec<u32>| members.iter().map(|&p| differences[p as usize]).sum::<f64>();
    let sums: Vec<f64> = clusters.members().iter().map(sum).collect();
    let plan = Exchanges::new(clusters.len(), permutations, seed);
    let total = |number: u64| -> f64 {
        sums.iter().zip(plan.pattern(number)).map(|(sum, exchanged)| if exchanged { -sum } else { *sum }).sum()
    };
    let observed = sums.iter().sum();
    let permuted: Vec<f64> = (0..plan.count).into_par_iter().map(total).collect();
    plan.test(observed, &permuted)
}

/// Tests any paired statistic: each cluster keeps or exchanges the answers of the two models on all its samples.
///
/// `statistic` gets patterns that say for each of `samples` whether it is exchanged, and returns the difference of the
/// models under each. One that is NaN counts as no less extreme than the observed one. Random patterns are those of
/// [`sign_flip_test`]. `None` where the statistic is undefined without an exchange.
pub fn swap_test<E>(
    clusters: &Clusters,
    permutations: u32,
    seed: u64,
    mut statistic: impl FnMut(&[Vec<bool>]) -> Result<Vec<f64>, E>,
) -> Result<Option<PermutationTest>, E> {
    let samples = clusters.positions().last().map_or(0, |last| *last as usize + 1);
    let plan = Exchanges::new(clusters.len(), permutations, seed);
    let observed = statistic(&[vec![false; samples]])?;
    let Some(&observed) = observed.first().filter(|value| !value.is_nan()) else { return Ok(None) };
    let spread = |number: u64| {
        let mut exchanged = vec![false; samples];
        for members in clusters.members().iter().zip(plan.pattern(number)).filter(|(_, e)| *e).map(|(m, _)| m) {
            members.iter().for_each(|&position| exchanged[position as usize] = true);
        }
        exchanged
    };
    let numbers: Vec<u64> = (0..plan.count).collect();
    let mut permuted = Vec::with_capacity(numbers.len());
    for chunk in numbers.chunks(CHUNK) {
        permuted.extend(statistic(&chunk.iter().map(|number| spread(*number)).collect::<Vec<_>>())?);
    }
    Ok(Some(plan.test(observed, &permuted)))
}

/// Which clusters each permutation exchanges.
struct Exchanges {
    clusters: usize,
    seed: u64,
    count: u64,
    exact: bool,
}

impl Exchanges {
    fn new(clusters: usize, permutations: u32, seed: u64) -> Self {
        let all = 1_u64.checked_shl(clusters.min(64) as u32).filter(|all| *all <= u64::from(permutations));
        Self { clusters, seed, count: all.unwrap_or(u64::from(permutations)), exact: all.is_some() }
    }

    fn pattern(&self, number: u64) -> Vec<bool> {
        if self.exact {
            return (0..self.clusters).map(|cluster| number >> cluster & 1 == 1).collect();
        }
        let mut rng = generator(self.seed, PURPOSE, number);
        let words = self.clusters.div_ceil(32);
        let bits = (0..words).map(|_| rng.next_u32()).flat_map(|word| (0..32).map(move |bit| word >> bit & 1 == 1));
        bits.take(self.clusters).collect()
    }

    fn test(&self, observed: f64, permuted: &[f64]) -> PermutationTest {
        // Equal sums of the same numbers differ in their last digits when they are added with other signs.
        let limit = observed.abs() * (1.0 - 1e-12);
        let extreme = permuted.iter().filter(|value| value.is_nan() || value.abs() >= limit).count() as f64;
        let p = if self.exact { extreme / self.count as f64 } else { (extreme + 1.0) / (self.count as f64 + 1.0) };
        PermutationTest { p, permutations: self.count, exact: self.exact }
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;
    use crate::stats::vectors::{close, vectors};

    #[test]
    fn all_sign_flips_equal_scipy() {
        let cases = vectors().sign_flip;
        assert!(cases.len() >= 3);
        for case in cases {
            let test = sign_flip_test(&case.differences, &Clusters::new(&case.clusters), 1 << 14, 0);
            assert!(test.exact, "{}", case.name);
            close(&case.name, test.p, case.p);
        }
    }

    #[test]
    fn random_sign_flips_equal_an_independent_implementation_of_chacha8() {
        let cases = vectors().random_sign_flip;
        assert!(cases.len() >= 2);
        for case in cases {
            let test = sign_flip_test(&case.differences, &Clusters::new(&case.clusters), case.permutations, case.seed);
            assert_eq!((test.exact, test.permutations), (false, u64::from(case.permutations)), "{}", case.name);
            close(&case.name, test.p, case.p);
        }
    }

    #[test]
    fn exchanging_models_equals_flipping_signs_where_the_statistic_is_a_mean() {
        let (a, b) = ([1.0, 0.0, 1.0, 1.0, 0.0, 1.0], [0.0, 0.0, 1.0, 0.0, 1.0, 0.0]);
        let clusters = Clusters::new(&["p", "q", "p", "r", "s", "t"]);
        let differences: Vec<f64> = a.iter().zip(b).map(|(a, b)| a - b).collect();
        for permutations in [100, 20] {
            let statistic = |patterns: &[Vec<bool>]| {
                let of = |pattern: &Vec<bool>| {
                    let pairs = differences.iter().zip(pattern);
                    pairs.map(|(d, exchanged)| if *exchanged { -d } else { *d }).sum::<f64>() / 6.0
                };
                Ok::<_, Infallible>(patterns.iter().map(of).collect())
            };
            let swapped = swap_test(&clusters, permutations, 5, statistic).expect("infallible");
            assert_eq!(swapped, Some(sign_flip_test(&differences, &clusters, permutations, 5)));
        }
    }

    #[test]
    fn the_number_of_threads_does_not_change_a_p_value() {
        let differences: Vec<f64> = (0..300).map(|i| f64::from(i * 7919 % 101) / 101.0 - 0.45).collect();
        let clusters = Clusters::new(&(0..300).map(|i| i / 2).collect::<Vec<_>>());
        let test = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool");
            pool.install(|| sign_flip_test(&differences, &clusters, 999, 7))
        };
        assert_eq!(test(1), test(4));
    }

    #[test]
    fn an_undefined_statistic_has_no_test_and_an_undefined_permutation_is_extreme() {
        let clusters = Clusters::new(&[0, 1, 2]);
        let undefined = swap_test(&clusters, 10, 0, |p| Ok::<_, Infallible>(vec![f64::NAN; p.len()]));
        assert_eq!(undefined, Ok(None));
        let first_only = |patterns: &[Vec<bool>]| {
            Ok::<_, Infallible>(patterns.iter().map(|p| if p.contains(&true) { f64::NAN } else { 1.0 }).collect())
        };
        assert_eq!(swap_test(&clusters, 10, 0, first_only).expect("infallible").map(|t| t.p), Some(1.0));
    }

    #[test]
    fn equal_models_do_not_differ() {
        let clusters = Clusters::new(&(0..40).collect::<Vec<_>>());
        assert_eq!(sign_flip_test(&[0.0; 40], &clusters, 200, 1).p, 1.0);
    }
}
