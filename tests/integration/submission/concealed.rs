//! Datasets whose terms keep their samples where they are.

use std::fs;

use serde_json::{Value, json};

use super::*;

const ASKED: &str = "mock@dots.test.vqa.zero-shot.s0";

/// A credentialed dataset with names, patients and questions that nobody else may see.
fn bench() -> Bench {
    let bench = Bench::new();
    bench.mock(&[("mock", "")]);
    bench.dots(24);
    let manifest = bench.read("data/dots.toml");
    let manifest = manifest
        .replace("access = \"open\"", "access = \"credentialed\"")
        .replace("bundled = \"dots\"\n", "")
        .replace("id = \"file\"", "id = \"name\"")
        .replace("column = \"patient\"", "column = \"person\"")
        .replace("closed = true", "closed_when = { column = 'part', equals = 'a' }")
        .replace(
            "[diagnosis]",
            "[columns]\nname = 'film of smith, {{ file }}'\nperson = 'jane smith, {{ patient }}'\n\n[diagnosis]",
        );
    bench.write("data/dots.toml", manifest);
    let suite = "models = ['mock']\nbootstrap = { resamples = 20 }\n\
                 [[dataset]]\nid = 'dots'\ntask = 'diagnosis'\nroot = '../data/dots'\n\
                 [[dataset]]\nid = 'dots'\ntask = 'vqa'\nroot = '../data/dots'\n";
    bench.write("suites/both.toml", suite);
    bench
}

#[test]
fn no_word_of_the_dataset_is_packed_and_it_verifies_where_the_dataset_is() {
    let bench = bench();
    bench.medvlm(&["run", "suites/both.toml"]).well();
    pack(&bench, "open", "a.zip").well();
    let parts = Parts::of(&bench.path("a.zip"));
    // Digests without a key would tell a question to whoever can guess it.
    let prompt =
        |line: &str| serde_json::from_str::<Value>(line).unwrap()["digests"]["prompt"].as_str().unwrap().to_string();
    let digests: Vec<String> =
        bench.read(&format!("runs/both/{ASKED}/predictions.jsonl")).lines().map(prompt).collect();
    for (name, bytes) in parts.0.iter().filter(|(name, _)| name.starts_with("cells/") || name.starts_with("samples/")) {
        let text = String::from_utf8_lossy(bytes);
        for word in ["smith", ".png", "Is picture", "ill patient", "jane"].map(String::from).iter().chain(&digests) {
            assert!(!text.contains(word), "`{word}` is in {name}");
        }
    }
    pack(&bench, "open", "b.zip").well();
    assert_eq!(fs::read(bench.path("a.zip")).unwrap(), fs::read(bench.path("b.zip")).unwrap());

    let states = |arguments: &[&str]| {
        let (code, verdict) = verify(&bench, arguments);
        let cells = verdict["cells"].as_array().unwrap().clone();
        let states: Vec<String> =
            cells.iter().map(|cell| format!("{} {}", cell["checked"], cell["with_data"])).collect();
        (code, states.join(", "), verdict)
    };
    let (code, state, verdict) = states(&["a.zip"]);
    assert_eq!((code, state.as_str()), (Some(0), "\"hashes-only\" false, \"hashes-only\" false"), "{verdict:#}");
    assert!(verdict["notes"].to_string().contains("name its directory with --root"), "{verdict:#}");
    let with_data = ["a.zip", "--root", "dots=data/dots"];
    let (code, state, verdict) = states(&with_data);
    assert_eq!((code, state.as_str()), (Some(0), "\"rescored\" true, \"rescored\" true"), "{verdict:#}");
    let (code, _, verdict) = states(&[&with_data[..], &["--rerun", "5"]].concat());
    assert!(code == Some(0) && verdict["cells"][0]["rerun"] == 5, "{verdict:#}");
}

#[test]
fn forged_numbers_are_found_where_the_dataset_is() {
    let bench = bench();
    bench.medvlm(&["run", "suites/both.toml"]).well();
    pack(&bench, "open", "a.zip").well();
    let whole = Parts::of(&bench.path("a.zip"));
    let forged = |change: &dyn Fn(&mut Parts), arguments: &[&str]| {
        let mut parts = whole.clone();
        change(&mut parts);
        parts.sealed(&bench.path("bad.zip"));
        rules_of(&verify(&bench, &[&["bad.zip"], arguments].concat()).1)
    };
    let root = ["--root", "dots=data/dots"];
    let metrics = format!("cells/{ASKED}/metrics.json");
    let better = |parts: &mut Parts| parts.edit_json(&metrics, |m| m["scorers"][0]["metrics"][0]["value"] = json!(1.0));
    assert_eq!(forged(&better, &root), [502]);
    assert_eq!(forged(&better, &[]), [0; 0], "nobody can tell without the dataset, and the verdict says so");
    let answers = format!("cells/{ASKED}/predictions.jsonl");
    let other = |parts: &mut Parts| parts.edit(&answers, |text| text.replacen("\"text\":\"", "\"text\":\"No. ", 1));
    assert!(forged(&other, &root).contains(&502));
    assert_eq!(forged(&other, &[]), [502], "the metrics name the predictions that they were made from");
    let scores = format!("cells/{ASKED}/scores.jsonl");
    let plain =
        |parts: &mut Parts| parts.edit(&scores, |text| format!("{text}{{\"scorer\":\"a\",\"note\":\"jane smith\"}}\n"));
    assert!(forged(&plain, &[]).contains(&501), "words of the dataset are a violation wherever they turn up");
    let samples = |parts: &mut Parts| {
        parts.edit("samples/dots.test.vqa.jsonl", |text| text.replacen("\"digest\":\"", "\"digest\":\"0", 1));
    };
    assert!(forged(&samples, &root).contains(&404));
}

/// Errors name files, and judges quote what they were shown.
#[test]
fn errors_and_the_words_of_judges_stay_with_the_submitter() {
    let server = crate::server::Server::start(|_, _| {
        Some(crate::server::completion(r#"{"reason":"jane smith is ill","grade":4}"#))
    });
    let bench = bench();
    fs::write(bench.path("data/dots/3.png"), "no picture").unwrap();
    let suite = "models = ['mock']\nscorers = ['exact-match', 'gpt-judge']\nbootstrap = { resamples = 20 }\n\
                 [judge]\nmodel = 'near'\nbase-url = 'BASE'\n\
                 [[dataset]]\nid = 'dots'\ntask = 'vqa'\nroot = '../data/dots'\n";
    bench.write("suites/both.toml", suite.replace("BASE", &server.base));
    let said: Said = bench
        .command()
        .args(["run", "suites/both.toml"])
        .env("XDG_CACHE_HOME", bench.path("cache"))
        .output()
        .unwrap()
        .into();
    assert_eq!(said.code, Some(1), "one sample fails: {said:#?}");
    assert!(bench.read(&format!("runs/both/{ASKED}/evidence.jsonl")).contains("jane smith"));
    assert!(bench.read(&format!("runs/both/{ASKED}/predictions.jsonl")).contains("3.png"));
    pack(&bench, "open", "a.zip").well();
    let parts = Parts::of(&bench.path("a.zip"));
    for name in ["evidence.jsonl", "predictions.jsonl", "scores.jsonl"] {
        let text = parts.text(&format!("cells/{ASKED}/{name}"));
        assert!(!text.contains("smith") && !text.contains(".png") && !text.is_empty(), "{name}: {text}");
    }
    let (code, verdict) = verify(&bench, &["a.zip", "--root", "dots=data/dots"]);
    let cell = &verdict["cells"][0];
    assert_eq!((code, cell["checked"].as_str(), &cell["failed"]), (Some(0), Some("partly"), &json!(1)), "{verdict:#}");
    assert_eq!(cell["rescored"], json!(["exact-match"]));
}
