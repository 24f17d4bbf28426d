//! What a run's report says of several cells together, what it keeps to itself, and what it hands to others.

use std::{collections::BTreeMap, fs, path::Path};

use integration_tests::{Bench, root};
use serde_json::Value;

/// A generalist and a specialist on 40 pictures with three seeds; the generalist fails on picture 3.
fn bench() -> Bench {
    let bench = unplayed("");
    bench.medvlm(&["run", "suite.toml"]);
    bench
}

fn unplayed(more: &str) -> Bench {
    let bench = Bench::new();
    bench.mock(&[("one", "behave = \"error\"\npoison = 3"), ("two", "")]);
    bench.dots(40);
    bench.write(
        "suite.toml",
        format!(
            "models = ['one', 'two']\nspecialists = ['two']\nin_domain.two = ['dots']\nseeds = [0, 1, 2]\n\
             bootstrap = {{ resamples = 50 }}\n{more}\n[[dataset]]\nid = 'dots'\ntask = 'diagnosis'\n"
        ),
    );
    bench
}

fn results(bench: &Bench) -> Value {
    serde_json::from_str(&bench.read("runs/suite/results.json")).unwrap()
}

#[test]
fn pairs_are_tested_as_compare_tests_them() {
    let bench = bench();
    let found = results(&bench);
    let pairs = found["comparisons"].as_array().unwrap();
    assert_eq!(pairs.len(), 6, "accuracy and auroc of three seeds");
    let [one, two] = ["one", "two"].map(|model| format!("{model}@dots.test.diagnosis.zero-shot.s0"));
    let said = bench.medvlm(&["compare", "runs/suite", &one, &two, "--correction", "none", "--json"]).well();
    let compared: Value = serde_json::from_str(&said.out).unwrap();
    for metric in compared["metrics"].as_array().unwrap() {
        let same = |pair: &&Value| pair["metric"] == metric["metric"] && pair["seed"] == 0;
        let pair = pairs.iter().find(same).unwrap();
        for key in ["difference", "low", "high", "p"] {
            assert_eq!(pair[key], metric[key], "{key} of {}", metric["metric"]);
        }
        assert!(pair["test"].as_str().unwrap().starts_with(metric["test"].as_str().unwrap()), "{pair}");
        assert_eq!(pair["p"], pair["p_holm"], "one pair is a family of one");
    }
}

#[test]
fn the_best_generalist_meets_the_best_specialist_with_seeds_as_their_mean() {
    let bench = bench();
    let found = results(&bench);
    let questions = found["questions"].as_array().unwrap();
    assert_eq!(questions.len(), 2, "question 1 in accuracy and auroc; nobody is tuned: {questions:?}");
    let value = |model: &str, metric: &str| {
        let cell = format!("{model}@dots.test.diagnosis.zero-shot.s0");
        let number = |n: &&Value| n["cell"] == *cell && n["metric"] == metric;
        found["numbers"].as_array().unwrap().iter().find(number).unwrap()["value"].as_f64().unwrap()
    };
    for question in questions {
        let metric = question["metric"].as_str().unwrap();
        let difference = question["difference"].as_f64().unwrap();
        assert!((difference - (value("one", metric) - value("two", metric))).abs() < 1e-12, "{question}");
        assert_eq!((question["question"].as_u64(), question["patients"].as_u64()), (Some(1), Some(20)));
        assert!(question["low"].as_f64() <= Some(difference) && Some(difference) <= question["high"].as_f64());
    }
    let grid = bench.read("runs/suite/tables/grid.csv");
    assert!(grid.contains("zero-shot,true,true,3,"), "the specialist is in its domain, over three seeds: {grid}");
}

#[test]
fn a_report_has_the_same_bytes_each_time_and_lists_every_failure() {
    let bench = bench();
    let run = bench.path("runs/suite");
    let export = ["report", "runs/suite", "--export", "lm-eval", "--export", "every-eval-ever", "--export", "hf"];
    bench.medvlm(&export).well();
    let first = files(&run);
    bench.medvlm(&export).well();
    let second = files(&run);
    let names = |files: &BTreeMap<String, Vec<u8>>| files.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&first), names(&second));
    assert_eq!(first, second);
    let failures = bench.read("runs/suite/tables/failures.csv");
    let failed: Vec<&str> = failures.lines().filter(|line| line.contains(",prediction,")).collect();
    assert_eq!(failed.len(), 3, "picture 3 in three seeds: {failures}");
    assert!(failed[0].contains(",3.png,3,"), "{failures}");
}

#[test]
fn exports_have_the_keys_that_their_readers_look_for() {
    let bench = bench();
    bench.medvlm(&["report", "runs/suite", "--export", "lm-eval", "--export", "every-eval-ever"]).well();
    let ours = results(&bench);
    let theirs: Value = serde_json::from_str(&bench.read("runs/suite/exports/lm-eval/two/results.json")).unwrap();
    let task = &theirs["results"]["dots_test_diagnosis_zero-shot"];
    let number = |n: &&Value| n["cell"] == "two@dots.test.diagnosis.zero-shot.s0" && n["metric"] == "auroc";
    let number = ours["numbers"].as_array().unwrap().iter().find(number).unwrap();
    assert_eq!((&task["auroc,auroc"], theirs["results"].as_object().unwrap().len()), (&number["value"], 3));
    assert!(task["auroc_stderr,auroc"].as_f64().unwrap() > 0.0);
    let samples = bench.read("runs/suite/exports/lm-eval/two/samples_dots_test_diagnosis_zero-shot.jsonl");
    assert_eq!(samples.lines().count(), 40);

    let data = files(&bench.path("runs/suite/exports/every-eval-ever"));
    assert_eq!(data.len(), 12, "six records, each with its samples");
    for (name, bytes) in data.iter().filter(|(name, _)| name.ends_with(".json")) {
        let record: Value = serde_json::from_slice(bytes).unwrap();
        let samples = record["detailed_evaluation_results"]["file_path"].as_str().unwrap();
        assert_eq!(samples, name.replace(".json", "_samples.jsonl"));
        let lines = String::from_utf8(data[samples].clone()).unwrap();
        assert_eq!(record["detailed_evaluation_results"]["total_rows"], lines.lines().count());
        let sample: Value = serde_json::from_str(lines.lines().next().unwrap()).unwrap();
        assert_eq!(sample["evaluation_id"], record["evaluation_id"]);
    }
}

#[test]
fn published_values_stand_beside_ours_and_are_part_of_no_number() {
    let bench = unplayed("published = 'p.csv'");
    bench.medvlm(&["run", "suite.toml"]).refused(2, "p.csv");
    assert!(!bench.path("runs").exists(), "it is found before anything is predicted");
    let head = "model,dataset,task,usage,metric,value,low,high,n,source,doubt\n";
    bench.write("p.csv", format!("{head}two,dots,diagnosis,zero-shot,auroc,0.4321,,,,a paper,seen before\n"));
    bench.medvlm(&["run", "suite.toml"]);
    let page = bench.read("runs/suite/report.html");
    assert!(page.contains("a paper. Doubts: seen before") && page.contains("0.432"), "the page shows it");
    assert!(bench.read("runs/suite/tables/grid.csv").contains("0.4321,,,,a paper,seen before"));
    for file in ["results.json", "tables/metrics.csv"] {
        assert!(!bench.read(&format!("runs/suite/{file}")).contains("0.4321"), "{file}");
    }
}

#[test]
fn a_report_of_restricted_samples_has_neither_their_images_nor_their_texts() {
    let bench = Bench::new();
    bench.mock(&[("mock", "")]);
    bench.dots(40);
    let manifest = bench.read("data/dots.toml").replace("access = \"open\"", "access = \"credentialed\"");
    assert!(manifest.contains("credentialed"));
    bench.write("data/dots.toml", manifest);
    bench.suite(&["mock"], "vqa");
    bench.medvlm(&["run", "suite.toml"]).well();
    bench.medvlm(&["report", "runs/suite", "--export", "lm-eval", "--export", "every-eval-ever"]).well();
    let texts = |files: &BTreeMap<String, Vec<u8>>| -> Vec<String> {
        let reported = |name: &str| !name.contains("zero-shot.s0/") && name != "run.json";
        let told =
            |bytes: &[u8]| [b"of an ill patient".as_slice(), b"data:image/jpeg"].iter().any(|t| contains(bytes, t));
        files.iter().filter(|(name, bytes)| reported(name) && told(bytes)).map(|(name, _)| name.clone()).collect()
    };
    assert_eq!(texts(&files(&bench.path("runs/suite"))), Vec::<String>::new());
    assert!(bench.read("runs/suite/report.html").contains("answers are withheld: the terms of dots"));
    bench.medvlm(&["report", "runs/suite", "--show-restricted"]).well();
    assert_eq!(texts(&files(&bench.path("runs/suite")))[0], "report.html");
}

#[test]
fn the_published_values_of_medvlmbench_name_our_models_and_datasets() {
    let table = fs::read_to_string(root().join("suites/medvlmbench-published.csv")).unwrap();
    let rows: String = glob("plugins", "models.toml");
    for line in table.lines().skip(1) {
        let (model, rest) = line.split_once(',').unwrap();
        let dataset = rest.split(',').next().unwrap();
        assert!(rows.contains(&format!("id = \"{model}\"")), "no row is named {model}");
        assert!(root().join(format!("data/{dataset}.toml")).exists(), "no manifest is named {dataset}");
        assert!(!line.ends_with(','), "every value has its doubts: {line}");
    }
    assert_eq!(table.lines().count(), 386);
}

fn glob(folder: &str, file: &str) -> String {
    let folders = fs::read_dir(root().join(folder)).unwrap();
    folders.filter_map(|folder| fs::read_to_string(folder.unwrap().path().join(file)).ok()).collect()
}

fn contains(bytes: &[u8], text: &[u8]) -> bool {
    bytes.windows(text.len()).any(|window| window == text)
}

/// The files below a directory, by their path.
fn files(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut open = vec![dir.to_path_buf()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else {
                let name = path.strip_prefix(dir).unwrap().to_string_lossy().into_owned();
                found.insert(name, fs::read(&path).unwrap());
            }
        }
    }
    found
}
