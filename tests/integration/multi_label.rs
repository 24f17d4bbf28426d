//! Diagnoses in which any number of labels applies.

use integration_tests::Bench;
use serde_json::Value;

/// `dots` with two labels of their own in a table beside the pictures.
fn bench(splits: &str) -> Bench {
    let bench = Bench::new();
    bench.mock(&[("mock", "feature_dim = 16")]);
    bench.dots(24);
    let rows: String = (0..24).map(|i| format!("{i}.png,p{i},{},{}\n", label(0, i), label(1, i))).collect();
    bench.write("data/dots/labels.csv", format!("file,patient,Edema,Fracture\n{rows}"));
    let class =
        |name: &str| format!("[[class]]\nname = \"{name}\"\ncolumn = \"{name}\"\nprompts.published = [\"{name}\"]\n");
    let head = "title = \"labels\"\ncitation = \"\"\nlicence = \"\"\naccess = \"open\"\nobtain = \"\"\nbundled = \"dots\"\n\
                reader = \"csv\"\nfiles = [\"labels.csv\"]\nfields = { image = \"file\" }\n\
                patient = [{ column = \"patient\" }]\n[diagnosis]\nmulti_label = true\nuncertain_values = [\"-1\"]\n";
    let tail = "[scorers]\ndiagnosis = [\"accuracy\", \"auroc\", \"calibration\"]\n";
    bench.write("data/labels.toml", format!("{head}{}{}{splits}{tail}", class("Edema"), class("Fracture")));
    bench
}

/// 1 where a label applies, -1 where it is uncertain.
fn label(class: u32, picture: u32) -> i32 {
    match (class, picture) {
        (0, 7) => -1,
        (0, _) => i32::from(picture.is_multiple_of(3)),
        _ => i32::from(picture.is_multiple_of(2)),
    }
}

fn run(bench: &Bench, usage: &str) -> Value {
    let allowed =
        "[[allow_leak]]\ntrain = 'labels.train'\ntest = 'labels.test'\nreason = 'they are the same pictures'\n";
    bench
        .write("suite.toml", format!("models = ['mock']\nusages = ['{usage}']\n[[dataset]]\nid = 'labels'\n{allowed}"));
    bench.medvlm(&["run", "suite.toml"]).well();
    let cell = format!("runs/suite/mock@labels.test.diagnosis.{usage}.s0");
    serde_json::from_str(&bench.read(&format!("{cell}/metrics.json"))).unwrap()
}

#[test]
fn each_label_is_a_question_of_its_own() {
    let bench = bench("[splits.test]\nuncertain = \"zeros\"\n");
    let metrics = run(&bench, "zero-shot");
    let predictions = bench.read("runs/suite/mock@labels.test.diagnosis.zero-shot.s0/predictions.jsonl");
    let right = predictions.lines().filter(|line| {
        let line: Value = serde_json::from_str(line).unwrap();
        let picture = line["index"].as_u64().unwrap() as u32;
        (0..2).all(|class| (line["logits"][class as usize].as_f64().unwrap() >= 0.0) == (label(class, picture) == 1))
    });
    let accuracy = metrics["scorers"][0]["metrics"][0]["value"].as_f64().unwrap();
    assert!((accuracy - right.count() as f64 / 24.0).abs() < 1e-12, "{metrics}");
    assert!(metrics["scorers"][1]["metrics"][0]["value"].is_f64(), "{metrics}");
    assert!(bench.read("runs/suite/report.html").contains("Edema"));
}

#[test]
fn a_linear_probe_learns_each_label() {
    let bench = bench("[splits.train]\n[splits.test]\n");
    run(&bench, "linear-probe");
    let config = bench.read("runs/suite/mock@labels.test.diagnosis.linear-probe.s0/adapter/adapter_config.json");
    assert!(config.contains("\"multi_label\": true"), "{config}");
    bench.write("suite.toml", "models = ['mock']\nusages = ['clip-adapter']\n[[dataset]]\nid = 'labels'\n");
    bench.medvlm(&["run", "suite.toml"]).refused(2, "`clip-adapter` has one class a sample, `labels` has any number");
}

#[test]
fn labels_that_stay_unknown_are_refused_before_a_model_is_asked() {
    let bench = bench("[splits.test]\nuncertain = \"ignore\"\n");
    bench.write("suite.toml", "models = ['mock']\n[[dataset]]\nid = 'labels'\n");
    bench.medvlm(&["run", "suite.toml"]).refused(2, "leaves the truth of 1 classes open");
}
