//! Runs packed, verified, broken in every way that a rule names, signed, and put on a leaderboard.

use std::{collections::BTreeMap, fs, path::Path};

use integration_tests::{Bench, Said};
use medvlm::submission::{Archive, INDEX, Index, Member, Source, digests, write};
use serde_json::Value;

mod board;
mod concealed;
mod rules;

/// A submission taken apart: its files by name.
#[derive(Clone)]
struct Parts(BTreeMap<String, Vec<u8>>);

impl Parts {
    fn of(path: &Path) -> Self {
        let (archive, violations) = Archive::open(path).unwrap();
        assert_eq!(violations, []);
        let read = |name: &str| archive.read(name).unwrap().unwrap();
        Self(archive.members().map(|(name, _)| (name.to_string(), read(name))).collect())
    }

    fn text(&self, name: &str) -> String {
        String::from_utf8(self.0[name].clone()).unwrap_or_else(|e| panic!("{name}: {e}"))
    }

    fn index(&self) -> Index {
        serde_json::from_slice(&self.0[INDEX]).unwrap()
    }

    fn edit(&mut self, name: &str, change: impl FnOnce(String) -> String) {
        let (before, text) = (self.text(name), change(self.text(name)));
        assert_ne!(before, text, "{name} is changed");
        self.0.insert(name.into(), text.into_bytes());
    }

    fn edit_json(&mut self, name: &str, change: impl FnOnce(&mut Value)) {
        self.edit(name, |text| {
            let mut value = serde_json::from_str(&text).unwrap();
            change(&mut value);
            format!("{}\n", serde_json::to_string_pretty(&value).unwrap())
        });
    }

    /// Writes the submission under an index that knows what is in it, as a careful forger would.
    fn sealed(&self, path: &Path) {
        let member =
            |(name, bytes): (&String, &Vec<u8>)| Member { name: name.clone(), source: Source::Bytes(bytes.clone()) };
        let mut members: Vec<Member> = self.0.iter().filter(|(name, _)| *name != INDEX).map(member).collect();
        let index = Index { files: digests(&members).unwrap(), ..self.index() };
        members.push(Member { name: INDEX.into(), source: Source::Bytes(index.to_bytes().unwrap()) });
        let mut bytes = Vec::new();
        write(&members, &mut bytes, path).unwrap();
        fs::write(path, bytes).unwrap();
    }
}

/// A run of two cells, a diagnosis and questions, in a workplace whose suite is also an official one.
fn bench() -> Bench {
    let bench = Bench::new();
    bench.mock(&[("mock", "")]);
    bench.dots(24);
    let suite = "models = ['mock']\nbootstrap = { resamples = 50 }\n\
                 [[dataset]]\nid = 'dots'\ntask = 'diagnosis'\n[[dataset]]\nid = 'dots'\ntask = 'vqa'\n";
    bench.write("suites/both.toml", suite);
    bench.medvlm(&["run", "suites/both.toml"]).well();
    bench
}

fn pack(bench: &Bench, division: &str, out: &str) -> Said {
    let about = ["--submitter", "The group", "--contact", "group@example.org", "--note", "as published"];
    let how = ["pack", "runs/both", "--division", division, "--suite-dir", "suites", "--out", out];
    bench.medvlm(&[&how[..], &about].concat())
}

fn verify(bench: &Bench, arguments: &[&str]) -> (Option<i32>, Value) {
    let said = bench.medvlm(&[&["verify", "--suite-dir", "suites", "--json"], arguments].concat());
    let verdict = serde_json::from_str(&said.out).unwrap_or_else(|e| panic!("{e}: {said:#?}"));
    (said.code, verdict)
}

fn rules_of(verdict: &Value) -> Vec<u64> {
    let violations = verdict["violations"].as_array().unwrap();
    violations.iter().map(|violation| violation["rule"].as_u64().unwrap()).collect()
}

#[test]
fn packing_twice_gives_the_same_bytes_and_they_verify() {
    let bench = bench();
    let said = pack(&bench, "closed", "a.zip").well();
    assert!(said.out.contains("valid in the closed division; 2 cells, 2 scored again byte for byte"), "{said:#?}");
    pack(&bench, "closed", "b.zip").well();
    assert_eq!(fs::read(bench.path("a.zip")).unwrap(), fs::read(bench.path("b.zip")).unwrap());
    let (code, verdict) = verify(&bench, &["a.zip"]);
    assert_eq!((code, &verdict["valid"]), (Some(0), &Value::Bool(true)), "{verdict:#}");
    assert_eq!(
        (verdict["cells"][0]["checked"].as_str(), &verdict["cells"][0]["with_data"]),
        (Some("rescored"), &true.into())
    );
    // Nothing of this machine: neither the run's nor the dataset's directory.
    let bytes = fs::read(bench.path("a.zip")).unwrap();
    let home = bench.path("").to_string_lossy().trim_end_matches('/').to_string();
    assert!(!String::from_utf8_lossy(&bytes).contains(&home));
}

/// Another machine: no run, no plugin, no dataset, no scorer but those in the file.
#[test]
fn an_open_dataset_is_scored_again_without_it() {
    let bench = bench();
    pack(&bench, "open", "a.zip").well();
    for dir in ["runs", "plugins", "data", "suites"] {
        fs::remove_dir_all(bench.path(dir)).unwrap();
    }
    let (code, verdict) = verify(&bench, &["a.zip"]);
    assert_eq!(code, Some(0), "{verdict:#}");
    for cell in verdict["cells"].as_array().unwrap() {
        assert_eq!((cell["checked"].as_str(), &cell["with_data"]), (Some("rescored"), &false.into()));
    }
}

#[test]
fn what_is_incomplete_or_stale_is_not_packed_and_says_which_cell() {
    let bench = bench();
    let cell = "mock@dots.test.vqa.zero-shot.s0";
    let path = format!("runs/both/{cell}/predictions.jsonl");
    let whole = bench.read(&path);
    let kept: Vec<&str> = whole.lines().filter(|line| !line.contains("\"index\":5,")).collect();
    bench.write(&path, format!("{}\n", kept.join("\n")));
    let said = pack(&bench, "open", "a.zip");
    said.refused(3, &format!("rule 402: {cell}: sample 5: is not predicted"));
    said.refused(3, &format!("rule 502: {cell}: its metrics are not of what is there now"));
    assert!(!bench.path("a.zip").exists());
    fs::remove_file(bench.path(&path)).unwrap();
    pack(&bench, "open", "a.zip").refused(3, &format!("rule 302: {cell}: has no predictions.jsonl"));
    bench.write(&path, whole);
    pack(&bench, "open", "a.zip").well();
    bench.medvlm(&["run", "suites/both.toml", "--limit", "6", "--out", "runs/part"]).well();
    bench.medvlm(&["pack", "runs/part", "--out", "b.zip"]).refused(3, "rule 303: run.json: the suite takes 6 samples");
}

#[test]
fn a_few_samples_are_predicted_again() {
    let bench = Bench::new();
    bench.mock(&[("mock", "feature_dim = 32")]);
    bench.dots(48);
    let suite = "models = ['mock']\nusages = ['zero-shot', 'linear-probe']\nbootstrap = { resamples = 20 }\n\
                 [[dataset]]\nid = 'dots'\ntask = 'diagnosis'\n";
    let leak = |split: &str| {
        format!(
            "[[allow_leak]]\ntrain = 'dots.{split}'\ntest = 'dots.test'\nreason = 'the pictures are not the point'\n"
        )
    };
    bench.write("suites/both.toml", [suite, &leak("train"), &leak("validation")].concat());
    bench.medvlm(&["run", "suites/both.toml"]).well();
    pack(&bench, "closed", "a.zip").well();
    let parts = Parts::of(&bench.path("a.zip"));
    let adapters = parts.index().adapters;
    assert_eq!(adapters["mock@dots.test.diagnosis.linear-probe.s0"]["adapter_model.safetensors"].len(), 64);
    let (code, verdict) = verify(&bench, &["a.zip", "--rerun", "7"]);
    assert_eq!(code, Some(0), "{verdict:#}");
    assert!(verdict["cells"].as_array().unwrap().iter().all(|cell| cell["rerun"] == 7), "{verdict:#}");
    // Another model under the same name cannot vouch for anything.
    bench.mock(&[("mock", "feature_dim = 16")]);
    let (code, verdict) = verify(&bench, &["a.zip", "--rerun", "7"]);
    let notes = verdict["notes"].to_string();
    assert!(code == Some(0) && notes.contains("what is here differs from what was used (model.row)"), "{verdict:#}");
}

#[test]
fn the_program_explains_itself() {
    let bench = Bench::new();
    let rules = bench.medvlm(&["verify", "--rules"]).well().out;
    assert!(
        rules.lines().any(|line| line == "402  Every sample is predicted exactly once, in order, and nothing else is.")
    );
    assert!(bench.medvlm(&["verify", "--help"]).well().out.contains("byte by byte"));
    bench.medvlm(&["verify", "absent.zip"]).refused(1, "absent.zip: No such file");
    bench.write("text.zip", "no archive");
    bench.medvlm(&["verify", "text.zip"]).refused(3, "rule 101: at byte 0: no member is at the beginning of the file");
}
