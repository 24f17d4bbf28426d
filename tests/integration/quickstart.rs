//! What the demonstration shows: both bundled models are good in their domain and not out of it.

use std::{env, fs, path::Path};

use integration_tests::{Bench, root};
use serde_json::Value;

#[test]
fn the_bundled_models_know_their_domain_and_no_other() {
    let results = results();
    let number = |model: &str, modality: &str, task: &str, metric: &str| {
        let cell = format!("{model}@phantom-{modality}.test.{task}.zero-shot.s0");
        let found = |number: &&Value| number["cell"] == *cell && number["metric"] == metric;
        let number = results["numbers"].as_array().unwrap().iter().find(found);
        let number = number.unwrap_or_else(|| panic!("{cell} has no {metric}"));
        assert_eq!(number["failed"], 0, "{cell}");
        number["value"].as_f64().unwrap()
    };
    let both = |modality: &str| {
        let auroc = number("phantom-clip", modality, "diagnosis", "auroc");
        let closed = number("phantom-vlm", modality, "vqa", "closed_accuracy");
        let bleu = number("phantom-vlm", modality, "caption", "bleu_4");
        println!("{modality}: AUROC {auroc:.3}, closed accuracy {closed:.3}, BLEU-4 {bleu:.3}");
        (auroc, closed, bleu)
    };
    for (auroc, closed, bleu) in ["chest", "fundus"].map(both) {
        assert!(auroc > 0.85 && closed > 0.7 && bleu > 0.3);
    }
    for (auroc, closed, bleu) in ["skin", "tissue"].map(both) {
        assert!(auroc < 0.7 && closed < 0.6 && bleu < 0.2);
    }
}

/// Of the run that `cargo xtask test` made just before, or of one that is made now.
fn results() -> Value {
    let read = |dir: &Path| serde_json::from_slice(&fs::read(dir.join("results.json")).unwrap()).unwrap();
    if let Some(report) = env::var_os("MEDVLM_REPORT") {
        return read(Path::new(&report).parent().unwrap());
    }
    let bench = Bench::new();
    let suite = root().join("suites/quickstart.toml");
    bench.medvlm(&["run", suite.to_str().unwrap(), "--out", "run"]).well();
    read(&bench.path("run"))
}
