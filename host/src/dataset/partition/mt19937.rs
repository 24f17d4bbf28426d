//! NumPy's `RandomState`, as far as scikit-learn's splits need it: the Mersenne Twister with NumPy's seeding,
//! bounded integers and shuffle (`numpy/random/src/mt19937/mt19937.c`, `_shuffle_raw` in `mtrand.pyx`).

const SIZE: usize = 624;
const PERIOD: usize = 397;

/// The generator behind `numpy.random.RandomState(seed)`.
pub struct RandomState {
    state: [u32; SIZE],
    next: usize,
}

impl RandomState {
    /// Seeds as NumPy does with an integer.
    pub fn new(seed: u32) -> Self {
        let mut state = [seed; SIZE];
        for i in 1..SIZE {
            let last = state[i - 1];
            state[i] = 1_812_433_253_u32.wrapping_mul(last ^ (last >> 30)).wrapping_add(i as u32);
        }
        Self { state, next: SIZE }
    }

    /// `permutation(count)`: the integers below `count`, shuffled.
    pub fn permutation(&mut self, count: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..count).collect();
        for last in (1..count).rev() {
            order.swap(last, self.at_most(last as u32) as usize);
        }
        order
    }

    /// A uniform integer of `0..=max`: draws under the smallest mask that covers `max`, until one fits.
    fn at_most(&mut self, max: u32) -> u32 {
        let mask = u32::MAX.checked_shr(max.leading_zeros()).unwrap_or_default();
        loop {
            let value = self.next_u32() & mask;
            if value <= max {
                return value;
            }
        }
    }

    fn next_u32(&mut self) -> u32 {
        if self.next == SIZE {
            self.refill();
        }
        let mut word = self.state[self.next];
        self.next += 1;
        word ^= word >> 11;
        word ^= (word << 7) & 0x9d2c_5680;
        word ^= (word << 15) & 0xefc6_0000;
        word ^ (word >> 18)
    }

    fn refill(&mut self) {
        for i in 0..SIZE {
            let mixed = (self.state[i] & 0x8000_0000) | (self.state[(i + 1) % SIZE] & 0x7fff_ffff);
            let twist = if mixed & 1 == 1 { 0x9908_b0df } else { 0 };
            self.state[i] = self.state[(i + PERIOD) % SIZE] ^ (mixed >> 1) ^ twist;
        }
        self.next = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permutations_are_numpys() {
        // numpy.random.RandomState(seed).permutation(10)
        assert_eq!(RandomState::new(0).permutation(10), [2, 8, 4, 9, 1, 6, 7, 3, 0, 5]);
        assert_eq!(RandomState::new(42).permutation(10), [8, 1, 5, 0, 7, 2, 9, 4, 3, 6]);
        assert_eq!(RandomState::new(0).permutation(1), [0]);
        assert!(RandomState::new(0).permutation(0).is_empty());
    }

    #[test]
    fn long_permutations_are_numpys() {
        // sum(i * p for i, p in enumerate(numpy.random.RandomState(seed).permutation(n)))
        for (seed, n, expected) in GOLDEN {
            let order = RandomState::new(seed).permutation(n);
            let sum: u64 = order.iter().zip(0u64..).map(|(p, i)| i * *p as u64).sum();
            assert_eq!(sum, expected, "seed {seed}, {n}");
        }
    }

    const GOLDEN: [(u32, usize, u64); 4] = [
        (0, 4_366, 20_963_877_936),
        (0, 65_537, 70_276_656_756_129),
        (42, 1_000, 251_374_799),
        (4_294_967_295, 5_000, 31_208_466_603),
    ];
}
