//! Files that are broken in every way that users meet: one clear sentence each, and nothing is lost.

use std::fs;

use integration_tests::{Bench, dist};

fn bench() -> Bench {
    let bench = Bench::new();
    bench.mock(&[("mock", "")]);
    bench.dots(6);
    bench.suite(&["mock"], "diagnosis");
    bench
}

const RUN: [&str; 2] = ["run", "suite.toml"];

#[test]
fn unknown_names_suggest_the_nearest() {
    let bench = bench();
    bench.suite(&["mok"], "diagnosis");
    bench.medvlm(&RUN).refused(2, "unknown model `mok`; did you mean `mock`?");
    let suite = bench.write("suite.toml", "models = ['mock']\n[[dataset]]\nid = 'dot'\n");
    bench.medvlm(&RUN).refused(2, "did you mean `dots`?");
    fs::write(&suite, "models = ['mock']\nscorers = ['auroca']\n[[dataset]]\nid = 'dots'\n").unwrap();
    bench.medvlm(&RUN).refused(2, "did you mean `auroc`?");
    fs::write(&suite, "models = ['mock']\n[[dataset]]\nid = 'dots'\nsplit = 'tests'\n").unwrap();
    bench.medvlm(&RUN).refused(2, "did you mean `test`?");
}

#[test]
fn an_unknown_key_names_file_line_and_nearest_key() {
    let bench = bench();
    bench.write("suite.toml", "models = ['mock']\nseedz = [1]\n[[dataset]]\nid = 'dots'\n");
    bench.medvlm(&RUN).refused(3, "suite.toml:2: unknown key `seedz`; did you mean `seeds`?");
    bench.suite(&["mock"], "diagnosis");
    let manifest = bench.read("data/dots.toml").replace("licence =", "license =");
    bench.write("data/dots.toml", manifest);
    bench.medvlm(&RUN).refused(3, "dots.toml:4: unknown key `license`; did you mean `licence`?");
    let bench = self::bench();
    bench.write("plugins/mock.toml", "[[model]]\nid = \"mock\"\narchitecture = \"mock\"\nweight = \"x\"\n");
    bench.medvlm(&RUN).refused(3, "mock.toml:4: unknown key `weight`; did you mean `weights`?");
}

#[test]
fn a_task_that_a_model_scorer_or_dataset_lacks_is_found_while_planning() {
    let bench = bench();
    bench.suite(&["mock"], "caption");
    bench.medvlm(&RUN).refused(2, "has no task `caption`");
    bench.write("suite.toml", "models = ['mock']\nscorers = ['exact-match']\n[[dataset]]\nid = 'dots'\n");
    bench.medvlm(&RUN).refused(2, "scorer `exact-match` does not score `diagnosis`");
    bench.write("suite.toml", "models = ['mock']\nusages = ['lora']\n[[dataset]]\nid = 'dots'\n");
    bench.medvlm(&RUN).refused(2, "usage `lora` is not built into this version");
}

#[test]
fn missing_files_of_a_dataset_are_named() {
    let bench = bench();
    fs::remove_file(bench.path("data/dots/table.csv")).unwrap();
    bench.medvlm(&RUN).refused(3, "table.csv");
}

/// Every picture is broken in another way; each is a failed sample with a sentence, and the run goes on.
#[test]
fn broken_pictures_cost_themselves() {
    let bench = bench();
    let good = fs::read(bench.path("data/dots/0.png")).unwrap();
    bench.write("data/dots/0.png", "");
    bench.write("data/dots/1.png", "no picture at all");
    bench.write("data/dots/2.png", &good[..good.len() - 20]);
    let deep = image::ImageBuffer::from_fn(4, 4, |x, y| image::Luma([(x * 9000 + y) as u16]));
    image::DynamicImage::ImageLuma16(deep).save(bench.path("data/dots/3.png")).unwrap();
    let mut gif = Vec::new();
    let mut encoder = image::codecs::gif::GifEncoder::new(&mut gif);
    encoder.encode_frames((0..2).map(|_| image::Frame::new(image::RgbaImage::new(4, 4)))).unwrap();
    drop(encoder);
    bench.write("data/dots/4.png", gif);
    let said = bench.medvlm(&RUN);
    assert_eq!(said.code, Some(1), "{said:#?}");
    let predictions = bench.read("runs/suite/mock@dots.test.diagnosis.zero-shot.s0/predictions.jsonl");
    let errors: Vec<Option<String>> = predictions
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["error"].as_str().map(String::from))
        .collect();
    assert_eq!(errors.len(), 6);
    assert!(errors[..5].iter().all(Option::is_some) && errors[5].is_none(), "{errors:#?}");
    for (error, part) in errors.iter().flatten().zip(["0.png", "1.png", "2.png", "16", "2 frames"]) {
        assert!(error.contains(part), "`{part}` is not in `{error}`");
    }
}

#[test]
fn a_scorer_that_is_no_component_or_wants_too_much_is_refused() {
    let bench = bench();
    let refused = |sentence: &str| {
        let arguments = ["run", "suite.toml", "--scorer-dir", "scorers"];
        bench.medvlm(&arguments).refused(3, sentence);
    };
    bench.write("scorers/auroc.wasm", "no component");
    refused("scorers/auroc.wasm");
    let good = fs::read(dist().join("scorers/auroc.wasm")).unwrap();
    bench.write("scorers/auroc.wasm", &good[..good.len() / 2]);
    refused("scorers/auroc.wasm");
}

#[test]
fn a_run_directory_that_is_none_is_said() {
    bench().medvlm(&["score", "nowhere"]).refused(2, "nowhere: no run directory (no run.json in it)");
}

#[test]
fn a_broken_prediction_line_is_named() {
    let bench = bench();
    bench.medvlm(&RUN).well();
    let path = "runs/suite/mock@dots.test.diagnosis.zero-shot.s0/predictions.jsonl";
    let text = bench.read(path).replacen("\"logits\"", "\"logitz\"", 1);
    bench.write(path, text);
    bench.medvlm(&RUN).refused(3, "predictions.jsonl:1: no prediction");
}
