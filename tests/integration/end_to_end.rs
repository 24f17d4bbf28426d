//! The whole flow on the mock plugin, and what it writes.

use std::fs;

use integration_tests::Bench;
use serde_json::Value;

const CELL: &str = "runs/suite/mock@dots.test.diagnosis.zero-shot.s0";

fn bench() -> Bench {
    let bench = Bench::new();
    bench.mock(&[("mock", "")]);
    bench.dots(40);
    bench.suite(&["mock"], "diagnosis");
    bench
}

#[test]
fn a_suite_ends_in_predictions_scores_metrics_and_a_report() {
    let bench = bench();
    let said = bench.medvlm(&["run", "suite.toml"]).well();
    assert!(said.out.contains("auroc") && said.out.contains("report: "), "{said:#?}");
    assert_eq!(bench.read(&format!("{CELL}/predictions.jsonl")).lines().count(), 40);
    assert_eq!(bench.read(&format!("{CELL}/scores.jsonl")).lines().count(), 80);
    let metrics: Value = serde_json::from_str(&bench.read(&format!("{CELL}/metrics.json"))).unwrap();
    assert_eq!((metrics["samples"].as_u64(), metrics["patients"].as_u64()), (Some(40), Some(20)));
    let auroc = &metrics["scorers"][1]["metrics"][0];
    let [low, value, high] = ["low", "value", "high"].map(|key| auroc[key].as_f64().unwrap());
    assert!(0.0 <= low && low < value && value < high && high <= 1.0, "{auroc}");
    assert!(bench.read("runs/suite/report.html").contains("</html>"));
}

#[test]
fn the_run_record_names_versions_and_digests_of_every_part() {
    let bench = bench();
    bench.medvlm(&["run", "suite.toml"]).well();
    let record: Value = serde_json::from_str(&bench.read("runs/suite/run.json")).unwrap();
    assert_eq!(record["plugin_abi"], "1.0.0");
    let cell = &record["cells"]["mock@dots.test.diagnosis.zero-shot.s0"];
    let parts = ["model.library", "model.row", "dataset.manifest", "dataset.files", "dataset.prompts"];
    let digests =
        parts.map(|part| &cell[part]).into_iter().chain(["accuracy", "auroc"].map(|id| &record["scorers"][id]));
    for digest in digests {
        assert!(digest.as_str().is_some_and(|d| d.len() == 32), "{record}");
    }
}

/// Accuracy and AUROC recomputed here from the predictions and the table, without any of the host's code.
#[test]
fn the_metrics_are_those_of_the_predictions() {
    let bench = bench();
    bench.medvlm(&["run", "suite.toml"]).well();
    let margins: Vec<(f64, bool)> = bench
        .read(&format!("{CELL}/predictions.jsonl"))
        .lines()
        .map(|line| {
            let line: Value = serde_json::from_str(line).unwrap();
            let logit = |class: usize| line["logits"][class].as_f64().unwrap();
            (logit(1) - logit(0), line["index"].as_u64().unwrap().is_multiple_of(3))
        })
        .collect();
    let right = margins.iter().filter(|(margin, ill)| (*margin > 0.0) == *ill).count();
    let (ill, well): (Vec<_>, Vec<_>) = margins.iter().partition(|(_, ill)| *ill);
    let wins: f64 = ill
        .iter()
        .flat_map(|(a, _)| {
            well.iter().map(move |(b, _)| {
                if a > b {
                    1.0
                } else if a == b {
                    0.5
                } else {
                    0.0
                }
            })
        })
        .sum();
    let metrics: Value = serde_json::from_str(&bench.read(&format!("{CELL}/metrics.json"))).unwrap();
    let value = |scorer: usize| metrics["scorers"][scorer]["metrics"][0]["value"].as_f64().unwrap();
    assert!((value(0) - right as f64 / 40.0).abs() < 1e-12);
    assert!((value(1) - wins / (ill.len() * well.len()) as f64).abs() < 1e-12);
}

#[test]
fn a_second_run_predicts_nothing_and_changes_nothing() {
    let bench = bench();
    bench.medvlm(&["run", "suite.toml"]).well();
    let before = bench.files("runs/suite");
    // A model that cannot even be opened shows that nothing was asked of it.
    let said = bench.medvlm(&["run", "suite.toml"]).well();
    assert!(said.err.contains("40 done") && !said.err.contains("on disk"), "{said:#?}");
    assert_eq!(bench.files("runs/suite"), before);
}

#[test]
fn scoring_needs_no_model_and_gives_the_same_bytes_with_any_number_of_threads() {
    let bench = bench();
    bench.medvlm(&["run", "suite.toml"]).well();
    let before = bench.files("runs/suite");
    fs::remove_dir_all(bench.path("plugins")).unwrap();
    for threads in ["1", "3"] {
        for file in ["scores.jsonl", "metrics.json"] {
            fs::remove_file(bench.path(&format!("{CELL}/{file}"))).unwrap();
        }
        let said = bench.command().args(["score", "runs/suite"]).env("RAYON_NUM_THREADS", threads).output().unwrap();
        assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
        assert_eq!(bench.files("runs/suite"), before, "{threads} threads");
    }
}

#[test]
fn the_batch_size_changes_no_byte() {
    let bench = bench();
    bench.medvlm(&["run", "suite.toml", "--out", "a", "--batch-size", "1"]).well();
    bench.medvlm(&["run", "suite.toml", "--out", "b", "--batch-size", "64"]).well();
    bench.medvlm(&["run", "suite.toml", "--out", "c", "--in-process"]).well();
    assert_eq!(bench.files("a"), bench.files("b"));
    assert_eq!(bench.files("a"), bench.files("c"));
}

#[test]
fn questions_are_answered_and_scored() {
    let bench = bench();
    bench.suite(&["mock"], "vqa");
    let said = bench.medvlm(&["run", "suite.toml", "--json"]).well();
    let results: Value = serde_json::from_str(&said.out).unwrap();
    assert!(results.to_string().contains("exact_match"));
    let predictions = bench.read("runs/suite/mock@dots.test.vqa.zero-shot.s0/predictions.jsonl");
    let indices: Vec<u64> = predictions
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["index"].as_u64().unwrap())
        .collect();
    assert!(indices.is_sorted() && indices.len() == 40, "the mock answers in reverse order: {indices:?}");
}

/// The mock takes a question that begins with a verb for a closed one, which the template hides from it.
#[test]
fn a_suite_chooses_the_form_of_the_questions() {
    let bench = bench();
    let suite = "models = ['mock']\n[[dataset]]\nid = 'dots'\ntask = 'vqa'\ntemplate = ";
    bench.write("suite.toml", format!("{suite}'yes-no'\n"));
    bench.medvlm(&["run", "suite.toml"]).well();
    let predictions = bench.read("runs/suite/mock@dots.test.vqa.zero-shot.s0/predictions.jsonl");
    assert!(predictions.lines().all(|line| line.contains("\"text\":\"finding ")), "{predictions}");
    bench.write("suite.toml", format!("{suite}'yes-know'\n"));
    let said = bench.medvlm(&["run", "suite.toml", "--out", "other"]);
    said.refused(2, "dataset `dots` has no template `yes-know`; did you mean `yes-no`?");
}

#[test]
fn a_suite_configures_its_scorers() {
    let bench = bench();
    let suite =
        |options: &str| format!("models = ['mock']\nscorers = ['calibration']\n{options}\n[[dataset]]\nid = 'dots'\n");
    let ece = |options: &str| {
        bench.write("suite.toml", suite(options));
        bench.medvlm(&["run", "suite.toml"]).well();
        let metrics: Value = serde_json::from_str(&bench.read(&format!("{CELL}/metrics.json"))).unwrap();
        metrics["scorers"][0]["metrics"][0]["value"].as_f64().unwrap()
    };
    assert_ne!(ece("[options.calibration]\nbins = 2"), ece("[options.calibration]\nbins = 40"));
    bench.write("suite.toml", suite("[options.calibration]\nbinz = 2"));
    bench.medvlm(&["run", "suite.toml"]).refused(2, "binz");
    bench.write("suite.toml", suite("[options.calibratio]\nbins = 2"));
    bench.medvlm(&["run", "suite.toml"]).refused(2, "no scorer of the suite; did you mean `calibration`?");
}

#[test]
fn every_number_of_the_results_names_cell_scorer_version_and_lines() {
    let bench = bench();
    let said = bench.medvlm(&["run", "suite.toml", "--json"]).well();
    let results: Value = serde_json::from_str(&said.out).unwrap();
    let text = results.to_string();
    for part in ["mock@dots.test.diagnosis.zero-shot.s0", "component", "version", "scores.jsonl"] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
}

#[test]
fn a_changed_dataset_or_model_is_not_mixed_into_an_old_run() {
    let bench = bench();
    bench.medvlm(&["run", "suite.toml"]).well();
    bench.mock(&[("mock", "feature_dim = 4")]);
    bench.medvlm(&["run", "suite.toml"]).refused(2, "was predicted from other inputs (changed: model.row)");
    bench.mock(&[("mock", "")]);
    bench.dots(41);
    bench.medvlm(&["run", "suite.toml"]).refused(2, "changed: dataset.files");
    bench.medvlm(&["run", "suite.toml", "--redo"]).well();
    assert_eq!(bench.read(&format!("{CELL}/predictions.jsonl")).lines().count(), 41);
    let aside = fs::read_dir(bench.path("runs/suite/stale")).unwrap().flatten().next().unwrap().path();
    assert_eq!(fs::read_to_string(aside.join("predictions.jsonl")).unwrap().lines().count(), 40, "nothing is lost");
}

#[test]
fn the_lists_name_what_is_there() {
    let bench = bench();
    assert!(bench.medvlm(&["list", "models"]).well().out.contains("mock"));
    assert!(bench.medvlm(&["list", "datasets", "--json"]).well().out.contains("\"id\":\"dots\""));
    let scorers = bench.medvlm(&["list", "scorers"]).well().out;
    assert!(["accuracy", "auroc", "exact-match"].iter().all(|id| scorers.contains(id)), "{scorers}");
    assert!(bench.medvlm(&["list", "plugins"]).well().out.contains("contrastive"));
    assert!(bench.medvlm(&["doctor"]).well().out.contains("ok"));
}
