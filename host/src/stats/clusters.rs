//! Samples of one patient are not independent, so whole patients are drawn, left out or exchanged.
//!
//! Source: Davison and Hinkley, *Bootstrap Methods and their Application* (1997), section 3.8, the scheme that
//! resamples clusters and keeps every member.

use std::{
    collections::{HashMap, HashSet},
    hash::Hash,
};

use rand_chacha::{
    ChaCha8Rng,
    rand_core::{RngCore, SeedableRng},
};

/// Samples grouped by patient, in the order in which the patients first appear.
#[derive(Debug, Clone)]
pub struct Clusters {
    members: Vec<Vec<u32>>,
    /// Numbers of the clusters that are drawn for each other.
    strata: Vec<Vec<u32>>,
}

impl Clusters {
    /// Groups sample positions by key, one key for each sample.
    pub fn new<K: Eq + Hash>(keys: &[K]) -> Self {
        Self::of_members(grouped(keys))
    }

    /// The same clusters, but each draw takes as many of every stratum as there are. A cluster's stratum is the set of
    /// the classes of its members, one class for each sample.
    pub fn stratified<C: Ord + Hash>(self, classes: &[C]) -> Self {
        let stratum = |members: &Vec<u32>| {
            let mut set: Vec<&C> = members.iter().filter_map(|&position| classes.get(position as usize)).collect();
            set.sort_unstable();
            set.dedup();
            set
        };
        let strata = grouped(&self.members.iter().map(stratum).collect::<Vec<_>>());
        Self { strata, ..self }
    }

    /// The clusters among some samples; members keep their positions. Strata are forgotten.
    pub fn within(&self, positions: &[u32]) -> Self {
        let kept: HashSet<u32> = positions.iter().copied().collect();
        let members = self.members.iter().map(|m| m.iter().copied().filter(|p| kept.contains(p)).collect::<Vec<_>>());
        Self::of_members(members.filter(|m| !m.is_empty()).collect())
    }

    /// Number of clusters.
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// True when there is no sample.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Number of samples.
    pub fn samples(&self) -> usize {
        self.members.iter().map(Vec::len).sum()
    }

    /// The positions of each cluster.
    pub fn members(&self) -> &[Vec<u32>] {
        &self.members
    }

    /// Every position once, ascending.
    pub fn positions(&self) -> Vec<u32> {
        let mut positions: Vec<u32> = self.members.iter().flatten().copied().collect();
        positions.sort_unstable();
        positions
    }

    /// Positions of about this share of the clusters, drawn without replacement; at least one cluster, not all of them.
    pub fn share(&self, share: f64, seed: u64) -> HashSet<u32> {
        let mut rng = generator(seed, 2, 0);
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
        let mut rng = generator(seed, 0, number);
        let mut positions = Vec::with_capacity(self.samples());
        for stratum in &self.strata {
            let count = stratum.len() as u32;
            for _ in 0..count {
                let cluster = stratum[below(&mut rng, count) as usize];
                positions.extend_from_slice(&self.members[cluster as usize]);
            }
        }
        positions
    }

    /// The positions that remain without each cluster in turn, ascending: what a jackknife is computed on.
    pub fn leave_one_out(&self) -> impl Iterator<Item = Vec<u32>> {
        let positions = self.positions();
        self.members.iter().map(move |left_out| {
            positions.iter().copied().filter(|position| left_out.binary_search(position).is_err()).collect()
        })
    }

    fn of_members(members: Vec<Vec<u32>>) -> Self {
        let everyone: Vec<u32> = (0..members.len() as u32).collect();
        Self { strata: if everyone.is_empty() { Vec::new() } else { vec![everyone] }, members }
    }
}

/// ChaCha8 with the key `(seed, purpose)` and the stream `number`, so that no two purposes share their chances.
pub(super) fn generator(seed: u64, purpose: u64, number: u64) -> ChaCha8Rng {
    let mut key = [0; 32];
    key[..8].copy_from_slice(&seed.to_le_bytes());
    key[8..16].copy_from_slice(&purpose.to_le_bytes());
    let mut rng = ChaCha8Rng::from_seed(key);
    rng.set_stream(number);
    rng
}

/// The positions of each key, in the order in which the keys first appear.
fn grouped<K: Eq + Hash>(keys: &[K]) -> Vec<Vec<u32>> {
    let mut numbers = HashMap::new();
    let mut members: Vec<Vec<u32>> = Vec::new();
    for (position, key) in (0..).zip(keys) {
        let number = *numbers.entry(key).or_insert(members.len());
        if number == members.len() {
            members.push(Vec::new());
        }
        members[number].push(position);
    }
    members
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
    use rayon::prelude::*;

    use super::*;

    fn clustered_resamples<K: Eq + Hash>(clusters: &[K], n: usize, seed: u64) -> Vec<Vec<u32>> {
        let clusters = Clusters::new(clusters);
        (0..n as u64).into_par_iter().map(|number| clusters.resample(seed, number)).collect()
    }

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
    fn a_stratified_draw_keeps_the_number_of_patients_of_each_stratum() {
        // Patients a and e have both classes, b and d one, c the other.
        let keys = ["a", "a", "b", "c", "d", "e", "e", "c"];
        let classes = [0, 1, 0, 1, 0, 1, 0, 1];
        let clusters = Clusters::new(&keys).stratified(&classes);
        let strata = [vec![0, 1, 5, 6], vec![2, 4], vec![3, 7]];
        let mut drawn = std::collections::BTreeSet::new();
        for number in 0..200 {
            let resample = clusters.resample(3, number);
            let counts = strata.each_ref().map(|s| resample.iter().filter(|p| s.contains(p)).count());
            assert_eq!(counts, [4, 2, 2]);
            drawn.insert(resample);
        }
        // Two of two and two of two patients with their order, and the one of its own stratum.
        assert_eq!(drawn.len(), 16);
    }

    #[test]
    fn part_of_the_samples_keeps_its_positions() {
        let clusters = Clusters::new(&PATIENTS).within(&[2, 3, 7]);
        assert_eq!(clusters.members(), [vec![2, 7], vec![3]]);
        assert_eq!((clusters.len(), clusters.samples(), clusters.positions()), (2, 3, vec![2, 3, 7]));
        assert!(clusters.resample(0, 0).iter().all(|p| [2, 3, 7].contains(p)));
    }

    #[test]
    fn a_jackknife_leaves_out_one_patient_at_a_time() {
        let left: Vec<Vec<u32>> = Clusters::new(&["a", "b", "a", "c"]).leave_one_out().collect();
        assert_eq!(left, [vec![1, 3], vec![0, 2, 3], vec![0, 1, 2]]);
    }

    #[test]
    fn no_samples_give_empty_resamples() {
        assert_eq!(clustered_resamples::<u32>(&[], 2, 0), [[0_u32; 0]; 2]);
    }
}
