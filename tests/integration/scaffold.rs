//! `medvlm new`: projects that build outside the workspace and drop in beside the host as it is.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use integration_tests::{Bench, root};
use serde_json::Value;

fn cargo(dir: &Path, target: &Path, arguments: &[&str]) {
    let output = Command::new("cargo")
        .current_dir(dir)
        .args(arguments)
        .env("CARGO_TARGET_DIR", target)
        // The toolchain of the workspace, not whatever is the default outside of it.
        .env("RUSTUP_TOOLCHAIN", toolchain())
        .output()
        .unwrap();
    assert!(output.status.success(), "cargo {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

fn toolchain() -> String {
    let file: toml::Table = fs::read_to_string(root().join("rust-toolchain.toml")).unwrap().parse().unwrap();
    file["toolchain"]["channel"].as_str().unwrap().into()
}

/// The one file with this ending in a directory.
fn only(dir: &Path, ending: &str) -> PathBuf {
    let mut found: Vec<PathBuf> = fs::read_dir(dir)
        .unwrap()
        .flatten()
        .map(|e| e.path())
        .filter(|p| p.to_string_lossy().ends_with(ending))
        .collect();
    assert_eq!(found.len(), 1, "{found:?}");
    found.remove(0)
}

#[test]
fn a_new_plugin_scorer_and_dataset_build_outside_and_run_together() {
    let bench = Bench::new();
    // Kept between runs, so that the contract's dependencies are compiled once.
    let kept =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from).join("scaffold");
    for (kind, name) in [("plugin", "third-party"), ("scorer", "true-probability"), ("dataset", "shades")] {
        bench.medvlm(&["new", kind, name]).well();
    }
    bench.medvlm(&["new", "plugin", "third-party"]).refused(2, "third-party exists already");

    let target = kept.join("plugin");
    cargo(&bench.path("third-party"), &target, &["build", "--release"]);
    fs::create_dir_all(bench.path("plugins")).unwrap();
    fs::copy(only(&target.join("release"), ".so"), bench.path("plugins/third-party.so")).unwrap();
    fs::copy(bench.path("third-party/models.toml"), bench.path("plugins/third-party.toml")).unwrap();
    let checked = bench.medvlm(&["check", "plugins/third-party.so"]).well();
    assert!(checked.out.contains("zero-shot answers 2 logits an image, alone as in a batch"), "{checked:#?}");

    let target = kept.join("scorer");
    cargo(&bench.path("true-probability"), &target, &["test"]);
    cargo(&bench.path("true-probability"), &target, &["build", "--release", "--target", "wasm32-wasip2"]);
    fs::create_dir_all(bench.path("scorers")).unwrap();
    let component = only(&target.join("wasm32-wasip2/release"), ".wasm");
    fs::copy(component, bench.path("scorers/true-probability.wasm")).unwrap();

    let data = bench.medvlm(&["data", "check", "shades", "--dataset-dir", "shades"]).well();
    assert!(data.out.contains("test diagnosis: 4 samples, expected 4"), "{data:#?}");

    bench.write(
        "suite.toml",
        "models = ['third-party']\nscorers = ['accuracy', 'auroc', 'true-probability']\n[[dataset]]\nid = 'shades'\n",
    );
    let run = ["run", "suite.toml", "--dataset-dir", "shades", "--scorer-dir", "scorers", "--json"];
    bench.medvlm(&run).well();
    let cell = "runs/suite/third-party@shades.test.diagnosis.zero-shot.s0";
    let metrics: Value = serde_json::from_str(&bench.read(&format!("{cell}/metrics.json"))).unwrap();
    let value = |scorer: usize| metrics["scorers"][scorer]["metrics"][0]["value"].as_f64().unwrap();
    // The example scores the first class, `dark`, by brightness: it is wrong about every picture, and says so.
    assert_eq!((value(0), value(1)), (0.0, 0.0), "{metrics}");
    assert!((0.0..0.5).contains(&value(2)), "{metrics}");
}
