//! A model with random weights in the shape of CLIP runs over every diagnosis dataset, laid out as published.

mod copies;

use std::{collections::BTreeSet, fs};

use integration_tests::{Bench, dist, root};
use serde_json::Value;

#[test]
fn clip_runs_over_every_diagnosis_dataset() {
    let bench = Bench::new();
    let known: BTreeSet<String> = copies::all().iter().map(|(id, _)| id.to_string()).collect();
    assert_eq!(known, manifests(), "every diagnosis manifest has its copy");

    let mut suite = String::from("models = [\"clip\"]\nbootstrap = { resamples = 20 }\n");
    suite.push_str(&format!("[weights]\nclip = \"{}\"\n", root().join("tests/parity/clip/modern").display()));
    for (id, lay_out) in copies::all() {
        lay_out(&copies::Copy { bench: &bench, id });
        let split = if id.starts_with("chexpert") { "validation" } else { "test" };
        let root = bench.path(&format!("copies/{id}"));
        suite.push_str(&format!(
            "[[dataset]]\nid = \"{id}\"\ntask = \"diagnosis\"\nsplit = \"{split}\"\nroot = \"{}\"\n",
            root.display()
        ));
    }
    bench.write("suite.toml", suite);
    let mut command = bench.command();
    command.env("MEDVLM_PLUGIN_PATH", dist().join("plugins")).env("MEDVLM_DATASET_PATH", dist().join("data"));
    integration_tests::Said::from(command.args(["run", "suite.toml"]).output().unwrap()).well();

    for (id, _) in copies::all() {
        let split = if id.starts_with("chexpert") { "validation" } else { "test" };
        let cell = format!("runs/suite/clip@{id}.{split}.diagnosis.zero-shot.s0");
        let predictions = bench.read(&format!("{cell}/predictions.jsonl"));
        assert!(!predictions.is_empty(), "{id}");
        for line in predictions.lines() {
            let line: Value = serde_json::from_str(line).unwrap();
            let logits = line["logits"].as_array().unwrap_or_else(|| panic!("{id}: {line}"));
            assert!(logits.len() > 1 && logits.iter().all(Value::is_f64), "{id}: {line}");
        }
        let metrics: Value = serde_json::from_str(&bench.read(&format!("{cell}/metrics.json"))).unwrap();
        assert_eq!(metrics["samples"], predictions.lines().count(), "{id}: {metrics}");
    }
}

/// The manifests that ask for a diagnosis, but for the bundled ones.
fn manifests() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(root().join("data")).unwrap().flatten() {
        let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
        let Some(id) = name.strip_suffix(".toml").filter(|id| !id.starts_with("phantom")) else { continue };
        if fs::read_to_string(path).unwrap().contains("\n[[class]]") {
            found.insert(id.to_string());
        }
    }
    found
}
