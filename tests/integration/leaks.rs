//! Images and patients on both sides: found by `medvlm data leaks`, refused by `medvlm run`.

use std::{fs, path::Path};

use image::{DynamicImage, Rgb, RgbImage, imageops::FilterType};
use integration_tests::{Bench, Said, dist};
use serde_json::Value;

fn manifest(name: &str, citation: &str) -> String {
    format!(
        r#"
title = "{name}"
citation = "{citation}"
licence = "CC0 1.0"
access = "open"
obtain = "the tests make it"
bundled = "{name}"
reader = "csv"
files = ["table.csv"]
fields = {{ id = "file", image = "file" }}
patient = [{{ column = "patient" }}]

[diagnosis]
label = "label"

[[class]]
name = "well"
values = ["well"]
prompts.published = ["a well patient"]

[[class]]
name = "ill"
values = ["ill"]
prompts.published = ["an ill patient"]

[splits.train]
where = [{{ column = "split", equals = "train" }}]

[splits.test]
where = [{{ column = "split", equals = "test" }}]

[scorers]
diagnosis = ["accuracy"]
"#
    )
}

/// A picture of waves of all directions and lengths, weaker where shorter as in photographs; another one for each seed.
fn picture(seed: u32) -> RgbImage {
    let random = |n: u32| {
        let mixed = (seed * 1009 + n + 1).wrapping_mul(0x9e37_79b9);
        let mixed = (mixed ^ mixed >> 15).wrapping_mul(0x85eb_ca6b);
        f64::from((mixed ^ mixed >> 13) % 1000) / 1000.0
    };
    let wave = |n: u32| {
        (random(3 * n) * 24.0 - 12.0, random(3 * n + 1) * 24.0 - 12.0, random(3 * n + 2) * std::f64::consts::TAU)
    };
    let waves: Vec<(f64, f64, f64)> = (0..60).map(wave).collect();
    RgbImage::from_fn(240, 160, |x, y| {
        let (x, y) = (f64::from(x) / 240.0, f64::from(y) / 160.0);
        let height = |(u, v, phase): &(f64, f64, f64)| {
            (std::f64::consts::TAU * (u * x + v * y) + phase).cos() / (1.0 + u.hypot(*v))
        };
        let grey = (110.0 + 60.0 * waves.iter().map(height).sum::<f64>()).clamp(0.0, 255.0) as u8;
        Rgb([grey, grey.saturating_add(9), grey / 2])
    })
}

/// A dataset of pictures, `(file, picture, split, patient)`.
fn dataset(bench: &Bench, name: &str, citation: &str, rows: &[(&str, RgbImage, &str, &str)]) {
    let mut table = String::from("file,label,patient,split\n");
    for (position, (file, picture, split, patient)) in rows.iter().enumerate() {
        let path = bench.path(&format!("data/{name}/{file}"));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        DynamicImage::from(picture.clone()).save(path).unwrap();
        table.push_str(&format!("{file},{},{patient},{split}\n", if position % 2 == 0 { "ill" } else { "well" }));
    }
    bench.write(&format!("data/{name}/table.csv"), table);
    bench.write(&format!("data/{name}.toml"), manifest(name, citation));
}

/// `films` learns from eight pictures; its test split has copies of four of them, which are compressed, shrunk, cropped
/// and the same, and two pictures of its own, one of them of a patient of the other side. `other` has a copy of one more.
fn bench() -> Bench {
    let bench = Bench::new();
    bench.mock(&[("mock", "feature_dim = 32")]);
    let learnt: Vec<String> = (0..8).map(|i| format!("learnt-{i}.png")).collect();
    let people: Vec<String> = (0..8).map(|i| format!("p{i}")).collect();
    let mut rows: Vec<(&str, RgbImage, &str, &str)> =
        (0..8).map(|i| (learnt[i].as_str(), picture(i as u32), "train", people[i].as_str())).collect();
    rows.push(("compressed.jpeg", picture(0), "test", "q0"));
    rows.push(("shrunk.png", image::imageops::resize(&picture(1), 64, 64, FilterType::CatmullRom), "test", "q1"));
    rows.push(("cropped.png", image::imageops::crop_imm(&picture(2), 40, 0, 160, 160).to_image(), "test", "q2"));
    rows.push(("same.bmp", picture(3), "test", "q3"));
    rows.push(("own.png", picture(20), "test", "q4"));
    rows.push(("related.png", picture(21), "test", "p7"));
    dataset(&bench, "films", "the films", &rows);
    dataset(
        &bench,
        "other",
        "another publication",
        &[
            ("own.png", picture(30), "train", "p7"),
            ("far.png", picture(31), "train", "p8"),
            ("near.jpeg", picture(5), "test", "p6"),
        ],
    );
    bench
}

fn findings(said: &Said) -> Value {
    serde_json::from_str(&said.out).unwrap_or_else(|e| panic!("{e}: {said:#?}"))
}

/// `test = train`, sorted, of the pairs of one leak.
fn pairs(leak: &Value) -> Vec<String> {
    let name = |pair: &Value, side: &str| pair[side]["image"].as_str().unwrap().to_string();
    let sign = |pair: &Value| if pair["distance"].is_null() { "=" } else { "~" };
    let pair = |pair: &Value| format!("{} {} {}", name(pair, "test"), sign(pair), name(pair, "train"));
    let mut pairs: Vec<String> = leak["images"].as_array().unwrap().iter().map(pair).collect();
    pairs.sort();
    pairs
}

#[test]
fn copies_and_patients_are_found_within_and_between_datasets() {
    let bench = bench();
    let said = bench.medvlm(&["data", "leaks", "films", "other", "--json"]);
    assert_eq!(said.code, Some(3), "{said:#?}");
    let found = findings(&said);
    let leaks = found["leaks"].as_array().unwrap();
    let names: Vec<(&str, &str)> =
        leaks.iter().map(|l| (l["train"].as_str().unwrap(), l["test"].as_str().unwrap())).collect();
    assert_eq!(names, [("films.train", "films.test"), ("films.train", "other.test")]);
    let expected = [
        "compressed.jpeg ~ learnt-0.png",
        "cropped.png ~ learnt-2.png",
        "same.bmp = learnt-3.png",
        "shrunk.png ~ learnt-1.png",
    ];
    assert_eq!(pairs(&leaks[0]), expected);
    assert_eq!(leaks[0]["patients"], serde_json::json!([{ "patient": "p7", "train": 1, "test": 1 }]));
    assert_eq!(pairs(&leaks[1]), ["near.jpeg ~ learnt-5.png"]);
    assert_eq!(leaks[1]["patients"], serde_json::json!([]), "another publication names other people");

    let said = bench.medvlm(&["data", "leaks", "films"]);
    assert!(said.out.contains("`films.test` has 1 image, 3 near-duplicates, 1 patient of `films.train`"), "{said:#?}");
    assert!(said.out.contains("patient p7: 1 samples evaluated, 1 learnt from"), "{said:#?}");
    bench.medvlm(&["data", "leaks", "film"]).refused(2, "unknown dataset `film`; did you mean `films`?");
}

#[test]
fn adapters_are_not_fitted_on_what_they_are_evaluated_on() {
    let bench = bench();
    let suite = "models = ['mock']\nusages = ['linear-probe']\n[[dataset]]\nid = 'films'\n";
    bench.write("suite.toml", suite);
    let said = bench.medvlm(&["run", "suite.toml"]);
    said.refused(
        2,
        "`films.test` has 1 image, 3 near-duplicates, 1 patient of `films.train`, and adapters are fitted on",
    );
    assert!(!bench.path("runs").exists(), "nothing was begun");

    let allowed = "[[allow_leak]]\ntrain = 'films.train'\ntest = 'films.test'\nreason = 'made so'\n";
    bench.write("suite.toml", format!("{suite}{allowed}"));
    let said = bench.medvlm(&["run", "suite.toml"]).well();
    assert!(said.err.contains("of `films.train` (made so)"), "{said:#?}");
    assert!(bench.read("runs/suite/run.json").contains("made so"));
    assert!(bench.read("runs/suite/report.html").contains("(allowed: made so)"));
    let leaks: Value = serde_json::from_str(&bench.read("runs/suite/leaks.json")).unwrap();
    assert_eq!(leaks["leaks"][0]["same"], 1);
    bench.medvlm(&["data", "leaks", "suite.toml"]).well();

    bench.write("suite.toml", format!("{suite}{}", allowed.replace("made so", " ")));
    bench
        .medvlm(&["run", "suite.toml"])
        .refused(3, "[[allow_leak]] of `films.train` and `films.test`: `reason` is empty");
    bench.write("suite.toml", format!("{suite}{}", allowed.replace("films.test", "film.test")));
    bench.medvlm(&["run", "suite.toml"]).refused(3, "`film` is none of the suite's datasets; did you mean `films`?");
}

#[test]
fn what_is_used_as_published_is_only_told_of() {
    let bench = bench();
    let zero_shot = "[[dataset]]\nid = 'films'\nusages = ['zero-shot']\n";
    bench.write("suite.toml", format!("models = ['mock']\n{zero_shot}"));
    let said = bench.medvlm(&["run", "suite.toml"]).well();
    assert!(!said.err.contains("leak"), "nothing is learnt: {said:#?}");

    // An adapter is fitted on a film of `other`, which is evaluated as published.
    let fitted =
        "[[dataset]]\nid = 'other'\nusages = ['zero-shot']\n[[dataset]]\nid = 'films'\nusages = ['linear-probe']\n";
    let allowed = "[[allow_leak]]\ntrain = 'films.train'\ntest = 'films.test'\nreason = 'made so'\n";
    bench.write("suite.toml", format!("models = ['mock']\n{fitted}{allowed}"));
    let said = bench.medvlm(&["run", "suite.toml", "--out", "both"]).well();
    let told = "note: `other.test` has 1 near-duplicate of `films.train` (no adapter is evaluated on it)";
    assert!(said.err.contains(told), "{said:#?}");
    assert!(bench.read("both/report.html").contains("(no adapter is evaluated on it)"));
}

#[test]
fn an_image_is_looked_at_once() {
    let bench = bench();
    let look = |names: &[&str]| -> Said {
        let mut command = bench.command();
        command.args(["data", "leaks", "--json"]).args(names).env("XDG_CACHE_HOME", bench.path("cache"));
        command.output().unwrap().into()
    };
    let first = look(&["films"]);
    assert!(first.err.contains("looking for leaks: films.train 0/8 images"), "{first:#?}");
    let again = look(&["films"]);
    assert_eq!((again.err.as_str(), &again.out), ("", &first.out));
    bench.write("data/films/learnt-5.png", fs::read(bench.path("data/films/own.png")).unwrap());
    let other = look(&["films"]);
    assert!(other.out.contains("\"same\": 2"), "another file, another fingerprint: {other:#?}");
    let split = look(&["films.train"]);
    assert!(split.out.contains("\"leaks\": []") && split.code == Some(0), "{split:#?}");
}

#[test]
fn a_limit_leaves_out_what_is_not_evaluated() {
    let bench = bench();
    bench.write("suite.toml", "models = ['mock']\nlimit = 1\n[[dataset]]\nid = 'films'\nusages = ['linear-probe']\n");
    let said = bench.medvlm(&["run", "suite.toml"]);
    said.refused(2, "`films.test` has 1 near-duplicate of `films.train`, and adapters");
}

#[test]
fn the_bundled_suite_shares_nothing() {
    let bench = Bench::new();
    let suite = dist().join("suites/quickstart.toml");
    let said = bench.medvlm(&["data", "leaks", &suite.display().to_string()]).well();
    assert!(said.out.ends_with("nothing is shared\n"), "{said:#?}");
}

/// PneumoniaMNIST was made from the films of ChestXray: cropped to squares, shrunk to 28 pixels. Of the sixteen of
/// ChestXray's validation split, this copy of PneumoniaMNIST, whose training split is undersampled, holds ten.
#[test]
fn real_films_are_recognised_at_28_pixels() {
    let Some(data) = std::env::var_os("MEDVLM_REAL_DATA") else {
        eprintln!("skipped: MEDVLM_REAL_DATA is unset");
        return;
    };
    let bench = Bench::new();
    bench.write("suite.toml", "models = ['clip']\n[[dataset]]\nid = 'pneumonia-mnist'\n[[dataset]]\nid = 'chest-xray'\nsplit = 'validation'\n");
    let root = |id: &str, dir: &str| format!("{id}={}", Path::new(&data).join(dir).display());
    let (small, large) = (root("pneumonia-mnist", "medmnist"), root("chest-xray", "chest_xray"));
    let said = bench.medvlm(&["data", "leaks", "suite.toml", "--root", &small, "--root", &large, "--json"]);
    assert_eq!(said.code, Some(3), "{said:#?}");
    let found = findings(&said);
    let near = |train: &str, test: &str| {
        let leaks = found["leaks"].as_array().unwrap().iter();
        let mut named = leaks.filter(|leak| leak["train"] == train && leak["test"] == test);
        named.next().map_or(0, |leak| leak["near"].as_u64().unwrap())
    };
    let test = "chest-xray.validation";
    assert_eq!((near("pneumonia-mnist.train", test), near("pneumonia-mnist.validation", test)), (8, 2));
    assert_eq!(near("chest-xray.validation", "pneumonia-mnist.test"), 0);
}
