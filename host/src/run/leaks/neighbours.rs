//! The nearest of many looks, without comparing it with each of them.
//!
//! Looks that differ in less than 48 of 256 bits differ in at most two of some 16 of them, so that it is enough to look
//! where those 16 bits and their 136 nearest neighbours lead.

use crate::dataset::{Look, MAX_SIGNS};

/// Parts of 16 bits.
const BANDS: usize = 16;
/// Differing bits of the part that leads to a neighbour.
const RADIUS: u32 = 2;
const _: () = assert!(MAX_SIGNS < BANDS as u32 * (RADIUS + 1));

/// Looks, found by any 16 of their bits.
pub struct Neighbours {
    looks: Vec<(u32, Look)>,
    tables: Vec<Table>,
    near: Vec<u16>,
}

/// Positions by the value of one band, those of value `v` from `starts[v]` to `starts[v + 1]`.
struct Table {
    starts: Vec<u32>,
    positions: Vec<u32>,
}

impl Neighbours {
    /// Of looks with numbers.
    pub fn new(looks: Vec<(u32, Look)>) -> Self {
        let tables = if looks.is_empty() { Vec::new() } else { (0..BANDS).map(|at| Table::new(&looks, at)).collect() };
        let near = (0..=u16::MAX).filter(|mask| mask.count_ones() <= RADIUS).collect();
        Self { looks, tables, near }
    }

    /// The number of the look that is most like another one, the lowest of equals, and in how many bits they differ.
    pub fn nearest(&self, look: &Look) -> Option<(u32, u32)> {
        let mut best: Option<(u32, u32)> = None;
        for (at, table) in self.tables.iter().enumerate() {
            let own = band(look, at);
            for position in self.near.iter().flat_map(|mask| table.of(own ^ mask)) {
                let (number, other) = &self.looks[*position as usize];
                let candidate = (look.distance(other), *number);
                if best.is_none_or(|best| candidate < best) && look.is_like(other) {
                    best = Some(candidate);
                }
            }
        }
        best
    }
}

impl Table {
    fn new(looks: &[(u32, Look)], at: usize) -> Self {
        let mut starts = vec![0u32; usize::from(u16::MAX) + 2];
        looks.iter().for_each(|(_, look)| starts[usize::from(band(look, at)) + 1] += 1);
        for value in 1..starts.len() {
            starts[value] += starts[value - 1];
        }
        let mut next = starts.clone();
        let mut positions = vec![0; looks.len()];
        for (position, (_, look)) in (0u32..).zip(looks) {
            let slot = &mut next[usize::from(band(look, at))];
            positions[*slot as usize] = position;
            *slot += 1;
        }
        Self { starts, positions }
    }

    fn of(&self, value: u16) -> &[u32] {
        let value = usize::from(value);
        &self.positions[self.starts[value] as usize..self.starts[value + 1] as usize]
    }
}

fn band(look: &Look, at: usize) -> u16 {
    (look.signs[at / 4] >> (16 * (at % 4))) as u16
}

#[cfg(test)]
mod tests {
    use rand_chacha::{
        ChaCha8Rng,
        rand_core::{RngCore, SeedableRng},
    };

    use super::*;

    #[test]
    fn nothing_within_the_limit_is_missed() {
        let mut random = ChaCha8Rng::seed_from_u64(1);
        let mut bytes = vec![0; Look::BYTES];
        let mut look = |from: Option<&Look>, flips: u32| {
            match from {
                Some(look) => bytes.copy_from_slice(&look.to_bytes()),
                None => random.fill_bytes(&mut bytes[..32]),
            }
            for _ in 0..flips {
                let bit = random.next_u32() as usize % 256;
                bytes[bit / 8] ^= 1 << (bit % 8);
            }
            Look::from_bytes(&bytes).expect("a look")
        };
        let looks: Vec<(u32, Look)> = (0..2000).map(|number| (number, look(None, 0))).collect();
        let index = Neighbours::new(looks.clone());
        for flips in 0..60 {
            let query = look(Some(&looks[usize::try_from(flips).expect("small") * 31].1), flips);
            let one_by_one = looks.iter().map(|(number, other)| (query.distance(other), *number)).min();
            let within = one_by_one.filter(|(distance, _)| *distance <= MAX_SIGNS);
            assert_eq!(index.nearest(&query), within, "{flips}");
        }
        assert_eq!(Neighbours::new(Vec::new()).nearest(&looks[0].1), None);
    }
}
