//! `medvlm compare`: the same samples, the same draws, the test that fits.

use integration_tests::{Bench, Said};
use serde_json::Value;

const A: &str = "one@dots.test.diagnosis.zero-shot.s0";
const B: &str = "two@dots.test.diagnosis.zero-shot.s0";

/// Two models on 40 pictures; the second fails on picture 3, of an ill patient.
fn bench() -> Bench {
    let bench = Bench::new();
    bench.mock(&[("one", ""), ("two", "behave = \"error\"\npoison = 3")]);
    bench.dots(40);
    bench.suite(&["one", "two"], "diagnosis");
    bench.medvlm(&["run", "suite.toml"]);
    bench
}

fn json(said: Said) -> Value {
    serde_json::from_str(&said.well().out).unwrap()
}

/// Logit margins and labels of a cell, in the order of the samples; a failed sample is worse than every other.
fn margins(bench: &Bench, cell: &str) -> Vec<(f64, bool)> {
    let lines = bench.read(&format!("runs/suite/{cell}/predictions.jsonl"));
    let margin = |line: &str| {
        let line: Value = serde_json::from_str(line).unwrap();
        let ill = line["index"].as_u64().unwrap().is_multiple_of(3);
        let logit = |class: usize| line["logits"][class].as_f64();
        let worst = if ill { f64::NEG_INFINITY } else { f64::INFINITY };
        (logit(1).zip(logit(0)).map_or(worst, |(positive, negative)| positive - negative), ill)
    };
    lines.lines().map(margin).collect()
}

fn area(margins: &[(f64, bool)]) -> f64 {
    let (ill, well): (Vec<_>, Vec<_>) = margins.iter().partition(|(_, ill)| *ill);
    let wins = |a: f64| well.iter().filter(|(b, _)| a > *b).count() as f64;
    ill.iter().map(|(a, _)| wins(*a)).sum::<f64>() / (ill.len() * well.len()) as f64
}

#[test]
fn effects_are_those_of_the_predictions_and_intervals_are_paired() {
    let bench = bench();
    let found = json(bench.medvlm(&["compare", "runs/suite", A, B, "--json"]));
    assert_eq!((found["samples"].as_u64(), found["patients"].as_u64()), (Some(40), Some(20)));
    let metrics = found["metrics"].as_array().unwrap();
    assert_eq!(metrics.len(), 2, "accuracy and auroc: {found:#}");
    let metric = |name: &str| metrics.iter().find(|m| m["metric"] == name).unwrap();
    let number = |metric: &Value, key: &str| metric[key].as_f64().unwrap();

    let auroc = metric("auroc");
    let expected = area(&margins(&bench, B)) - area(&margins(&bench, A));
    assert!((number(auroc, "difference") - expected).abs() < 1e-12, "{auroc}");
    assert!(expected < 0.0, "the failed sample of an ill patient costs area");
    assert_eq!(auroc["test"], "DeLong, clustered by patient");

    let accuracy = metric("accuracy");
    assert_eq!(accuracy["test"], "sign flips of patients");
    for metric in [auroc, accuracy] {
        let (low, high) = (number(metric, "low"), number(metric, "high"));
        assert!(low <= number(metric, "difference") && number(metric, "difference") <= high, "{metric}");
        // One sample of forty differs: unpaired draws would spread far wider.
        assert!(high - low < 0.2, "{metric}");
        let (p, corrected) = (number(metric, "p"), number(metric, "p_corrected"));
        assert!(0.0 < p && p <= corrected && corrected <= 1.0, "{metric}");
    }
    // Holm over two tests: the smaller one is doubled.
    let smallest = metrics.iter().map(|m| number(m, "p")).fold(1.0, f64::min);
    let smallest_corrected = metrics.iter().map(|m| number(m, "p_corrected")).fold(1.0, f64::min);
    assert!((smallest_corrected - (2.0 * smallest).min(1.0)).abs() < 1e-12, "{found:#}");
}

#[test]
fn a_cell_is_named_in_three_ways_and_order_only_turns_the_sign() {
    let bench = bench();
    bench.medvlm(&["run", "suite.toml", "--out", "again"]);
    let (a, b) = (format!("runs/suite/{A}"), format!("again/{B}"));
    let forth = json(bench.medvlm(&["compare", &a, &b, "--json", "--metric", "auroc"]));
    let back = json(bench.medvlm(&["compare", "again", B, "runs/suite", A, "--json", "--scorer", "auroc"]));
    let value = |found: &Value, key: &str| found["metrics"][0][key].as_f64().unwrap();
    assert_eq!(forth["metrics"].as_array().map(Vec::len), Some(1));
    for (key, turned) in [("difference", "difference"), ("low", "high"), ("high", "low")] {
        assert!((value(&forth, key) + value(&back, turned)).abs() < 1e-12, "{forth} is not the reverse of {back}");
    }
    assert_eq!(value(&forth, "p"), value(&back, "p"));
    let said = bench.medvlm(&["compare", &a, &b]).well();
    assert!(said.out.contains("B - A") && said.out.contains("p (Holm)") && said.out.contains("auroc ↑"), "{said:#?}");
}

#[test]
fn the_number_of_threads_changes_nothing_and_options_do() {
    let bench = bench();
    let arguments = ["compare", "runs/suite", A, B, "--json", "--interval", "bca", "--resamples", "200"];
    let said = |threads: &str, more: &[&str]| {
        let output = bench.command().args(arguments).args(more).env("RAYON_NUM_THREADS", threads).output().unwrap();
        Said::from(output).well().out
    };
    let bca = said("1", &[]);
    assert_eq!(bca, said("3", &[]));
    assert!(bca.contains("\"interval\": \"bca\"") && bca.contains("\"resamples\": 200"), "{bca}");
    assert_ne!(bca, said("2", &["--stratified"]));
    let uncorrected: Value = serde_json::from_str(&said("2", &["--correction", "none"])).unwrap();
    let metric = &uncorrected["metrics"][0];
    assert_eq!(metric["p"], metric["p_corrected"]);
}

#[test]
fn a_model_does_not_differ_from_itself() {
    let bench = bench();
    let found = json(bench.medvlm(&["compare", "runs/suite", A, A, "--json"]));
    for metric in found["metrics"].as_array().unwrap() {
        assert_eq!((metric["difference"].as_f64(), metric["p"].as_f64()), (Some(0.0), Some(1.0)), "{metric}");
    }
}

#[test]
fn samples_with_one_picture_a_patient_are_tested_by_mcnemar() {
    let bench = Bench::new();
    bench.mock(&[("one", ""), ("two", "behave = \"error\"\npoison = 3")]);
    bench.dots(40);
    let manifest = bench.read("data/dots.toml").replace("column = \"patient\"", "column = \"file\"");
    bench.write("data/dots.toml", manifest);
    bench.suite(&["one", "two"], "diagnosis");
    bench.medvlm(&["run", "suite.toml"]);
    let found = json(bench.medvlm(&["compare", "runs/suite", A, B, "--json"]));
    let tests: Vec<&Value> = found["metrics"].as_array().unwrap().iter().map(|metric| &metric["test"]).collect();
    assert_eq!(tests, ["McNemar, exact", "DeLong"]);
}

#[test]
fn cells_of_other_samples_or_scorers_are_not_compared() {
    let bench = bench();
    bench.medvlm(&["run", "suite.toml", "--out", "part", "--limit", "38"]);
    bench.medvlm(&["compare", "runs/suite", A, "part", B]).refused(
        2,
        &format!(
            "{A} and {B} do not answer the same samples: 2 differ, such as `38.png`, which only {A} in runs/suite"
        ),
    );
    bench.medvlm(&["compare", "runs/suite", "part"]).refused(2, "runs/suite: has several cells, so name one of");
    bench.medvlm(&["compare", "runs/suite", A, "three@x"]).refused(2, "has no cell `three@x`");
    bench.medvlm(&["compare", "runs/suite", A]).refused(2, "two cells can be compared, and 1 are named");
    bench.medvlm(&["compare", "nowhere", "part"]).refused(2, "`nowhere` is no run directory, and no cell of one");
    let metric = ["compare", "runs/suite", A, B, "--metric", "aurok"];
    bench.medvlm(&metric).refused(2, "the cells share no metric `aurok`; did you mean `auroc`?");

    let file = format!("runs/suite/{A}/metrics.json");
    let metrics = bench.read(&file);
    bench.write(&file, metrics.replacen("\"version\": \"0.", "\"version\": \"7.", 1));
    bench.medvlm(&["compare", "runs/suite", A, B]).refused(2, "score both again with `medvlm score`");
    bench.write(&file, metrics.replace("\"inputs\": \"", "\"inputs\": \"0"));
    bench.medvlm(&["compare", "runs/suite", A, B]).refused(2, "run `medvlm score runs/suite` first");
}

#[test]
fn subgroups_of_a_group_column_are_in_metrics_results_and_report() {
    let bench = Bench::new();
    bench.mock(&[("one", "")]);
    bench.dots(40);
    // Patients 0 to 8 are of one group, 9 to 18 of another, 19 of none.
    let table = bench.read("data/dots/table.csv");
    let group = |patient: u32| match patient {
        0..=8 => "a",
        9..=18 => "b",
        _ => "",
    };
    let lines = table.lines().enumerate().map(|(i, line)| match i {
        0 => format!("{line},ward\n"),
        i => format!("{line},{}\n", group((i as u32 - 1) / 2)),
    });
    bench.write("data/dots/table.csv", lines.collect::<String>());
    let manifest = bench.read("data/dots.toml").replace("image = \"file\"", "image = \"file\"\ngroups = [\"ward\"]");
    bench.write("data/dots.toml", manifest);
    bench.suite(&["one"], "diagnosis");
    bench.medvlm(&["run", "suite.toml"]).well();

    let metrics: Value = serde_json::from_str(&bench.read(&format!("runs/suite/{A}/metrics.json"))).unwrap();
    let auroc = metrics["scorers"].as_array().unwrap().iter().find(|s| s["id"] == "auroc").unwrap();
    let table = &auroc["subgroups"][0];
    assert_eq!((table["column"].as_str(), table["without_value"].as_u64()), (Some("ward"), Some(2)));
    let [small, large] = [0, 1].map(|i| &table["groups"][i]);
    assert_eq!((small["value"].as_str(), small["too_small"].as_bool()), (Some("a"), Some(true)));
    assert_eq!((small["patients"].as_u64(), small["metrics"].as_array().map(Vec::len)), (Some(9), Some(0)));
    assert_eq!((large["samples"].as_u64(), large["patients"].as_u64()), (Some(20), Some(10)));
    let expected = area(&margins(&bench, A)[18..38]);
    let found = &large["metrics"][0];
    assert!((found["value"].as_f64().unwrap() - expected).abs() < 1e-12, "{found} is not {expected}");
    assert!(found["low"].as_f64() <= found["value"].as_f64() && found["value"].as_f64() <= found["high"].as_f64());
    assert_eq!(table["gaps"].as_array().map(Vec::len), Some(0), "one group alone has no gap");

    let results: Value = serde_json::from_str(&bench.read("runs/suite/results.json")).unwrap();
    let groups = results["subgroups"].as_array().unwrap();
    assert!(groups.iter().any(|g| g["group"] == "b" && g["metric"] == "auroc" && g["value"] == found["value"]));
    assert!(bench.read("runs/suite/report.html").contains("too small"));
}
