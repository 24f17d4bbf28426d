//! `medvlm eval`: the flags and files of MedVLMBench.

use integration_tests::Bench;
use serde_json::Value;

fn bench() -> Bench {
    let bench = Bench::new();
    bench.mock(&[("mock", "feature_dim = 32")]);
    bench.dots(24);
    bench
}

/// Columns of a table of one row, in order.
fn row(table: &str) -> Vec<(String, String)> {
    let lines: Vec<Vec<String>> = table.lines().map(|line| line.split(',').map(String::from).collect()).collect();
    let [names, values] = &lines[..] else { panic!("{table}") };
    names.iter().cloned().zip(values.iter().cloned()).collect()
}

#[test]
fn questions_end_in_the_files_of_the_original_beside_ours() {
    let bench = bench();
    let flags = [
        "eval",
        "--task",
        "vqa",
        "--dataset",
        "dots",
        "--split",
        "test",
        "--model",
        "mock",
        "--exp_path",
        "log",
        "--save_pred",
        "--seed",
        "3",
    ];
    let said = bench.medvlm(&flags).well();
    let dir = "log/vqa/dots/mock/eval_seed3/original_pretrained";
    assert!(said.err.contains(&format!("medvlm run {dir}/eval.toml --out {dir}")), "{said:#?}");
    let table = row(&bench.read(&format!("{dir}/results.csv")));
    let names: Vec<&str> = table.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names[..7], ["model", "model_name", "task", "dataset", "model_type", "modality", "size"]);
    assert!(
        names.contains(&"accuracy_closed") && names.contains(&"exact_match") && names.contains(&"f1_overall"),
        "{names:?}"
    );
    let cell = "mock@dots.test.vqa.zero-shot.s3";
    let metrics: Value = serde_json::from_str(&bench.read(&format!("{dir}/{cell}/metrics.json"))).unwrap();
    let compat = metrics["scorers"].as_array().unwrap().iter().find(|s| s["id"] == "medvlmbench-compat").unwrap();
    let accuracy = compat["metrics"].as_array().unwrap().iter().find(|m| m["name"] == "accuracy_closed").unwrap();
    let written = &table.iter().find(|(name, _)| name == "accuracy_closed").unwrap().1;
    assert_eq!(written.parse::<f64>().ok(), accuracy["value"].as_f64());
    assert!(bench.read(&format!("{dir}/report.html")).contains("exact_match"));

    let records: Value = serde_json::from_str(&bench.read(&format!("{dir}/predictions.json"))).unwrap();
    let first = records[0].as_object().unwrap();
    assert_eq!(first.keys().collect::<Vec<_>>(), ["image_path", "question_type", "qs", "answer", "prediction"]);
    assert_eq!((records.as_array().unwrap().len(), &first["answer"]), (24, &"yes".into()));

    // What was written comes back with the same answers and the same numbers.
    let file = format!("{dir}/predictions.json");
    bench.medvlm(&["import", &file, "--dataset", "dots", "--model", "mock", "--seed", "3", "--out", "back"]).well();
    bench.medvlm(&["score", "back"]).well();
    let back: Value = serde_json::from_str(&bench.read(&format!("back/{cell}/metrics.json"))).unwrap();
    let again = back["scorers"].as_array().unwrap().iter().find(|s| s["id"] == "medvlmbench-compat").unwrap();
    assert_eq!(again["metrics"], compat["metrics"]);

    // The same command again predicts nothing.
    let before = bench.files("log");
    let said = bench.medvlm(&flags).well();
    assert!(said.err.contains("24 done") && !said.err.contains("on disk"), "{said:#?}");
    assert_eq!(bench.files("log"), before);
}

#[test]
fn diagnoses_do_too() {
    let bench = bench();
    let flags = [
        "eval",
        "--task",
        "diagnosis",
        "--dataset",
        "dots",
        "--model",
        "mock",
        "--exp-path",
        "log",
        "--save-pred",
        "True",
    ];
    bench.medvlm(&[&flags[..], &["--usage", "clip-zs", "--max_samples", "12"]].concat()).well();
    let dir = "log/diagnosis/dots/mock/eval_seed0/original_pretrained";
    let table = row(&bench.read(&format!("{dir}/results.csv")));
    let names: Vec<&str> = table.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["task", "dataset", "model_type", "modality", "size", "accuracy", "auc"]);
    assert_eq!((table[0].1.as_str(), table[4].1.as_str()), ("binary-class", "12"));
    let records: Value = serde_json::from_str(&bench.read(&format!("{dir}/predictions.json"))).unwrap();
    let records = records.as_array().unwrap();
    // Accuracy once more from the file alone.
    let right = records.iter().filter(|r| r["true_label"] == r["pred_label"]).count();
    assert_eq!(table[5].1.parse::<f64>().ok(), Some(right as f64 / 12.0));
    assert!(records.iter().all(|r| (r["pred_score"].as_f64().unwrap() > 0.5) == (r["pred_label"] == 1)), "{records:?}");
}

#[test]
fn names_that_mean_nothing_name_the_nearest() {
    let bench = bench();
    let eval = |more: &[&str]| bench.medvlm(&[&["eval", "--task", "vqa", "--exp_path", "log"], more].concat());
    eval(&["--dataset", "VQARADD", "--model", "mock"]).refused(2, "unknown dataset `VQARADD`; did you mean `VQA-RAD`?");
    eval(&["--dataset", "dots", "--model", "moc"]).refused(2, "unknown model `moc`; did you mean `mock`?");
    eval(&["--dataset", "dots", "--model", "mock", "--usage", "mdagent"]).refused(2, "asks one model in several roles");
    eval(&["--dataset", "dots", "--model", "mock", "--split", "all"])
        .refused(2, "--split all mixes what is learnt from");
    eval(&["--dataset", "dots", "--model", "mock", "--split", "tests"]).refused(2, "tests");
    eval(&["--dataset", "dots", "--model", "mock", "--model_path", "org/model"])
        .refused(2, "--model_path org/model: no such directory");
    let diagnosis = [
        "eval",
        "--task",
        "diagnosis",
        "--dataset",
        "dots",
        "--model",
        "mock",
        "--usage",
        "lora_lp",
        "--exp_path",
        "log",
    ];
    bench.medvlm(&diagnosis).refused(2, "usage `lora` is not built into this version for `diagnosis`");
    let said = eval(&["--dataset", "dots", "--model", "mock", "--gpt_eval", "--print_freq", "10"]).well();
    assert!(said.err.contains("--gpt_eval does nothing in MedVLMBench"), "{said:#?}");
}
