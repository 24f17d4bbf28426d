//! Re-scoring 100,000 predictions, and 1,000 bootstrap resamples: `cargo bench -p medvlm --bench scorer`. With the
//! argument `texts`, only the scorers of texts, as components and natively.

use criterion::{Criterion, criterion_group};
use medvlm::scorer::{Engine, Sample, SampleScore, Scorer};

#[path = "../src/scorer/guests.rs"]
mod guests;
#[path = "scorer/texts.rs"]
mod texts;

const PREDICTIONS: u32 = 100_000;

fn load(name: &str) -> Scorer {
    let engine = Engine::new(None).expect("engine");
    Scorer::load(&engine, &guests::component(name), "{}").expect("a valid scorer")
}

/// Answers of the length of a report sentence, to closed and open questions.
fn answers() -> Vec<Sample> {
    let sample = |index| Sample {
        index,
        prediction: format!("The image shows a small left-sided pleural effusion, grade {}.", index % 7),
        references: vec!["small left sided pleural effusion grade 3".into(), "effusion".into()],
        meta: format!(r#"{{"question":"What does the image show?","closed":{}}}"#, index % 2 == 0),
        ..Sample::default()
    };
    (0..PREDICTIONS).map(sample).collect()
}

fn diagnoses(count: u32) -> Vec<Sample> {
    let logit = |i: u32| f64::from(i.wrapping_mul(2_654_435_761) >> 12);
    let sample = |index| Sample {
        index,
        logits: vec![1.5, logit(index) / 1e6],
        labels: vec![index % 2],
        references: vec!["effusion".into()],
        meta: r#"{"sex":"F","age":63}"#.into(),
        ..Sample::default()
    };
    (0..count).map(sample).collect()
}

fn resamples(size: u32) -> Vec<Vec<u32>> {
    let random = |i: u32| (u64::from(i.wrapping_mul(2_654_435_761)) * u64::from(size)) >> 32;
    let draw = |draw: u32| (0..size).map(|i| if draw == 0 { i } else { random(draw * size + i) as u32 }).collect();
    (0..=1_000).map(draw).collect()
}

fn benches(c: &mut Criterion) {
    let mut group = c.benchmark_group("scorer");
    group.sample_size(10);
    for (name, samples) in [("accuracy", diagnoses(PREDICTIONS)), ("exact-match", answers())] {
        let scorer = load(name);
        group.bench_function(format!("{name}: 100,000 predictions"), |b| {
            b.iter(|| scorer.score(&samples).expect("scored"))
        });
    }
    for size in [1_000, 20_000] {
        for name in ["accuracy", "auroc"] {
            let scorer = load(name);
            let scores: Vec<SampleScore> = scorer.score(&diagnoses(size)).expect("scored");
            let resamples = resamples(size);
            group.bench_function(format!("{name}: 1,000 resamples of {size}"), |b| {
                b.iter(|| scorer.aggregate(&scores, &resamples).expect("aggregated"));
            });
        }
    }
    let path = guests::component("auroc");
    let cache = tempfile::tempdir().expect("dir");
    let warm = Engine::new(Some(cache.path().into())).expect("engine");
    group.bench_function("load, cached code", |b| {
        b.iter(|| Scorer::load(&warm, &path, "{}").expect("a valid scorer"));
    });
    let cold = Engine::new(None).expect("engine");
    group.bench_function("load, compiling", |b| b.iter(|| Scorer::load(&cold, &path, "{}").expect("a valid scorer")));
    group.finish();
}

criterion_group!(scorer, benches);

fn main() {
    let mut names = std::env::args().skip(1).filter(|argument| !argument.starts_with('-'));
    if names.all(|name| name == "texts") {
        texts::compare();
    }
    scorer();
    Criterion::default().configure_from_args().final_summary();
}
