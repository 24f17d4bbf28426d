//! Plugins in C and C++, compiled by the system's compiler: good ones run, bad ones cost one sentence or one sample.

use std::{io::ErrorKind, process::Command};

use integration_tests::{Bench, Said, root};
use serde_json::Value;

const MODEL: &str = "[[model]]\nid = \"brightness\"\narchitecture = \"brightness\"\n";

/// A workplace with a plugin compiled from one of the sources beside this file; none without the compiler.
#[allow(clippy::print_stderr, reason = "a skipped test says so")]
fn bench(source: &str, define: &str) -> Option<Bench> {
    let bench = Bench::new();
    bench.write("plugins/brightness.toml", MODEL);
    let source = root().join("tests/integration/c_door").join(source);
    let (compiler, standard) = match source.extension().and_then(|e| e.to_str()) {
        Some("cpp") => ("c++", "-std=c++17"),
        _ => ("cc", "-std=c11"),
    };
    let output = Command::new(compiler)
        .args([standard, "-Wall", "-Wextra", "-Werror", "-pedantic", "-shared", "-fPIC", "-fvisibility=hidden", define])
        .arg("-I")
        .arg(root().join("plugin-api/c"))
        .arg("-o")
        .arg(bench.path("plugins/brightness.so"))
        .arg(&source)
        .output();
    match output {
        Err(e) if e.kind() == ErrorKind::NotFound => {
            eprintln!("skipped: there is no `{compiler}`");
            None
        }
        output => {
            let output = output.unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            Some(bench)
        }
    }
}

/// Runs `check` on a variant of misbehaving.c.
fn check(variant: &str) -> Said {
    bench("misbehaving.c", &format!("-DVARIANT={variant}")).unwrap().medvlm(&["check", "plugins/brightness.so"])
}

/// Runs the model of a workplace on 12 samples, in batches of 8.
fn predictions(bench: &Bench, task: &str) -> Vec<Value> {
    bench.dots(12);
    bench.suite(&["brightness"], task);
    let said = bench.medvlm(&["run", "suite.toml", "--batch-size", "8"]);
    assert!(said.code.is_some_and(|code| code < 2), "{said:#?}");
    let file = format!("runs/suite/brightness@dots.test.{task}.zero-shot.s0/predictions.jsonl");
    let lines: Vec<Value> = bench.read(&file).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 12, "{said:#?}");
    let failed = lines.iter().any(|line| line["error"].is_string());
    assert_eq!(said.code, Some(i32::from(failed)), "{said:#?}");
    lines
}

/// The samples that failed, with their reasons.
fn failures(bench: &Bench, task: &str) -> Vec<(u64, String)> {
    let failure = |line: &Value| Some((line["index"].as_u64()?, line["error"].as_str()?.to_string()));
    predictions(bench, task).iter().filter_map(failure).collect()
}

/// One poisonous sample costs itself: index 5, whose pictures are red 5.
fn one_failure(bench: &Bench, sentence: &str) {
    let failed = failures(bench, "diagnosis");
    assert_eq!(failed.len(), 1, "{failed:?}");
    assert_eq!(failed[0].0, 5, "{failed:?}");
    assert!(failed[0].1.contains(sentence), "`{sentence}` is not in {failed:?}");
}

#[test]
fn a_plugin_in_c_drops_in_beside_the_host() {
    let bench = bench("brightness.c", "-DNDEBUG").unwrap();
    let checked = bench.medvlm(&["check", "plugins/brightness.so"]).well();
    assert!(checked.out.starts_with("brightness 1.0.0 for plugin ABI C 1: loads\n"), "{checked:#?}");
    assert!(checked.out.contains("zero-shot answers 2 logits an image, alone as in a batch"), "{checked:#?}");
    for (index, line) in predictions(&bench, "diagnosis").iter().enumerate() {
        let logits: Vec<f64> = line["logits"].as_array().unwrap().iter().map(|l| l.as_f64().unwrap()).collect();
        // Red is the index, green and blue are ramps with these means.
        let mean = (index as f64 + 80.0 + 90.0) / 3.0;
        assert!((logits[0] - mean).abs() < 1e-4 && logits[1] == 0.0, "{line}");
    }
}

#[test]
fn a_table_is_checked_before_anything_is_called() {
    check("GOOD").well();
    check("WRONG_VERSION").refused(3, "built for plugin ABI C 2, this host has C 1");
    check("TOO_SMALL").refused(3, "`medvlm_plugin_v1` says that it has 40 bytes where plugin ABI C 1 has 48");
    check("NULL_CALL").refused(3, "`medvlm_plugin_v1` has a null pointer for `call`");
}

#[test]
fn a_plugin_that_describes_itself_badly_is_refused() {
    check("NULL_INFO").refused(3, "what `info_json` returns is a null pointer");
    check("BINARY_INFO").refused(3, "what `info_json` returns is not UTF-8");
    check("EMPTY_INFO").refused(3, "the plugin has no architectures: `info_json` lists none");
}

#[test]
fn an_error_of_open_is_passed_on() {
    check("OPEN_FAILS").refused(3, "no lamp for brightness with {");
}

#[test]
fn a_bad_call_costs_one_sample_and_every_reply_is_freed_once() {
    let variant = |variant: &str, sentence: &str| {
        one_failure(&bench("misbehaving.c", &format!("-DVARIANT={variant}")).unwrap(), sentence);
    };
    variant("CALL_FAILS", "this picture is poisonous");
    variant("FAILS_SILENTLY", "the plugin failed with code 77 and said nothing");
    variant("CANCELS_UNASKED", "the plugin failed with code 6 and said nothing");
    variant("HUGE_SHAPE", "array 0 of a reply has shape [1099511627776, 1099511627776]");
    variant("WRONG_RANK", "array 0 of a reply has rank 4000000000, 4 at most");
    variant("NULL_ARRAYS", "a reply of 1 arrays at a null pointer");
    variant("BINARY_HEADER", "the header of a reply is not UTF-8");
}

#[test]
fn answers_are_handed_over_as_they_finish() {
    let talks = bench("misbehaving.c", "-DVARIANT=TALKS").unwrap();
    assert!(predictions(&talks, "vqa").iter().all(|line| line["text"] == "yes"));
}

#[test]
fn the_hosts_reason_to_stop_comes_back() {
    let talks = bench("misbehaving.c", "-DVARIANT=TALKS_OUT_OF_TURN").unwrap();
    let failed = failures(&talks, "vqa");
    assert_eq!(failed.len(), 12, "{failed:?}");
    assert!(failed.iter().all(|(_, e)| e.contains("answer 99 was not asked for, or came twice")), "{failed:?}");
}

#[test]
fn a_model_in_this_process_is_closed_once() {
    let bench = bench("misbehaving.c", "-DVARIANT=GOOD").unwrap();
    let said = bench.medvlm(&["check", "plugins/brightness.so", "--in-process"]).well();
    assert_eq!(said.err.matches("a model is closed\n").count(), 1, "{said:#?}");
}

#[test]
fn an_exception_in_cpp_costs_one_sample() {
    let Some(caught) = bench("throwing.cpp", "-DCAUGHT") else { return };
    one_failure(&caught, "picture 5 was thrown");
    let uncaught = bench("throwing.cpp", "-DUNCAUGHT").unwrap();
    one_failure(&uncaught, "the worker died of an abort (signal 6)");
}
