//! Fitting a linear probe on 10,000 feature vectors of 768 values, with every L2 strength and 2,000 more to choose by:
//! `cargo bench -p medvlm --bench probe`. `RAYON_NUM_THREADS` sets the cores.

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use medvlm::adapter::{Examples, LinearProbe, STRENGTHS};
use rand_chacha::{
    ChaCha8Rng,
    rand_core::{RngCore, SeedableRng},
};

const COLUMNS: usize = 768;

struct Data {
    features: Vec<f32>,
    labels: Vec<Vec<u32>>,
}

impl Data {
    /// Bell-shaped features in scales from 0.01 to 10, a tenth of which tells the classes apart.
    fn new(seed: u64, count: u32, classes: u32) -> Self {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let labels: Vec<Vec<u32>> = (0..count).map(|_| vec![random.next_u32() % classes]).collect();
        let mut feature = |label: u32, column: usize| {
            let noise: f32 = (0..4).map(|_| random.next_u32() as f32 / u32::MAX as f32 - 0.5).sum();
            let shift = if column.is_multiple_of(10) { (label * 7 % 5) as f32 * 0.05 } else { 0.0 };
            (noise + shift) * 10f32.powi(column as i32 % 4 - 2)
        };
        let features = labels.iter().flat_map(|label| (0..COLUMNS).map(|c| feature(label[0], c)).collect::<Vec<_>>());
        Self { features: features.collect(), labels }
    }

    fn examples(&self) -> Examples<'_> {
        Examples { columns: COLUMNS, features: &self.features, labels: &self.labels }
    }
}

fn fits(c: &mut Criterion) {
    let mut group = c.benchmark_group("linear probe of 10,000 x 768");
    group.sample_size(10);
    for classes in [2, 7] {
        let (train, validation) = (Data::new(1, 10_000, classes), Data::new(2, 2_000, classes));
        group.bench_function(BenchmarkId::new("classes", classes), |bencher| {
            let fit = || LinearProbe::fit(train.examples(), validation.examples(), classes as usize, false, &STRENGTHS);
            bencher.iter(fit);
        });
    }
    group.finish();
}

criterion_group!(benches, fits);
criterion_main!(benches);
