//! Questions from a manifest to the model and to the scorers: several images a sample, choices, default templates.

use std::fs;

use integration_tests::Bench;
use serde_json::Value;

const MANIFEST: &str = r#"
title = "questions of the integration tests"
citation = "none"
licence = "CC0 1.0"
access = "open"
obtain = "the tests make it"
bundled = "dots"
reader = "jsonl"
files = ["choices.jsonl"]
fields = { id = "id", image = "images", skip_missing = true, groups = ["body"], meta = ["kind"] }

[[question]]
question = "question"
answer = "label"
options = ["A", "B"]
letter = true

[templates]
default = "{{ question }} {% for option in options %}({{ option.letter }}) {{ option.text }} {% endfor %}Letter?"
raw = "{{ question }}"

[splits.test]

[scorers]
vqa = ["exact-match"]
"#;

fn bench() -> Bench {
    let bench = Bench::new();
    bench.mock(&[("mock", "")]);
    bench.dots(4);
    let row = |id: &str, images: &str, label: &str| {
        format!(
            r#"{{"id":"{id}","images":[{images}],"question":"Which?","A":"left","B":"right","label":"{label}","body":"lung","kind":"x"}}"#
        )
    };
    let rows = [
        row("one", r#""0.png""#, "A"),
        row("both", r#""0.png","1.png""#, "A"),
        row("turned", r#""1.png","0.png""#, "B"),
        row("again", r#""0.png","1.png""#, "B"),
        row("lost", r#""0.png","9.png""#, "B"),
    ];
    bench.write("data/dots/choices.jsonl", rows.join("\n"));
    bench.write("data/choices.toml", MANIFEST);
    bench
}

fn lines(bench: &Bench, suite: &str) -> Vec<Value> {
    let file = bench.read(&format!("runs/{suite}/mock@choices.test.vqa.zero-shot.s0/predictions.jsonl"));
    file.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn the_images_of_a_sample_reach_the_model_together_and_in_order() {
    let bench = bench();
    for (name, batch) in [("whole", "8"), ("single", "1")] {
        bench.write(&format!("{name}.toml"), "models = ['mock']\n[[dataset]]\nid = 'choices'\n");
        bench.medvlm(&["run", &format!("{name}.toml"), "--batch-size", batch]).well();
    }
    let whole = lines(&bench, "whole");
    assert_eq!(whole, lines(&bench, "single"));
    assert_eq!(
        whole.iter().map(|line| line["sample"].as_str().unwrap()).collect::<Vec<_>>(),
        ["one", "both", "turned", "again"]
    );
    // The mock digests the prompt and the pixels of all images of its request.
    let input = |position: usize| whole[position]["digests"]["input"].as_str().unwrap();
    assert_eq!(input(1), input(3));
    assert!(input(0) != input(1) && input(1) != input(2));
    let prompt = "Which? (A) left (B) right Letter?";
    assert_eq!(whole[0]["prompt_tokens"], prompt.len(), "the default template");
}

#[test]
fn another_template_is_another_prompt() {
    let bench = bench();
    bench.write("raw.toml", "models = ['mock']\n[[dataset]]\nid = 'choices'\ntemplate = 'raw'\n");
    bench.medvlm(&["run", "raw.toml"]).well();
    assert_eq!(lines(&bench, "raw")[0]["prompt_tokens"], "Which?".len());
}

#[test]
fn a_check_counts_what_is_left_out_and_names_what_is_missing() {
    let bench = bench();
    let said = bench.medvlm(&["data", "check", "choices"]).well();
    assert!(
        said.out.contains("choices.jsonl: 1 of 5 rows name an image that is not there, and give no sample"),
        "{said:?}"
    );
    bench.write("data/choices.toml", MANIFEST.replace("skip_missing = true, ", ""));
    let said = bench.medvlm(&["data", "check", "choices"]);
    assert!(said.code == Some(3) && said.out.contains("9.png"), "{said:?}");
    fs::remove_file(bench.path("data/dots/choices.jsonl")).unwrap();
    bench.medvlm(&["data", "check", "choices"]).refused(3, "`choices.jsonl` of dataset `choices` is missing");
}
