//! The scorers of texts, as components and as the same code natively, on one thread each.

use std::time::{Duration, Instant};

use medvlm::scorer::{Engine, Sample, Scorer};
use scorer_kit::{SampleScore, Score, Scorer as Native};

use super::guests;

const ROUNDS: usize = 3;

/// A set of predictions: its name, how many there are, and the least and the greatest number of words.
type Set = (&'static str, u32, usize, usize);

/// 100,000 predictions.
const SETS: [Set; 2] = [("answers", 80_000, 1, 9), ("captions", 20_000, 30, 50)];

/// One scorer's name, and how it scores and aggregates natively.
type Entry = (&'static str, fn(&[scorer_kit::Sample]) -> Vec<Option<f64>>);

const SCORERS: [Entry; 10] = [
    ("exact-match", native::<scorer_exact_match::ExactMatch>),
    ("token-f1", native::<scorer_token_f1::TokenF1>),
    ("bleu", native::<scorer_bleu::Bleu>),
    ("rouge", native::<scorer_rouge::Rouge>),
    ("meteor", native::<scorer_meteor::Meteor>),
    ("cider", native::<scorer_cider::Cider>),
    ("closed-accuracy", native::<scorer_closed_accuracy::ClosedAccuracy>),
    ("open-accuracy", native::<scorer_open_accuracy::OpenAccuracy>),
    ("choice-letter", native::<scorer_choice_letter::ChoiceLetter>),
    ("medvlmbench-compat", native::<scorer_medvlmbench_compat::Compat>),
];

/// Prints the time of each scorer on each set, the best of a few rounds, and how many times longer the component takes.
///
/// With `--test` it only compares the metrics of a few predictions.
#[allow(clippy::print_stdout, reason = "a bench reports its figures")]
pub fn compare() {
    let only_test = std::env::args().any(|argument| argument == "--test");
    let (part, rounds) = if only_test { (100, 1) } else { (1, ROUNDS) };
    let components = guests::build(&SCORERS.map(|(name, _)| name));
    let engine = Engine::new(None).expect("engine");
    let one_thread = rayon::ThreadPoolBuilder::new().num_threads(1).build().expect("a pool");
    println!("{:<32} {:>10} {:>10} {:>6}", "", "component", "native", "ratio");
    let mut all = (Duration::ZERO, Duration::ZERO);
    for (set, size, least, most) in SETS {
        let samples: Vec<Sample> = (0..size / part).map(|index| sample(index, least, most)).collect();
        let native_samples: Vec<scorer_kit::Sample> = samples.iter().map(to_native).collect();
        let everything = vec![(0..size / part).collect::<Vec<u32>>()];
        let mut sum = (Duration::ZERO, Duration::ZERO);
        for (name, native) in SCORERS {
            let file = components.join(format!("scorer_{}.wasm", name.replace('-', "_")));
            let scorer = Scorer::load(&engine, &file, "{}").expect("a valid scorer");
            let (component, metrics) = best(rounds, || {
                one_thread.install(|| {
                    let scores = scorer.score(&samples).expect("scored");
                    scorer.aggregate(&scores, &everything).expect("aggregated").remove(0)
                })
            });
            let (native, expected) = best(rounds, || native(&native_samples));
            assert!(close(&metrics, &expected), "{name}: the component has {metrics:?}, the native code {expected:?}");
            report(&format!("{set}: {name}"), component, native);
            sum = (sum.0 + component, sum.1 + native);
        }
        report(&format!("{set}: all"), sum.0, sum.1);
        all = (all.0 + sum.0, all.1 + sum.1);
    }
    report("all", all.0, all.1);
}

#[allow(clippy::print_stdout, reason = "a bench reports its figures")]
fn report(name: &str, component: Duration, native: Duration) {
    let (component, native) = (component.as_secs_f64(), native.as_secs_f64());
    println!("{name:<32} {component:>8.3} s {native:>8.3} s {:>6.2}", component / native);
}

fn native<S: Native>(samples: &[scorer_kit::Sample]) -> Vec<Option<f64>> {
    let scorer: S = serde_json::from_str("{}").expect("a valid configuration");
    let score = |sample: &scorer_kit::Sample| {
        let Score { values, statistics, note } = scorer.score(sample).expect("scored");
        SampleScore { index: sample.index, values, statistics, note }
    };
    let scores: Vec<SampleScore> = samples.iter().map(score).collect();
    scorer.aggregate(&scores, &[(0..samples.len() as u32).collect()]).expect("aggregated").remove(0)
}

/// Equal but for what platforms make of logarithms and exponentials.
fn close(metrics: &[Option<f64>], expected: &[Option<f64>]) -> bool {
    let equal = |(a, b): (&Option<f64>, &Option<f64>)| match (a, b) {
        (Some(a), Some(b)) => (a - b).abs() < 1e-7,
        _ => a == b,
    };
    metrics.len() == expected.len() && metrics.iter().zip(expected).all(equal)
}

fn best<T>(rounds: usize, work: impl Fn() -> T) -> (Duration, T) {
    let timed = |_| {
        let start = Instant::now();
        let result = work();
        (start.elapsed(), result)
    };
    (0..rounds).map(timed).min_by_key(|(time, _)| *time).expect("at least one round")
}

const WORDS: &[&str] = &[
    "the",
    "left",
    "right",
    "lung",
    "lobe",
    "pleural",
    "effusion",
    "small",
    "large",
    "normal",
    "heart",
    "is",
    "no",
    "yes",
    "of",
    "with",
    "opacity",
    "consolidation",
    "in",
    "lower",
    "upper",
    "enlarged",
    "calcified",
    "nodules",
    "there",
    "are",
    "CT",
    "MRI",
    "(T2-weighted)",
    "pneumothorax,",
    "mediastinum",
    "unchanged.",
];

/// A prediction whose reference shares most of its words; of short ones, half answer closed or multiple-choice questions.
fn sample(index: u32, least: usize, most: usize) -> Sample {
    let mut state = u64::from(index) + 1;
    let mut random = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    };
    let length = least + random(most + 1 - least);
    let reference: Vec<&str> = (0..length).map(|_| WORDS[random(WORDS.len())]).collect();
    let mut keep = |word: &&'static str| if random(4) == 0 { WORDS[random(WORDS.len())] } else { *word };
    let mut prediction = reference.iter().map(&mut keep).collect::<Vec<_>>().join(" ");
    prediction.push('.');
    let closed = index.is_multiple_of(2);
    let (reference, options) = match index % 4 {
        0 if most < 10 => (["yes", "no"][random(2)].to_string(), "[]"),
        1 if most < 10 => ("lung".into(), r#"["heart","lung","pleural effusion","none of these"]"#),
        _ => (reference.join(" "), "[]"),
    };
    Sample {
        index,
        prediction,
        references: vec![reference],
        meta: format!(r#"{{"question":"What does the image show?","closed":{closed},"options":{options}}}"#),
        ..Sample::default()
    }
}

fn to_native(sample: &Sample) -> scorer_kit::Sample {
    scorer_kit::Sample {
        prediction: sample.prediction.clone(),
        references: sample.references.clone(),
        meta: sample.meta.clone(),
        ..scorer_kit::sample(sample.index)
    }
}
