//! The nearest of many looks, without comparing it with each of them.
//!
//! Looks that differ in at most 40 of 256 bits differ in at most two bits of one of the first nine parts of 16 bits, or in
//! at most one of the other seven: else they differed in 3 x 9 + 2 x 7 = 41. So it is enough to look where a part and its
//! 136 (or 16) nearest neighbours lead.

use crate::dataset::{Look, MAX_SIGNS, Signs};

/// Parts of 16 bits.
const BANDS: usize = 16;
/// Parts of which neighbours that differ in two bits are looked at, in the others in one.
const WIDE: usize = 9;
const _: () = assert!(MAX_SIGNS < 3 * WIDE as u32 + 2 * (BANDS - WIDE) as u32);

/// Looks, found by any 16 of their bits.
pub struct Neighbours {
    looks: Vec<(u32, Look)>,
    /// The signs once more, close together.
    signs: Vec<Signs>,
    tables: Vec<Table>,
    /// What makes a part of its neighbours, the nearest first.
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
        let mut near: Vec<u16> = (0..=u16::MAX).filter(|mask| mask.count_ones() <= 2).collect();
        near.sort_by_key(|mask| mask.count_ones());
        let signs = looks.iter().map(|(_, look)| look.signs).collect();
        Self { looks, signs, tables, near }
    }

    /// The number of the look that is most like another one, the lowest of equals, and in how many bits they differ.
    pub fn nearest(&self, look: &Look) -> Option<(u32, u32)> {
        let mut best: Option<(u32, u32)> = None;
        for (at, table) in self.tables.iter().enumerate() {
            let own = look.signs.part(at);
            let near = if at < WIDE { &self.near } else { &self.near[..=16] };
            for position in near.iter().flat_map(|mask| table.of(own ^ mask)) {
                let distance = look.signs.distance(self.signs[*position as usize]);
                if distance > MAX_SIGNS {
                    continue;
                }
                let (number, other) = &self.looks[*position as usize];
                let candidate = (distance, *number);
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
        looks.iter().for_each(|(_, look)| starts[usize::from(look.signs.part(at)) + 1] += 1);
        for value in 1..starts.len() {
            starts[value] += starts[value - 1];
        }
        let mut next = starts.clone();
        let mut positions = vec![0; looks.len()];
        for (position, (_, look)) in (0u32..).zip(looks) {
            let slot = &mut next[usize::from(look.signs.part(at))];
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
            let one_by_one = looks.iter().map(|(number, other)| (query.signs.distance(other.signs), *number)).min();
            let within = one_by_one.filter(|(distance, _)| *distance <= MAX_SIGNS);
            assert_eq!(index.nearest(&query), within, "{flips}");
        }
        assert_eq!(Neighbours::new(Vec::new()).nearest(&looks[0].1), None);
    }
}
