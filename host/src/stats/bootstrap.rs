//! Patient-clustered bootstrap: images of one patient are not independent, so whole patients are drawn.
//!
//! Source: Davison and Hinkley, *Bootstrap Methods and their Application* (1997), section 3.8, the scheme that
//! resamples clusters and keeps every member.

use std::{
    collections::{BTreeSet, HashMap},
    hash::Hash,
};

use rand_chacha::{
    ChaCha8Rng,
    rand_core::{RngCore, SeedableRng},
};
use rayon::prelude::*;

/// Samples grouped by patient, in the order in which the patients first appear.
#[derive(Debug, Clone)]
pub struct Clusters {
    members: Vec<Vec<u32>>,
}

impl Clusters {
    /// Groups sample positions by key, one key for each sample.
    pub fn new<K: Eq + Hash>(keys: &[K]) -> Self {
        let mut numbers = HashMap::new();
        let mut members: Vec<Vec<u32>> = Vec::new();
        for (position, key) in (0..).zip(keys) {
            let number = *numbers.entry(key).or_insert(members.len());
            if number == members.len() {
                members.push(Vec::new());
            }
            members[number].push(position);
        }
        Self { members }
    }

    /// Number of clusters.
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// True when there is no sample.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Positions of about this share of the clusters, drawn without replacement; at least one cluster, not all of them.
    pub fn share(&self, share: f64, seed: u64) -> BTreeSet<u32> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut order: Vec<usize> = (0..self.members.len()).collect();
        for last in (1..order.len()).rev() {
            order.swap(last, below(&mut rng, last as u32 + 1) as usize);
        }
        let count = ((share * order.len() as f64).round() as usize).clamp(1, order.len().saturating_sub(1).max(1));
        order.into_iter().take(count).flat_map(|cluster| self.members[cluster].iter().copied()).collect()
    }

    /// Draws as many whole clusters as there are, with replacement, and returns the positions of their members.
    ///
    /// A resample depends on nothing but the clusters, `seed` and its own `number`: the key of ChaCha8 is the
    /// seed, its stream the number.
    pub fn resample(&self, seed: u64, number: u64) -> Vec<u32> {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&seed.to_le_bytes());
        let mut rng = ChaCha8Rng::from_seed(key);
        rng.set_stream(number);
        let count = self.members.len() as u32;
        let mut positions = Vec::with_capacity(self.members.iter().map(Vec::len).sum());
        for _ in 0..count {
            positions.extend_from_slice(&self.members[below(&mut rng, count) as usize]);
        }
        positions
    }
}

/// `n` resamples of the samples whose cluster keys are given, numbered from 0; see [`Clusters::resample`].
///
/// The result is the same for any number of threads. It takes `4 * n * clusters.len()` bytes.
pub fn clustered_resamples<K: Eq + Hash>(clusters: &[K], n: usize, seed: u64) -> Vec<Vec<u32>> {
    let clusters = Clusters::new(clusters);
    (0..n as u64).into_par_iter().map(|number| clusters.resample(seed, number)).collect()
}

/// Central interval of a bootstrap distribution, such as `level` 0.95 for the 2.5th and 97.5th percentile.
///
/// Equals `numpy.percentile` with its default linear interpolation. An undefined resample is NaN and is left out;
/// the result is `None` when no resample is defined.
pub fn percentile_interval(values: &[f64], level: f64) -> Option<(f64, f64)> {
    let mut sorted: Vec<f64> = values.iter().copied().filter(|v| !v.is_nan()).collect();
    sorted.sort_unstable_by(f64::total_cmp);
    let tail = (1.0 - level) / 2.0;
    Some((quantile(&sorted, tail)?, quantile(&sorted, 1.0 - tail)?))
}

fn quantile(sorted: &[f64], q: f64) -> Option<f64> {
    let place = q.clamp(0.0, 1.0) * sorted.len().checked_sub(1)? as f64;
    let (low, high) = (sorted[place.floor() as usize], sorted[place.ceil() as usize]);
    let t = place.fract();
    // NumPy counts from the nearer end, which keeps the result monotonic.
    Some(if t < 0.5 { low + (high - low) * t } else { high - (high - low) * (1.0 - t) })
}

/// An unbiased integer in `0..n` (Lemire, *Fast Random Integer Generation in an Interval*, 2019).
///
/// Written out because the draws are part of every published interval and must not move with a library.
fn below(rng: &mut ChaCha8Rng, n: u32) -> u32 {
    loop {
        let product = u64::from(rng.next_u32()) * u64::from(n);
        if product as u32 >= n.wrapping_neg() % n {
            return (product >> 32) as u32;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENTS: [&str; 8] = ["a", "b", "a", "c", "d", "b", "e", "a"];

    #[test]
    fn draws_equal_an_independent_implementation_of_chacha8() {
        let clusters = Clusters::new(&PATIENTS);
        assert_eq!(clusters.resample(42, 0), [0, 2, 7, 1, 5, 0, 2, 7, 1, 5, 1, 5]);
        assert_eq!(clusters.resample(42, 1), [6, 4, 1, 5, 1, 5, 1, 5]);
        assert_eq!(clusters.resample(42, 7), [4, 0, 2, 7, 6, 3, 1, 5]);
        assert_eq!(clusters.resample((1 << 40) + 5, 3), [6, 1, 5, 1, 5, 1, 5, 1, 5]);
    }

    #[test]
    fn the_number_of_threads_does_not_change_a_draw() {
        let keys: Vec<u32> = (0..500).map(|i| i / 3).collect();
        let draw = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool");
            pool.install(|| clustered_resamples(&keys, 200, 9))
        };
        assert_eq!(draw(1), draw(4));
    }

    #[test]
    fn patients_are_drawn_whole_and_equally_often() {
        let keys: Vec<u32> = (0..30).map(|i| i / 3).collect();
        let mut seen = [0_u32; 30];
        for resample in clustered_resamples(&keys, 4_000, 1) {
            assert_eq!(resample.len(), 30);
            assert!(resample.chunks(3).all(|c| c[0] % 3 == 0 && c[1] == c[0] + 1 && c[2] == c[0] + 2));
            resample.iter().for_each(|&i| seen[i as usize] += 1);
        }
        // Each patient is drawn 4,000 times on average, with a standard deviation of 60.
        assert!(seen.iter().all(|&n| n.abs_diff(4_000) < 300), "{seen:?}");
    }

    #[test]
    fn no_samples_give_empty_resamples() {
        assert_eq!(clustered_resamples::<u32>(&[], 2, 0), [[0_u32; 0]; 2]);
    }

    #[test]
    fn intervals_equal_numpy() {
        let values = [0.35, 0.24, f64::NAN, 1.0, 0.64, 0.0, 0.19, 0.16, 0.01, 0.06];
        for (level, low, high) in LEVELS {
            let got = percentile_interval(&values, level).expect("defined values");
            assert!((got.0 - low).abs() < 1e-14 && (got.1 - high).abs() < 1e-14, "{level}: {got:?}");
        }
        assert_eq!(percentile_interval(&[f64::NAN], 0.95), None);
        assert_eq!(percentile_interval(&[0.5], 0.95), Some((0.5, 0.5)));
    }

    /// `numpy.percentile(values, [50 * (1 - level), 50 * (1 + level)])`.
    const LEVELS: [(f64, f64, f64); 3] = [
        (0.95, 0.0020000000000000018, 0.9279999999999999),
        (0.9, 0.003999999999999999, 0.8559999999999999),
        (0.5, 0.06, 0.35),
    ];
}
