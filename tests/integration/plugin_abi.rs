//! Libraries that are no plugins, and plugins that misbehave: each costs one sentence or one sample, never the host.

use std::{fs, path::Path, process::Command};

use integration_tests::{Bench, Said, root};
use serde_json::Value;

/// Runs `check` on a library that some change was made to.
fn check(change: impl FnOnce(&Bench, &Path)) -> Said {
    let bench = Bench::new();
    let library = bench.mock(&[("mock", "")]);
    change(&bench, &library);
    bench.medvlm(&["check", "plugins/mock.so"])
}

fn replace(library: &Path, from: &[u8], to: &[u8]) {
    let mut bytes = fs::read(library).unwrap();
    let mut at = 0;
    let mut count = 0;
    while let Some(found) = bytes[at..].windows(from.len()).position(|w| w == from) {
        bytes[at + found..at + found + to.len()].copy_from_slice(to);
        at += found + from.len();
        count += 1;
    }
    assert!(count > 0, "nothing to replace");
    fs::write(library, bytes).unwrap();
}

#[test]
fn a_good_plugin_passes() {
    let said = check(|_, _| {}).well();
    assert!(said.out.contains("architecture mock") && said.out.ends_with("ok\n"), "{said:#?}");
    assert!(said.out.contains("zero-shot answers 2 logits an image, alone as in a batch"), "{said:#?}");
}

#[test]
fn a_missing_library_is_named() {
    check(|_, library| fs::remove_file(library).unwrap())
        .refused(3, "plugins/mock.so: no plugin library can be read there (No such file");
}

#[test]
fn a_library_that_its_manifest_does_not_describe_is_refused_before_it_is_mapped() {
    let with_head = |bench: &Bench, library: &Path, bytes: u64, hash: &str| {
        let head = format!("[plugin]\nlibrary = \"mock.so\"\nbytes = {bytes}\nblake3 = \"{hash}\"\n");
        bench.write("plugins/mock.toml", head);
        fs::metadata(library).unwrap().len()
    };
    check(|bench, library| {
        with_head(bench, library, 12, "00");
    })
    .refused(3, "bytes where its manifest records 12: it is truncated or was replaced");
    check(|bench, library| {
        let size = with_head(bench, library, 0, "");
        with_head(bench, library, size, "00");
    })
    .refused(3, "is not the one that its manifest records (BLAKE3 differs)");
}

#[test]
fn a_truncated_library_without_a_manifest_is_refused_and_a_corrupt_one_kills_a_child_only() {
    let changed = |change: &dyn Fn(Vec<u8>) -> Vec<u8>| {
        check(|bench, library| {
            fs::remove_file(bench.path("plugins/mock.toml")).unwrap();
            fs::write(library, change(fs::read(library).unwrap())).unwrap();
        })
    };
    for keep in [0.3, 0.6, 0.9, 0.999] {
        let cut = |bytes: Vec<u8>| bytes[..(bytes.len() as f64 * keep) as usize].to_vec();
        changed(&cut).refused(3, "the library ends before its section table: it is truncated");
    }
    // Without a section table, only mapping the file shows that it is cut.
    let cut_unseen = |mut bytes: Vec<u8>| {
        bytes.truncate(bytes.len() / 8);
        bytes[0x28..0x30].fill(0);
        bytes
    };
    let said = changed(&cut_unseen);
    assert_eq!(said.code, Some(3), "{said:#?}");
    assert!(said.err.contains("plugins/mock.so"), "{said:#?}");
    changed(&|_| Vec::new()).refused(3, "not a loadable library");
    changed(&|_| b"a text file\n".to_vec()).refused(3, "not a loadable library");
}

#[test]
fn a_library_of_another_abi_says_so_first() {
    check(|_, library| replace(library, b"1.0.0", b"2.0.0"))
        .refused(3, "built for plugin ABI 2.0.0, this host has 1.0.0");
}

#[test]
fn a_newer_minor_version_of_the_abi_loads() {
    check(|_, library| replace(library, b"1.0.0", b"1.7.0")).well();
}

#[test]
fn a_library_that_is_no_plugin_is_told_apart() {
    let said = check(|bench, library| {
        let source = bench.write("plain.c", "int answer(void) { return 42; }\n");
        let built = Command::new("cc").args(["-shared", "-o"]).arg(library).arg(source).status().unwrap();
        assert!(built.success());
    });
    said.refused(3, "a library, but no medvlm plugin: it does not call `export_plugin!`");
}

#[test]
fn a_library_that_hangs_while_it_is_mapped_does_not_hang_the_host() {
    let bench = Bench::new();
    fs::create_dir_all(bench.path("plugins")).unwrap();
    let source = bench.write("hang.c", "__attribute__((constructor)) static void hang(void) { for (;;) {} }\n");
    let library = bench.path("plugins/hang.so");
    assert!(Command::new("cc").args(["-shared", "-o"]).arg(&library).arg(source).status().unwrap().success());
    let said = bench.medvlm(&["check", "plugins/hang.so", "--timeout", "0.5"]);
    said.refused(3, "cannot be mapped (the worker did not answer within 0.5 s and was ended)");
}

#[test]
fn a_plugin_without_architectures_is_refused() {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), Into::into);
    let empty = target.join("debug/examples/libempty.so");
    let said = check(|_, library| {
        fs::copy(&empty, library).unwrap();
    });
    said.refused(3, "the plugin has no architectures: call `register!`");
}

#[test]
fn a_row_for_an_unknown_architecture_names_the_nearest() {
    let said = check(|bench, _| {
        bench.write("plugins/mock.toml", "[[model]]\nid = \"m\"\narchitecture = \"mok\"\n");
    });
    said.refused(3, "model `m` wants architecture `mok`; did you mean `mock`?");
}

/// Runs one misbehaving model on 12 samples of which one is poisonous, and returns the failed ones.
fn failures(task: &str, options: &str, flags: &[&str]) -> Vec<(u64, String)> {
    let bench = Bench::new();
    bench.mock(&[("bad", options)]);
    bench.dots(12);
    bench.suite(&["bad"], task);
    let said = bench.medvlm(&[&["run", "suite.toml", "--batch-size", "8"], flags].concat());
    let predictions = bench.read(&format!("runs/suite/bad@dots.test.{task}.zero-shot.s0/predictions.jsonl"));
    let lines: Vec<Value> = predictions.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 12, "{said:#?}");
    let failed: Vec<(u64, String)> =
        lines.iter().filter_map(|line| Some((line["index"].as_u64()?, line["error"].as_str()?.to_string()))).collect();
    assert_eq!(said.code, Some(i32::from(!failed.is_empty())), "{said:#?}");
    failed
}

/// One poisonous sample costs itself: index 5, whose pictures are red 5.
fn one_failure(options: &str, sentence: &str) {
    let failed = failures("diagnosis", &format!("poison = 5\n{options}"), &["--timeout", "5"]);
    assert_eq!(failed.len(), 1, "{failed:?}");
    assert_eq!(failed[0].0, 5);
    assert!(failed[0].1.contains(sentence), "{failed:?}");
}

#[test]
fn an_error_a_panic_and_broken_numbers_cost_one_sample() {
    one_failure("behave = \"error\"", "this sample is poisonous");
    one_failure("behave = \"panic\"", "the plugin panicked: as the row says");
    one_failure("behave = \"nan\"", "a logit that is not a finite number");
    one_failure("behave = \"wrong-shape\"", "the model returned 0 rows for 1 images");
}

#[test]
fn a_dead_worker_costs_one_sample() {
    one_failure("behave = \"abort\"", "the worker died of an abort (signal 6)");
    one_failure("behave = \"kill\"", "the worker died of a kill (out of memory, or by hand) (signal 9)");
    one_failure("behave = \"overflow\"", "the worker died of");
}

#[test]
fn a_hanging_worker_costs_one_sample() {
    let failed = failures("diagnosis", "poison = 5\nbehave = \"hang\"", &["--timeout", "0.5"]);
    assert_eq!(failed, [(5, "the worker did not answer within 0.5 s and was ended".to_string())]);
}

#[test]
fn a_crash_that_does_not_come_back_costs_nothing() {
    let bench = Bench::new();
    let marker = bench.path("marker");
    let options = format!("behave = \"abort\"\npoison = 5\nonce = {:?}", marker.to_string_lossy());
    assert_eq!(failures("diagnosis", &options, &[]), []);
    assert!(marker.exists(), "the model did misbehave");
}

#[test]
fn a_plugin_that_prints_or_is_slow_is_a_good_plugin() {
    assert_eq!(failures("diagnosis", "behave = \"print\"", &[]), []);
    assert_eq!(failures("diagnosis", "behave = \"slow\"", &[]), []);
}

#[test]
fn generation_loses_only_the_poisonous_request() {
    let failed = failures("vqa", "poison = \"picture 7 \"\nbehave = \"abort\"", &[]);
    assert_eq!(failed, [(7, "the worker died of an abort (signal 6)".to_string())]);
    let failed = failures("vqa", "poison = \"picture 7 \"\nbehave = \"wrong-shape\"", &[]);
    assert_eq!(failed, [(7, "the model left 1 of 1 requests unanswered".to_string())]);
}
