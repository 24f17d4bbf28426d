//! Every rule from 301 on, broken by a forger who keeps the index right. Rules below are broken in `host/src/submission/tests.rs`.

use std::{collections::BTreeSet, fs};

use medvlm::submission::{Index, Rule};
use serde_json::{Value, json};

use super::*;

const CELL: &str = "mock@dots.test.diagnosis.zero-shot.s0";
const ASKED: &str = "mock@dots.test.vqa.zero-shot.s0";

/// A rule, and how it is broken.
type Break = (Rule, fn(&mut Parts));

const BREAKS: [Break; 24] = [
    (Rule::RunRecord, |parts| parts.edit("run.json", |text| text.replace("\n  ", "\n "))),
    (Rule::RunRecord, |parts| drop(parts.0.remove("run.json"))),
    (Rule::Cells, |parts| drop(parts.0.remove(&file(CELL, "scores.jsonl")))),
    (Rule::Cells, |parts| parts.edit_json("run.json", |run| run["suite"]["seeds"] = json!([0, 1]))),
    (Rule::Cells, |parts| parts.edit_json("run.json", |run| run["suite"]["seeds"] = (0..30_000).collect())),
    (Rule::KnownMembers, |parts| drop(parts.0.insert(file("other@a.b.vqa.full.s1", "metrics.json"), vec![1]))),
    (Rule::NoLimit, |parts| parts.edit_json("run.json", |run| run["suite"]["limit"] = json!(24))),
    (Rule::Fingerprint, |parts| parts.edit_json("run.json", |run| run["cells"][CELL]["model.library"] = json!(""))),
    (Rule::Fingerprint, |parts| parts.edit_json("run.json", |run| run["cells"][CELL]["device"] = json!("cuda:0"))),
    (Rule::Manifests, |parts| parts.edit("manifests/dots.toml", |text| text + "# changed\n")),
    (Rule::Manifests, |parts| parts.edit("manifests/dots.toml", |text| text + "evil = 'key'\n")),
    (Rule::Components, |parts| parts.edit_json("run.json", |run| run["scorers"]["auroc"] = json!("0"))),
    (Rule::Components, |parts| drop(parts.0.insert("scorers/auroc.wasm".into(), b"\0asm".to_vec()))),
    (Rule::Bootstrap, |parts| {
        parts.edit_json("run.json", |run| run["suite"]["bootstrap"]["resamples"] = json!(4_000_000_000u32));
    }),
    (Rule::Samples, |parts| parts.edit("samples/dots.test.vqa.jsonl", |text| swapped(&text))),
    (Rule::Coverage, |parts| parts.edit(&file(CELL, "predictions.jsonl"), |text| swapped(&text))),
    (Rule::Coverage, |parts| parts.edit(&file(ASKED, "predictions.jsonl"), |text| format!("{text}{}\n", first(&text)))),
    (Rule::Predictions, |parts| parts.edit(&file(CELL, "predictions.jsonl"), |text| text.replacen("[", "[1.0,", 1))),
    (Rule::Predictions, |parts| {
        parts.edit(&file(ASKED, "predictions.jsonl"), |text| text.replacen("\"prompt\":\"", "\"prompt\":\"0", 1));
    }),
    (Rule::SameData, |parts| parts.edit("samples/dots.test.diagnosis.jsonl", |text| text.replacen("[1]", "[0]", 1))),
    (Rule::Counts, |parts| {
        // One sample less, everywhere.
        for name in ["samples/dots.test.vqa.jsonl".to_string(), file(ASKED, "predictions.jsonl")] {
            parts.edit(&name, |text| text[..=text.trim_end().rfind('\n').unwrap()].to_string());
        }
    }),
    (Rule::Scores, |parts| parts.edit(&file(CELL, "scores.jsonl"), |text| text.replacen("0.0", "1.0", 1))),
    (Rule::Metrics, |parts| {
        parts.edit_json(&file(CELL, "metrics.json"), |m| m["scorers"][1]["metrics"][0]["value"] = json!(0.99));
    }),
    (Rule::Evidence, |parts| drop(parts.0.insert(file(ASKED, "evidence.jsonl"), b"{}\n".to_vec()))),
];

/// As [`BREAKS`], in the closed division.
const CLOSED: [Break; 3] = [
    (Rule::OfficialSuite, |parts| parts.edit_json("run.json", |run| run["suite"]["bootstrap"]["seed"] = json!(7))),
    (Rule::OwnAdapters, |parts| {
        let cell = format!("\"{CELL}\": {{");
        parts.edit("run.json", |text| text.replace(&cell, &format!("{cell}\n      \"adapter\": \"ab\",")));
    }),
    (Rule::Released, |parts| {
        let index = Index { medvlm: "0.1.0-dev".into(), ..parts.index() };
        parts.0.insert("submission.json".into(), index.to_bytes().unwrap());
    }),
];

/// Rules that are broken by what is around the submission, in the tests below.
const AROUND: [Rule; 6] =
    [Rule::WholeTask, Rule::OfficialManifests, Rule::OfficialScorers, Rule::FullEvidence, Rule::Signature, Rule::Rerun];

fn file(cell: &str, name: &str) -> String {
    format!("cells/{cell}/{name}")
}

fn first(text: &str) -> &str {
    text.lines().next().unwrap()
}

fn swapped(text: &str) -> String {
    let mut lines: Vec<&str> = text.lines().collect();
    lines.swap(3, 4);
    format!("{}\n", lines.join("\n"))
}

fn counted() -> Bench {
    let bench = Bench::new();
    bench.mock(&[("mock", "")]);
    bench.dots(24);
    let manifest = bench.read("data/dots.toml");
    let counts = "[splits.test]\ncounts = { diagnosis = 24, vqa = 24 }";
    bench.write("data/dots.toml", manifest.replace("[splits.test]", counts));
    let suite = "models = ['mock']\nbootstrap = { resamples = 20 }\n\
                 [[dataset]]\nid = 'dots'\ntask = 'diagnosis'\n[[dataset]]\nid = 'dots'\ntask = 'vqa'\n";
    bench.write("suites/both.toml", suite);
    bench.medvlm(&["run", "suites/both.toml"]).well();
    bench
}

#[test]
fn every_rule_is_broken_by_something_and_told_by_its_number() {
    let bench = counted();
    pack(&bench, "open", "open.zip").well();
    pack(&bench, "closed", "closed.zip").well();
    for (packed, breaks) in [("open.zip", &BREAKS[..]), ("closed.zip", &CLOSED[..])] {
        let whole = Parts::of(&bench.path(packed));
        whole.sealed(&bench.path("again.zip"));
        assert_eq!(fs::read(bench.path("again.zip")).unwrap(), fs::read(bench.path(packed)).unwrap());
        for (rule, damage) in breaks {
            let mut parts = whole.clone();
            damage(&mut parts);
            parts.sealed(&bench.path("bad.zip"));
            let (code, verdict) = verify(&bench, &["bad.zip"]);
            assert!(code == Some(3) && rules_of(&verdict).contains(&rule.number().into()), "{rule:?}: {verdict:#}");
        }
    }
    let broken: BTreeSet<Rule> = BREAKS.iter().chain(&CLOSED).map(|(rule, _)| *rule).chain(AROUND).collect();
    let known: BTreeSet<Rule> = Rule::ALL.iter().copied().filter(|rule| rule.number() > 300).collect();
    assert!(known.is_subset(&broken), "{:?}", known.difference(&broken));
}

/// Bytes all over the files that answers, scores and metrics are made of.
#[test]
fn a_forger_who_rewrites_the_index_is_found_by_scoring_again() {
    let bench = bench();
    pack(&bench, "open", "a.zip").well();
    let whole = Parts::of(&bench.path("a.zip"));
    let mut dice = 7u64;
    for (name, bytes) in whole.0.iter().filter(|(name, _)| name.contains('/')) {
        for _ in 0..3 {
            dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let (at, mask) = ((dice >> 33) as usize % bytes.len(), 1 << (dice >> 61));
            let mut parts = whole.clone();
            parts.0.get_mut(name).unwrap()[at] ^= mask;
            parts.sealed(&bench.path("bad.zip"));
            let (code, verdict) = verify(&bench, &["bad.zip"]);
            let rules = rules_of(&verdict);
            let expected: &[u64] = match name.rsplit('/').next().unwrap() {
                "predictions.jsonl" => &[402, 403, 501, 502],
                "scores.jsonl" => &[501],
                "metrics.json" => &[502],
                file if file.ends_with(".wasm") => &[306],
                file if file.ends_with(".toml") => &[305],
                _ => &[401, 403, 404],
            };
            let right = rules.iter().any(|rule| expected.contains(rule));
            assert!(code == Some(3) && right, "byte {at} of {name} ^ {mask}: {verdict:#}");
        }
    }
}

#[test]
fn the_closed_division_knows_manifests_scorers_and_whole_tasks() {
    let bench = counted();
    pack(&bench, "closed", "a.zip").well();
    let scorers = bench.path("other-scorers");
    fs::create_dir_all(&scorers).unwrap();
    fs::copy(integration_tests::dist().join("scorers/accuracy.wasm"), scorers.join("auroc.wasm")).unwrap();
    let (_, verdict) = verify(&bench, &["a.zip", "--scorer-dir", "other-scorers"]);
    assert_eq!(rules_of(&verdict), [604], "{verdict:#}");
    let manifest = bench.read("data/dots.toml");
    bench.write("data/dots.toml", manifest.replace("a well patient", "somebody well"));
    let (_, verdict) = verify(&bench, &["a.zip"]);
    assert_eq!(rules_of(&verdict), [603], "{verdict:#}");

    let bench = Bench::new();
    bench.mock(&[("good", ""), ("picky", "")]);
    bench.dots(24);
    bench.write("data/more.toml", bench.read("data/dots.toml"));
    let suite = |picky: &str| {
        format!(
            "models = ['good', 'picky']\nbootstrap = {{ resamples = 20 }}\n[[dataset]]\nid = 'dots'\n[[dataset]]\nid = 'more'\n{picky}"
        )
    };
    bench.write("suites/both.toml", suite(""));
    bench.write("both.toml", suite("models = ['good']\n"));
    bench.medvlm(&["run", "both.toml"]).well();
    let said = pack(&bench, "closed", "a.zip");
    said.refused(3, "rule 602: picky: meets only a part of the datasets of `diagnosis`: not more.test");
    assert!(!said.err.contains("rule 601"), "{said:#?}");
    pack(&bench, "open", "a.zip").well();
    let excused = suite("[[exclude]]\nmodels = ['picky']\ndatasets = ['more']\nreason = 'it was made from them'\n");
    bench.write("suites/both.toml", excused);
    bench.medvlm(&["run", "suites/both.toml", "--out", "runs/excused"]).well();
    let how = ["pack", "runs/excused", "--division", "closed", "--suite-dir", "suites", "--out", "b.zip"];
    bench.medvlm(&how).well();
}

#[test]
fn the_closed_division_leaves_no_request_of_a_scorer_open() {
    let bench = Bench::new();
    bench.mock(&[("mock", "")]);
    bench.dots(24);
    let manifest = bench.read("data/dots.toml");
    bench.write("data/dots.toml", manifest.replace("closed = true", "closed_when = { column = 'part', equals = 'a' }"));
    let suite = "models = ['mock']\nscorers = ['gpt-judge']\nbootstrap = { resamples = 20 }\n\
                 [judge]\nmodel = 'nobody'\nbase-url = 'http://127.0.0.1:9/v1'\n[[dataset]]\nid = 'dots'\ntask = 'vqa'\n";
    bench.write("suites/both.toml", suite);
    assert_eq!(bench.medvlm(&["run", "suites/both.toml", "--offline"]).code, Some(1));
    pack(&bench, "closed", "a.zip").refused(3, "12 requests of scorers have no answer");
    pack(&bench, "open", "a.zip").well();
}

#[test]
fn a_signature_is_checked_where_a_key_is_given() {
    let bench = bench();
    let pair = minisign::KeyPair::generate_unencrypted_keypair().unwrap();
    bench.write("key", pair.sk.to_box(None).unwrap().into_string());
    bench.write("key.pub", pair.pk.to_box().unwrap().into_string());
    let other = minisign::KeyPair::generate_unencrypted_keypair().unwrap().pk.to_base64();
    pack(&bench, "open", "a.zip").well();
    let (_, verdict) = verify(&bench, &["a.zip", "--key", "key.pub"]);
    assert_eq!(rules_of(&verdict), [701], "{verdict:#}");
    let said = bench.medvlm(&["pack", "runs/both", "--suite-dir", "suites", "--out", "a.zip", "--sign", "key"]).well();
    assert!(!said.err.contains(bench.read("key").lines().nth(1).unwrap()));
    let (code, verdict) = verify(&bench, &["a.zip", "--key", "key.pub"]);
    assert!(code == Some(0) && verdict["signed"].to_string().contains("medvlm submission, BLAKE3"), "{verdict:#}");
    let (_, verdict) = verify(&bench, &["a.zip", "--key", &other]);
    assert_eq!(rules_of(&verdict), [701], "{verdict:#}");
    bench.medvlm(&["verify", "a.zip", "--key", "nonsense"]).refused(2, "neither a minisign public key nor");
}

/// A forger who knows the model's place but not its answers.
#[test]
fn answers_that_the_model_does_not_give_are_found_by_asking_again() {
    let bench = bench();
    pack(&bench, "open", "a.zip").well();
    let mut parts = Parts::of(&bench.path("a.zip"));
    parts.edit(&file(CELL, "predictions.jsonl"), |text| {
        let (first, rest) = text.split_once('\n').unwrap();
        let mut first: Value = serde_json::from_str(first).unwrap();
        first["logits"] = json!([9.5, 0.25]);
        format!("{first}\n{rest}")
    });
    parts.sealed(&bench.path("bad.zip"));
    let (_, verdict) = verify(&bench, &["bad.zip", "--rerun", "24"]);
    assert!(rules_of(&verdict).contains(&801), "{verdict:#}");
    let (_, verdict) = verify(&bench, &["bad.zip"]);
    assert!(rules_of(&verdict).contains(&501) && !rules_of(&verdict).contains(&801), "{verdict:#}");
}
