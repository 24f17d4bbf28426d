//! The leaderboard, made by the program.

use std::fs;

use super::*;

/// A directory with a valid submission of each division and one that was tampered with.
pub fn submissions(bench: &Bench) {
    fs::create_dir_all(bench.path("all")).unwrap();
    pack(bench, "closed", "all/closed.zip").well();
    let evil = "</script><img src=x onerror=\"window.hacked=1\">";
    let how =
        ["pack", "runs/both", "--suite-dir", "suites", "--out", "all/open.zip", "--submitter", evil, "--note", evil];
    bench.medvlm(&how).well();
    fs::copy(bench.path("all/closed.zip"), bench.path("all/copy.zip")).unwrap();
    let mut parts = Parts::of(&bench.path("all/closed.zip"));
    let metrics = "cells/mock@dots.test.diagnosis.zero-shot.s0/metrics.json";
    parts.edit_json(metrics, |m| m["scorers"][0]["metrics"][0]["value"] = 1.0.into());
    parts.sealed(&bench.path("all/better.zip"));
}

#[test]
fn valid_submissions_are_ranked_and_others_are_listed_with_their_rules() {
    let bench = bench();
    submissions(&bench);
    let make =
        |out: &str| bench.medvlm(&["leaderboard", "all", "--out", out, "--suite-dir", "suites", "--json"]).well();
    let said = make("site");
    assert!(said.err.contains("better.zip: rejected by rules 502"), "{said:#?}");
    let results: Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!(results["entries"].as_array().unwrap().len(), 2, "a copy counts once");
    assert_eq!(results["rejected"][0]["violations"][0]["rule"], 502);
    let numbers = results["numbers"].as_array().unwrap();
    assert!(numbers.iter().all(|number| number["checked"] == "with data" && number["rank"] == 1), "{results:#}");
    let recorded: Value =
        serde_json::from_str(&bench.read("runs/both/mock@dots.test.diagnosis.zero-shot.s0/metrics.json")).unwrap();
    let auroc = numbers.iter().find(|n| n["metric"] == "auroc" && n["division"] == "closed").unwrap();
    assert_eq!(auroc["value"], recorded["scorers"][1]["metrics"][0]["value"]);
    let index = bench.read("site/index.html");
    assert!(index.contains("<b>Rule 502</b>") && !index.contains("<img"), "{index}");
    make("again");
    assert_eq!(bench.files("site"), bench.files("again"), "the same submissions make the same site");
    bench.medvlm(&["leaderboard", "plugins", "--out", "none"]).refused(2, "there are no submissions");
}
