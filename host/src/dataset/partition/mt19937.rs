//! The Mersenne Twister behind NumPy's `RandomState` and Python's `random`, as far as published splits need them
//! (`numpy/random/src/mt19937/mt19937.c`, `_shuffle_raw` in `mtrand.pyx`; `Modules/_randommodule.c`, `Lib/random.py`).

const SIZE: usize = 624;
const PERIOD: usize = 397;

/// `numpy.random.RandomState(seed)`.
pub struct RandomState(Twister);

/// Python's `random.Random(seed)`.
pub struct PythonRandom(Twister);

struct Twister {
    state: [u32; SIZE],
    next: usize,
}

impl RandomState {
    /// Seeds as NumPy does with an integer.
    pub fn new(seed: u32) -> Self {
        Self(Twister::new(seed))
    }

    /// `permutation(count)`: the integers below `count`, shuffled.
    pub fn permutation(&mut self, count: usize) -> Vec<usize> {
        shuffled(count, |last| self.at_most(last))
    }

    /// A uniform integer of `0..=max`: draws under the smallest mask that covers `max`, until one fits.
    fn at_most(&mut self, max: u32) -> u32 {
        let mask = u32::MAX.checked_shr(max.leading_zeros()).unwrap_or_default();
        loop {
            let value = self.0.next_u32() & mask;
            if value <= max {
                return value;
            }
        }
    }
}

impl PythonRandom {
    /// Seeds as Python does with an integer: as a key of one word.
    pub fn new(seed: u32) -> Self {
        let mut twister = Twister::new(19_650_218);
        let state = &mut twister.state;
        let mut i = 1;
        for step in 0..2 * SIZE - 1 {
            let mixed = state[i - 1] ^ (state[i - 1] >> 30);
            state[i] = match step < SIZE {
                true => (state[i] ^ mixed.wrapping_mul(1_664_525)).wrapping_add(seed),
                false => (state[i] ^ mixed.wrapping_mul(1_566_083_941)).wrapping_sub(i as u32),
            };
            i += 1;
            if i == SIZE {
                state[0] = state[SIZE - 1];
                i = 1;
            }
        }
        state[0] = 0x8000_0000;
        Self(twister)
    }

    /// `shuffle(list(range(count)))`.
    pub fn permutation(&mut self, count: usize) -> Vec<usize> {
        shuffled(count, |last| self.below(last + 1))
    }

    /// `_randbelow(end)`: draws as many high bits as `end` has, until they are below it.
    fn below(&mut self, end: u32) -> u32 {
        loop {
            let value = self.0.next_u32() >> end.leading_zeros();
            if value < end {
                return value;
            }
        }
    }
}

/// The integers below `count`, shuffled from the last; `draw` gives a position of `0..=last`.
fn shuffled(count: usize, mut draw: impl FnMut(u32) -> u32) -> Vec<usize> {
    let mut order: Vec<usize> = (0..count).collect();
    for last in (1..count).rev() {
        order.swap(last, draw(last as u32) as usize);
    }
    order
}

impl Twister {
    fn new(seed: u32) -> Self {
        let mut state = [seed; SIZE];
        for i in 1..SIZE {
            let last = state[i - 1];
            state[i] = 1_812_433_253_u32.wrapping_mul(last ^ (last >> 30)).wrapping_add(i as u32);
        }
        Self { state, next: SIZE }
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
    fn shuffles_are_pythons() {
        // order = list(range(10)); random.Random(seed).shuffle(order)
        assert_eq!(PythonRandom::new(0).permutation(10), [7, 8, 1, 5, 3, 4, 2, 0, 9, 6]);
        assert_eq!(PythonRandom::new(42).permutation(10), [7, 3, 2, 8, 5, 6, 9, 4, 0, 1]);
        assert_eq!(PythonRandom::new(42).permutation(1), [0]);
        assert!(PythonRandom::new(42).permutation(0).is_empty());
    }

    #[test]
    fn long_permutations_are_numpys_and_pythons() {
        // sum(i * p for i, p in enumerate(numpy.random.RandomState(seed).permutation(n)))
        for (seed, n, expected) in NUMPY {
            assert_eq!(sum(&RandomState::new(seed).permutation(n)), expected, "seed {seed}, {n}");
        }
        // order = list(range(n)); random.Random(seed).shuffle(order); sum(i * p for i, p in enumerate(order))
        for (seed, n, expected) in PYTHON {
            assert_eq!(sum(&PythonRandom::new(seed).permutation(n)), expected, "seed {seed}, {n}");
        }
    }

    fn sum(order: &[usize]) -> u64 {
        order.iter().zip(0u64..).map(|(p, i)| i * *p as u64).sum()
    }

    const NUMPY: [(u32, usize, u64); 4] = [
        (0, 4_366, 20_963_877_936),
        (0, 65_537, 70_276_656_756_129),
        (42, 1_000, 251_374_799),
        (4_294_967_295, 5_000, 31_208_466_603),
    ];

    const PYTHON: [(u32, usize, u64); 3] =
        [(42, 2_000, 1_971_270_380), (1, 4_366, 20_714_093_483), (4_294_967_295, 65_537, 70_326_709_661_131)];
}
