//! Scorers that do what none should, and files that are no scorers. Each gives one sentence, exit code 3, and the host
//! lives on.

use std::time::Instant;

use super::*;
use crate::error::{INVALID, USAGE};

fn misbehaving(mode: &str) -> Scorer {
    Scorer::load(&ENGINE.0, &component("misbehave"), &format!(r#"{{"mode":"{mode}"}}"#)).expect("loads")
}

/// 600 samples, of which number 300 makes the scorer misbehave.
fn samples() -> Vec<Sample> {
    let prediction = |index| if index == 300 { "now".to_string() } else { String::new() };
    (0..600)
        .map(|index| Sample { index, prediction: prediction(index), meta: "{}".into(), ..Sample::default() })
        .collect()
}

/// The message after path and batch; checks these, the exit code, and that other samples can still be scored.
fn failure(mode: &str) -> String {
    let scorer = misbehaving(mode);
    let error = scorer.score(&samples()).expect_err("misbehaves");
    assert_eq!(error.exit_code(), INVALID);
    let place =
        format!("{}: scorer `misbehave` failed in batch 1 (samples 256..512): ", component("misbehave").display());
    let message = error.to_string();
    assert!(!message.contains('\n'), "{message:?} is one line");
    assert_eq!(scorer.score(&samples()[..300]).expect("a new instance").len(), 300);
    message.strip_prefix(&place).unwrap_or_else(|| panic!("{message:?} does not start with {place:?}")).to_string()
}

/// What the scorer could read.
fn seen(mode: &str) -> String {
    let scores = misbehaving(mode).score(&samples()).expect("scored");
    scores[300].note.clone().expect("a note")
}

#[test]
fn an_endless_loop_runs_out_of_fuel() {
    let start = Instant::now();
    assert_eq!(failure("loop"), "ran out of fuel: an endless loop, or work out of all proportion to its input");
    assert!(start.elapsed().as_secs() < 60);
}

#[test]
fn memory_is_limited() {
    assert_eq!(failure("memory"), "asked for more than 256 MiB of memory");
}

#[test]
fn a_panic_keeps_its_text_and_place() {
    let message = failure("panic");
    assert!(message.starts_with("panicked at "), "{message}");
    assert!(message.contains("src/lib.rs:") && message.ends_with(": sample 300 is cursed"), "{message}");
}

#[test]
fn the_stack_is_limited() {
    assert_eq!(failure("stack"), "overflowed its stack of 512 KiB");
}

#[test]
fn what_was_not_granted_is_named() {
    assert_eq!(failure("exit"), "called `exit`");
    let message = failure("socket");
    assert!(message.starts_with("called `wasi:sockets/"), "{message}");
    assert!(message.ends_with("`, which no scorer is granted"), "{message}");
    let message = failure("sleep");
    assert!(message.starts_with("called `wasi:clocks/monotonic-clock@"), "{message}");
}

#[test]
fn environment_files_and_clock_are_empty() {
    assert_eq!(seen("environment"), "{} 0");
    assert!(seen("file").starts_with("Err("), "{}", seen("file"));
    assert_eq!(seen("clock"), "Ok(0ns)");
    assert_eq!(seen("seed"), seen("seed"));
}

#[test]
fn an_instance_sees_one_batch_only() {
    assert_eq!(seen("count"), (300 - BATCH).to_string());
}

#[test]
fn what_a_scorer_says_is_kept_in_the_order_of_the_batches() {
    let scorer = misbehaving("chatter");
    let mut samples = samples();
    samples[599].prediction = "now".into();
    in_pool(4, || scorer.score(&samples).expect("scored"));
    assert_eq!(scorer.log(), ["[info] hello from sample 300", "[info] hello from sample 599"]);
}

#[test]
fn a_scorer_that_refuses_or_breaks_its_own_metadata_is_told() {
    assert_eq!(failure("refuse"), "bad input: sample 300 is not welcome");
    assert_eq!(failure("not-a-number"), "sample 300: returned a number that is not finite");
    assert_eq!(failure("too-many-values"), "sample 300: returned 2 values, but its metadata names 1");
}

#[test]
fn a_bad_configuration_is_a_usage_error() {
    let error = Scorer::load(&ENGINE.0, &component("misbehave"), r#"{"mood":1}"#).expect_err("unknown key");
    assert_eq!(error.exit_code(), USAGE);
    let message = error.to_string();
    assert!(message.starts_with("scorer `misbehave`: bad configuration: unknown field `mood`"), "{message}");
}

/// Why a file is refused, after its path.
fn refusal(bytes: &[u8]) -> String {
    let dir = tempfile::tempdir().expect("dir");
    let path = dir.path().join("scorer.wasm");
    fs::write(&path, bytes).expect("write");
    let error = Scorer::load(&ENGINE.0, &path, "{}").expect_err("refused");
    assert_eq!(error.exit_code(), INVALID);
    let message = error.to_string();
    assert!(!message.contains('\n'), "{message:?} is one line");
    message.strip_prefix(&format!("{}: ", path.display())).expect("starts with the path").to_string()
}

/// The component with every occurrence of a name replaced by one of the same length.
fn patched(name: &str, from: &str, to: &str) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let mut wasm = fs::read(component(name)).expect("built");
    let places: Vec<usize> =
        wasm.windows(from.len()).enumerate().filter(|(_, w)| *w == from.as_bytes()).map(|(i, _)| i).collect();
    assert!(!places.is_empty(), "{name} does not contain {from}");
    for place in places {
        wasm[place..place + to.len()].copy_from_slice(to.as_bytes());
    }
    wasm
}

#[test]
fn an_import_that_is_not_granted_is_refused_before_anything_runs() {
    let judge = fs::read(component("wants_judge")).expect("built");
    let sentence = "imports `medvlm:scorer/judge` but the suite does not grant it: add a table [judge] with model = \"…\" to the suite";
    assert_eq!(refusal(&judge), sentence);
    let unknown = patched("misbehave", "medvlm:scorer/log@", "medvlm:scorer/key@");
    assert_eq!(refusal(&unknown), "imports `medvlm:scorer/key`, which the host does not have");
    let foreign = patched("misbehave", "medvlm:scorer/log@", "medvln:scorer/log@");
    assert_eq!(refusal(&foreign), "imports `medvln:scorer/log@0.1.0`, which the host does not have");
}

#[test]
fn another_version_of_the_contract_is_refused() {
    let newer = patched("accuracy", "medvlm:scorer/score-api@0.1.0", "medvlm:scorer/score-api@0.2.0");
    assert_eq!(refusal(&newer), "was built for medvlm:scorer 0.2.0 but the host has 0.1.0: rebuild it");
    let other = patched("accuracy", "higher-is-better", "higher-is-bettes");
    let message = refusal(&other);
    assert!(message.starts_with("`describe` does not follow the contract: "), "{message}");
    assert!(message.contains("higher-is-bette"), "{message}");
}

#[test]
fn a_compatible_version_of_the_contract_loads() {
    let dir = tempfile::tempdir().expect("dir");
    let path = dir.path().join("scorer.wasm");
    fs::write(&path, patched("accuracy", "medvlm:scorer/score-api@0.1.0", "medvlm:scorer/score-api@0.1.7"))
        .expect("write");
    let scorer = Scorer::load(&ENGINE.0, &path, "{}").expect("0.1.7 adds to 0.1.0");
    assert_eq!(scorer.score(&diagnoses(3)).expect("scored").len(), 3);
}

#[test]
fn a_damaged_or_missing_file_is_refused() {
    let wasm = fs::read(component("accuracy")).expect("built");
    for length in [9, 1_000, wasm.len() / 2, wasm.len() - 1] {
        let message = refusal(&wasm[..length]);
        assert!(message.starts_with("is a truncated or invalid WebAssembly component: "), "{length}: {message}");
    }
    assert_eq!(refusal(&wasm[..5]), "is no WebAssembly component");
    let error = Scorer::load(&ENGINE.0, Path::new("nowhere/x.wasm"), "{}").expect_err("missing");
    assert!(error.to_string().starts_with("nowhere/x.wasm: "), "{error}");
}
