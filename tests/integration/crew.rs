//! Several processes and machines on one suite, and what `medvlm status` says meanwhile.

use std::{
    collections::BTreeMap,
    fs,
    process::{Child, Stdio},
    thread,
    time::{Duration, Instant},
};

use integration_tests::{Bench, dist};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::Value;

/// Three models, two usages and three seeds on a bundled phantom: eighteen cells, 50 ms a batch.
fn phantom_suite(bench: &Bench) {
    bench.mock(&[("a", "behave = \"slow\""), ("b", "behave = \"slow\""), ("c", "behave = \"slow\"")]);
    for file in ["phantom-chest.toml", "phantom/phantom.parquet"] {
        bench.write(&format!("data/{file}"), fs::read(dist().join("data").join(file)).unwrap());
    }
    bench.write(
        "suite.toml",
        "models = ['a', 'b', 'c']\nusages = ['zero-shot', 'linear-probe']\nseeds = [0, 1, 2]\n\
         bootstrap = { resamples = 50 }\n[[dataset]]\nid = 'phantom-chest'\ntask = 'diagnosis'\n",
    );
}

const RUN: [&str; 4] = ["run", "suite.toml", "--batch-size", "8"];

fn start(bench: &Bench) -> Child {
    bench.command().args(RUN).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

/// The files that a run is: features are a cache, in the order in which they were made.
fn results(bench: &Bench, dir: &str) -> BTreeMap<String, Vec<u8>> {
    let mut files = bench.files(dir);
    files.retain(|path, _| !path.starts_with("features/"));
    files
}

fn assert_same(found: &BTreeMap<String, Vec<u8>>, expected: &BTreeMap<String, Vec<u8>>) {
    let names = |files: &BTreeMap<String, Vec<u8>>| files.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(found), names(expected));
    let differ: Vec<&String> = found.keys().filter(|path| found[*path] != expected[*path]).collect();
    assert!(differ.is_empty(), "{differ:?}");
}

#[test]
fn four_processes_that_are_killed_at_random_end_as_one_that_is_not() {
    let bench = Bench::new();
    phantom_suite(&bench);
    bench.medvlm(&["run", "suite.toml", "--batch-size", "8", "--out", "whole"]).well();
    let whole = results(&bench, "whole");
    let mut random = ChaCha8Rng::seed_from_u64(7);
    let mut crew: Vec<Child> = (0..4).map(|_| start(&bench)).collect();
    for _ in 0..12 {
        thread::sleep(Duration::from_millis(random.random_range(100..500)));
        let victim = &mut crew[random.random_range(0..4)];
        victim.kill().unwrap();
        victim.wait().unwrap();
        *victim = start(&bench);
    }
    for mut process in crew {
        assert!(process.wait().unwrap().success());
    }
    assert_same(&results(&bench, "runs/suite"), &whole);
    // What a killed process was about to put in place is not left behind for ever.
    let again = bench.medvlm(&RUN).well();
    assert!(!again.err.contains("predictions 0/"), "{again:#?}");
    assert!(!bench.path("runs/suite/leases").exists());
}

#[test]
fn several_processes_divide_a_cell() {
    let bench = Bench::new();
    bench.mock(&[("slow", "behave = \"slow\"")]);
    bench.dots(700);
    bench.suite(&["slow"], "vqa");
    bench.medvlm(&["run", "suite.toml", "--batch-size", "4", "--out", "whole"]).well();
    let processes: Vec<Child> = (0..3).map(|_| start(&bench)).collect();
    let lines = || fs::read_to_string(bench.path(CELL)).map_or(0, |text| text.lines().count());
    let begun = Instant::now();
    let mut holders = 0;
    while lines() < 700 && begun.elapsed() < Duration::from_secs(60) {
        let status = bench.medvlm(&["status", "suite.toml", "--json"]);
        let cells: Value = serde_json::from_str(&status.out).unwrap();
        holders = holders.max(cells[0]["at_work"].as_array().map_or(0, Vec::len));
        thread::sleep(Duration::from_millis(20));
    }
    for mut process in processes {
        assert!(process.wait().unwrap().success());
    }
    assert!(holders > 1, "nobody helped");
    assert_same(&results(&bench, "runs/suite"), &results(&bench, "whole"));
}

const CELL: &str = "runs/suite/slow@dots.test.vqa.zero-shot.s0/predictions.jsonl";

#[test]
fn the_shards_of_two_machines_merge_in_any_order_and_as_often_as_one_likes() {
    let bench = Bench::new();
    bench.mock(&[("a", ""), ("b", "")]);
    bench.dots(700);
    bench.suite(&["a", "b"], "diagnosis");
    bench.medvlm(&["run", "suite.toml", "--out", "whole"]).well();
    let whole = results(&bench, "whole");
    for (part, out) in [("1/2", "one"), ("2/2", "two")] {
        let said = bench.medvlm(&["run", "suite.toml", "--shard", part, "--out", out]).well();
        assert!(said.err.contains("samples are of other parts"), "{said:#?}");
        assert!(!bench.path(out).join("report.html").exists());
    }
    bench.medvlm(&["merge", "one", "two", "--out", "merged"]).well();
    bench.medvlm(&["merge", "two", "one", "--out", "turned"]).well();
    assert_same(&results(&bench, "merged"), &results(&bench, "turned"));
    bench.medvlm(&["score", "merged"]).well();
    assert_same(&results(&bench, "merged"), &whole);
    bench.medvlm(&["merge", "one", "merged", "two", "--out", "merged"]).well();
    bench.medvlm(&["merge", "one", "--out", "merged"]).well();
    assert_same(&results(&bench, "merged"), &whole);
    // Of the same suite on other data, and with another answer.
    bench.dots(699);
    bench.medvlm(&["run", "suite.toml", "--out", "other"]).well();
    bench.medvlm(&["merge", "one", "other", "--out", "x"]).refused(2, "was predicted from other inputs");
    let cell = "two/a@dots.test.diagnosis.zero-shot.s0/predictions.jsonl";
    let text = bench.read(cell);
    let line = text.lines().next().unwrap();
    let (start, _) = line.split_once("\"logits\":[").unwrap();
    let (_, end) = line.split_once("],\"digests\"").unwrap();
    bench.write("three/run.json", bench.read("two/run.json"));
    bench.write(&cell.replace("two/", "three/"), format!("{start}\"logits\":[7.0,7.0],\"digests\"{end}\n"));
    bench.medvlm(&["merge", "two", "three", "--out", "x"]).refused(2, "was answered differently in ");
}

/// The one that does not train waits for the adapter instead of leaving its part undone.
#[test]
fn two_parts_of_a_probe_in_one_directory_leave_nothing() {
    let bench = Bench::new();
    bench.mock(&[("slow", "behave = \"slow\"")]);
    bench.dots(700);
    let leak = |split: &str| format!("[[allow_leak]]\ntrain = 'dots.{split}'\ntest = 'dots.test'\nreason = 'a test'\n");
    let suite = "models = ['slow']\nusages = ['linear-probe']\n[[dataset]]\nid = 'dots'\ntask = 'diagnosis'\n";
    bench.write("suite.toml", [suite, &leak("train"), &leak("validation")].concat());
    let part = |part: &str| {
        let arguments = ["run", "suite.toml", "--batch-size", "16", "--shard", part];
        bench.command().args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    };
    for mut process in [part("1/2"), part("2/2")] {
        assert!(process.wait().unwrap().success());
    }
    let done = bench.read("runs/suite/slow@dots.test.diagnosis.linear-probe.s0/predictions.jsonl");
    assert_eq!(done.lines().count(), 700);
}

#[test]
fn status_tells_done_partial_failed_stale_missing_blocked_and_excluded_cells_apart() {
    let bench = Bench::new();
    bench.mock(&[("a", ""), ("b", ""), ("c", "behave = \"error\"\npoison = 5"), ("d", "")]);
    bench.dots(20);
    let suite = |models: &str, rest: &str| {
        let text = format!("models = {models}\nseeds = [0, 1]\nbootstrap = {{ resamples = 50 }}\n{rest}\n");
        bench.write("suite.toml", text + "[[dataset]]\nid = 'dots'\ntask = 'diagnosis'\n");
    };
    suite("['a', 'b', 'c']", "");
    bench.medvlm(&["run", "suite.toml", "--filter", "model=a,c"]);
    let dots = fs::read_to_string(bench.path("data/dots.toml")).unwrap();
    // A cell of which half is there, one of another seed, and one that is not scored.
    let b = "runs/suite/b@dots.test.diagnosis.zero-shot.s0/predictions.jsonl";
    bench.medvlm(&["run", "suite.toml", "--filter", "model=b", "--filter", "seed=0"]).well();
    let half: String = bench.read(b).lines().take(10).map(|line| format!("{line}\n")).collect();
    bench.write(b, half);
    suite(
        "['a', 'b', 'c', 'd']",
        "usages = ['zero-shot', 'lora']\n[[exclude]]\nmodels = ['d']\nreason = 'too large for one card'",
    );
    let status = |arguments: &[&str]| -> Vec<(String, String, String)> {
        let said = bench.medvlm(&[&["status", "suite.toml", "--json"], arguments].concat());
        assert_eq!(said.code, Some(1), "{said:#?}");
        let cells: Vec<Value> = serde_json::from_str(&said.out).unwrap();
        let text = |cell: &Value, key: &str| cell[key].as_str().unwrap_or_default().to_string();
        cells.iter().map(|cell| (text(cell, "cell"), text(cell, "state"), text(cell, "why"))).collect()
    };
    let cell = |model: &str, usage: &str, seed: u32| format!("{model}@dots.test.diagnosis.{usage}.s{seed}");
    let of = |all: &[(String, String, String)], id: String| {
        let found = all.iter().find(|(cell, ..)| *cell == id).unwrap_or_else(|| panic!("{id} is not in {all:#?}"));
        (found.1.clone(), found.2.clone())
    };
    let all = status(&[]);
    assert_eq!(all.len(), 16);
    assert_eq!(of(&all, cell("a", "zero-shot", 0)), ("done".into(), String::new()));
    assert_eq!(of(&all, cell("b", "zero-shot", 0)), ("partial".into(), String::new()));
    assert_eq!(of(&all, cell("b", "zero-shot", 1)), ("missing".into(), String::new()));
    assert_eq!(of(&all, cell("c", "zero-shot", 1)), ("failed".into(), String::new()));
    assert_eq!(of(&all, cell("d", "lora", 0)), ("excluded".into(), "too large for one card".into()));
    let (state, why) = of(&all, cell("a", "lora", 0));
    assert!(state == "blocked" && why.contains("usage `lora` is not built into this version"), "{state}: {why}");
    assert_eq!(status(&["--filter", "model=a", "--filter", "state=blocked"]).len(), 2);
    bench.write("data/dots.toml", dots.replace("an ill patient", "a sick patient"));
    let (state, why) = of(&status(&[]), cell("a", "zero-shot", 0));
    assert_eq!((state.as_str(), why.as_str()), ("stale", "changed: dataset.manifest, dataset.prompts"));
    let said = bench.medvlm(&["status", "suite.toml"]);
    assert!(said.out.contains("16 cells: ") && said.out.contains("4 excluded"), "{said:#?}");
    bench.medvlm(&["status", "suite.toml", "--filter", "modle=a"]).refused(2, "did you mean `model`?");
    bench.medvlm(&["run", "suite.toml"]).refused(2, "usage `lora` is not built into this version");
    let said = bench.medvlm(&["run", "suite.toml", "--skip-blocked", "--redo"]);
    assert!(said.err.contains("left out: 6 cells: usage `lora`"), "{said:#?}");
    assert_eq!(of(&status(&[]), cell("a", "zero-shot", 0)).0, "done");
}

#[test]
fn a_dry_run_says_what_would_be_done_and_does_nothing() {
    let bench = Bench::new();
    bench.mock(&[("a", ""), ("b", "")]);
    bench.dots(40);
    bench.suite(&["a", "b"], "vqa");
    let said = bench.medvlm(&["run", "suite.toml", "--dry-run", "--json", "--set", "limit=30"]).well();
    assert!(!bench.path("runs").exists());
    let plan: Value = serde_json::from_str(&said.out).unwrap();
    let cell = &plan["cells"][1];
    assert_eq!((cell["missing"].as_u64(), cell["samples"].as_u64()), (Some(30), Some(30)));
    assert!(cell["disk"].as_u64() > Some(10_000) && cell["memory"].as_u64() > Some(1_000_000));
    bench.medvlm(&["run", "suite.toml", "--filter", "model=a"]).well();
    let said = bench.medvlm(&["run", "suite.toml", "--dry-run"]).well();
    assert!(said.out.contains("a@dots.test.vqa.zero-shot.s0  0/40"), "{said:#?}");
    assert!(said.out.contains("b@dots.test.vqa.zero-shot.s0  40/40"), "{said:#?}");
    assert!(said.out.contains("2 cells on cpu in f32: "), "{said:#?}");
}
