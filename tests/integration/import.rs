//! Prediction files of other programs: they score to the numbers of their own program, and to the right ones beside them.

use std::{fs, path::Path};

use integration_tests::{Bench, Said};
use serde_json::{Value, json};

/// What `original.py` makes of the same predictions.
fn golden() -> Value {
    serde_json::from_str(include_str!("import/golden.json")).unwrap()
}

const MANIFEST: &str = r#"
title = "questions of the integration tests"
citation = "none"
licence = "CC0 1.0"
access = "open"
obtain = "the tests make it"
bundled = "asked"
reader = "jsonl"
files = ["asked.jsonl"]
fields = { id = "id", image = "image" }

[[question]]
question = "question"
answer = "answer"
closed_when = { column = "closed", equals = "true" }

[caption]
report = "answer"
prompt = "Can you provide a medical report for this image?"

[diagnosis]
label = "label"

[[class]]
name = "well"
values = ["0"]
prompts.published = ["a well patient"]

[[class]]
name = "ill"
values = ["1"]
prompts.published = ["an ill patient"]

[templates]
default = "{{ question }}"
medvlmbench = "{% if answer|lower in ['yes', 'no'] %}Answer the following question about the image with yes or no. {% endif %}{{ question }}"

[splits.test]

[scorers]
vqa = ["bleu", "rouge", "meteor", "token-f1", "closed-accuracy"]
caption = ["bleu", "rouge"]
diagnosis = ["accuracy", "auroc"]
"#;

/// A dataset `asked` of rows with `question`, `answer`, `closed` and `label`; the image of row `i` is `p{i}/image.png`.
fn bench(rows: &[Value]) -> Bench {
    let bench = Bench::new();
    let mut table = String::new();
    for (i, row) in rows.iter().enumerate() {
        let picture = image::RgbImage::from_pixel(4, 4, image::Rgb([i as u8, 0, 0]));
        let path = bench.path(&format!("data/asked/p{i}/image.png"));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        picture.save(path).unwrap();
        let mut row = row.clone();
        row["id"] = json!(format!("s{i}"));
        row["image"] = json!(format!("p{i}/image.png"));
        row["closed"] = json!(row["closed"].as_bool().unwrap_or(false).to_string());
        table.push_str(&format!("{row}\n"));
    }
    bench.write("data/asked/asked.jsonl", table);
    bench.write("data/asked.toml", MANIFEST);
    bench
}

fn import(bench: &Bench, file: &str, more: &[&str]) -> Said {
    let mut arguments = vec!["import", file, "--dataset", "asked", "--model", "someone-7b", "--out", "run"];
    arguments.extend(more);
    bench.medvlm(&arguments)
}

fn cell(bench: &Bench) -> String {
    let record: Value = serde_json::from_str(&bench.read("run/run.json")).unwrap();
    record["cells"].as_object().unwrap().keys().next().unwrap().clone()
}

fn metric(bench: &Bench, scorer: &str, name: &str) -> Option<f64> {
    let metrics: Value = serde_json::from_str(&bench.read(&format!("run/{}/metrics.json", cell(bench)))).unwrap();
    let of = metrics["scorers"].as_array().unwrap().iter().find(|s| s["id"] == scorer).unwrap();
    let metric = of["metrics"].as_array().unwrap().iter().find(|metric| metric["name"] == name).unwrap();
    metric["value"].as_f64()
}

/// Fails unless every number of MedVLMBench is that of the compatible scorer, and every right one that of its own.
fn compare(bench: &Bench, golden: &Value) {
    for (name, expected) in golden["compat"].as_object().unwrap() {
        let (value, expected) = (metric(bench, "medvlmbench-compat", name).unwrap(), expected.as_f64().unwrap());
        // MedVLMBench computes BLEU and ROUGE in single precision.
        let rounded = name.starts_with("bleu") || name.starts_with("rouge");
        let tolerance = if rounded { 1e-6 } else { 1e-12 };
        assert!((value - expected).abs() < tolerance, "{name}: {value}, MedVLMBench {expected}");
    }
    for (name, expected) in golden["right"].as_object().unwrap() {
        let scorer = match name.split('_').next() {
            Some("bleu") => "bleu",
            Some("meteor") => "meteor",
            Some("token") => "token-f1",
            _ => "rouge",
        };
        let (value, expected) = (metric(bench, scorer, name).unwrap(), expected.as_f64().unwrap());
        assert!((value - expected).abs() < 1e-10, "{name}: {value}, right is {expected}");
    }
}

/// The records as MedVLMBench writes them, on its own machine and out of order.
fn records(samples: &[Value]) -> Vec<Value> {
    let polar = |answer: &str| ["yes", "no"].contains(&answer.to_lowercase().as_str());
    let record = |(i, sample): (usize, &Value)| {
        let (question, answer) = (sample["question"].as_str().unwrap(), sample["answer"].as_str().unwrap());
        let hint = if polar(answer) { "Answer the following question about the image with yes or no. " } else { "" };
        let mut record = json!({
            "image_path": format!("/home/someone/data/imgs/p{i}/image.png"),
            "question_type": if sample["closed"] == true { "CLOSED" } else { "OPEN" },
            "qs": format!("{hint}{question}"),
            "answer": answer,
            "prediction": sample["prediction"],
        });
        if sample["prediction"].is_null() {
            record["error"] = json!("the endpoint did not answer");
            record["status"] = json!("failed");
        }
        record
    };
    let mut records: Vec<Value> = samples.iter().enumerate().map(record).collect();
    records.reverse();
    records
}

#[test]
fn an_original_file_scores_to_the_originals_numbers_and_to_the_right_ones() {
    let golden = &golden()["questions"];
    let samples = golden["samples"].as_array().unwrap();
    let bench = bench(samples);
    let records = records(samples);
    bench.write("predictions.json", json!(records).to_string());
    let said = import(&bench, "predictions.json", &[]);
    assert_eq!(said.code, Some(1), "two have failed: {said:#?}");
    assert!(said.out.contains("20 of 20 samples have a prediction, 2 of them failed"), "{said:#?}");
    bench.medvlm(&["score", "run"]).well();
    compare(&bench, golden);
    // "no" is in "normal" and in "know"; by whole words both are wrong, and so is the failed one.
    assert_eq!(metric(&bench, "medvlmbench-compat", "accuracy_closed"), Some(5.0 / 7.0));
    assert_eq!(metric(&bench, "closed-accuracy", "closed_accuracy"), Some(3.0 / 7.0));

    let record: Value = serde_json::from_str(&bench.read("run/run.json")).unwrap();
    let fingerprint = &record["cells"]["someone-7b@asked.test.vqa.zero-shot.s0"];
    assert_eq!(fingerprint["imported.format"], "medvlmbench");
    assert!(fingerprint["imported.file"].as_str().is_some_and(|digest| digest.len() == 32), "{record}");
    assert!(bench.medvlm(&["report", "run"]).well().out.contains("accuracy_closed"));
    assert!(bench.read("run/report.html").contains("imported.file"));

    let said = bench.medvlm(&["status", "run"]);
    assert!(said.code == Some(1) && said.out.contains("someone-7b"), "two samples have no answer: {said:#?}");

    // The older form, a list of batches, says the same; the same file again changes nothing.
    let before = bench.files("run");
    import(&bench, "predictions.json", &[]);
    assert_eq!(bench.files("run"), before);
    let keys = ["image_path", "qs", "answer", "prediction", "error"];
    let batch = |records: &[Value]| -> Value {
        keys.map(|key| (key.to_string(), records.iter().map(|record| record[key].clone()).collect::<Value>()))
            .into_iter()
            .collect()
    };
    bench.write("batches.json", json!(records.chunks(8).map(batch).collect::<Vec<_>>()).to_string());
    import(&bench, "batches.json", &[]).refused(2, "was predicted from other inputs (changed: imported.file)");
    let said = import(&bench, "batches.json", &["--redo"]);
    assert!(said.out.contains("20 of 20 samples"), "{said:#?}");
    bench.medvlm(&["score", "run"]).well();
    compare(&bench, golden);
    let other = ["import", "predictions.json", "--dataset", "asked", "--model", "another", "--out", "other"];
    bench.medvlm(&other);
    bench.medvlm(&["score", "other"]).well();
    assert!(bench.medvlm(&["compare", "run", "other"]).well().out.contains("accuracy_closed"));
}

#[test]
fn diagnoses_are_scored_by_their_order() {
    let golden = &golden()["diagnoses"];
    let samples = golden["samples"].as_array().unwrap();
    let rows: Vec<Value> =
        samples.iter().map(|s| json!({ "question": "?", "answer": "-", "label": s["true_label"] })).collect();
    let bench = bench(&rows);
    bench.write("predictions.json", json!(samples).to_string());
    import(&bench, "predictions.json", &[]).well();
    bench.medvlm(&["score", "run"]).well();
    assert_eq!(cell(&bench), "someone-7b@asked.test.diagnosis.zero-shot.s0");
    assert_eq!(metric(&bench, "accuracy", "accuracy"), golden["accuracy"].as_f64());
    assert_eq!(metric(&bench, "auroc", "auroc"), golden["auroc"].as_f64());

    bench.write("cut.json", json!(&samples[1..]).to_string());
    import(&bench, "cut.json", &[]).refused(3, "15 records without images, the split 16 samples");
    let mut other = samples.clone();
    other.swap(1, 2);
    other[5]["pred_label"] = json!(0);
    bench.write("other.json", json!(other).to_string());
    let said = import(&bench, "other.json", &["--redo"]);
    said.refused(1, "other.json [1]: `true_label` is 1, but sample `s1` is of class [0]");
    said.refused(1, "other.json [5]: `pred_label` is 0, but `pred_score` is greatest for 1");
    assert!(said.out.contains("16 records of medvlmbench: 3 not imported"), "{said:#?}");
}

#[test]
fn what_fits_no_sample_or_several_is_told_and_nothing_is_guessed() {
    let row = |question: &str, answer: &str| json!({ "question": question, "answer": answer });
    let rows =
        [row("Is it?", "yes"), row("Is it?", "yes"), row("Where?", "left"), row("What?", "lung"), row("Why?", "so")];
    let bench = bench(&rows);
    let record = |image: &str, qs: &str, answer: &str, prediction: &str| json!({ "image_path": image, "qs": qs, "answer": answer, "prediction": prediction });
    let records = [
        record("imgs/p2/image.png", "where?", "Left", "left"),
        record("7.jpg", "Is it?", "yes", "yes"),
        record("7.jpg", "Who?", "me", "me"),
        record("7.jpg", "What?", "heart", "lung"),
        record("imgs/p2/image.png", "What?", "lung", "lung"),
        record("imgs/p2/image.png", "Where?", "left", "right"),
        record("imgs/p2/image.png", "Where?", "left", "left"),
        json!({ "image_path": "imgs/p4/image.png", "qs": "Why?", "answer": "so" }),
    ];
    bench.write("predictions.json", json!(records).to_string());
    let said = import(&bench, "predictions.json", &[]);
    for sentence in [
        "predictions.json [1]: fits 2 samples (s0, s1, …) and does not tell which",
        "predictions.json [2]: its question `Who?` is not in the split",
        "predictions.json [3]: no sample of the split with its question has the answer `heart`",
        "predictions.json [4]: no sample of the split with its question shows `imgs/p2/image.png`",
        "predictions.json [5]: is another answer to sample `s2`, which [0] has answered",
        "predictions.json [7]: has no prediction",
    ] {
        said.refused(1, sentence);
    }
    assert!(said.out.contains("8 records of medvlmbench: 6 not imported, 1 repeated"), "{said:#?}");
    assert!(said.out.contains("1 of 5 samples have a prediction, 0 of them failed"), "{said:#?}");
    let kept: Value = serde_json::from_str(&bench.read("run/import.json")).unwrap();
    assert_eq!(kept["problems"].as_array().unwrap().len(), 6);
    let said = bench.medvlm(&["score", "run"]).well();
    assert!(said.err.contains("only 1 of 5 samples are predicted"), "{said:#?}");
}

#[test]
fn files_that_are_none_are_refused_with_a_sentence() {
    let bench = bench(&[json!({ "question": "Is it?", "answer": "yes" })]);
    let import = |text: &str, more: &[&str]| {
        bench.write("file.json", text);
        import(&bench, "file.json", more)
    };
    import("{}", &[]).refused(3, "neither a list as MedVLMBench's `predictions.json` nor lines with `doc_id`");
    import("[", &[]).refused(3, "file.json:1: no list of records");
    import("[]", &[]).refused(3, "holds no records");
    import("[]", &["--from", "lmeval"]).refused(2, "did you mean `lm-eval`?");
    import(r#"[{"qs":"Who?","answer":"me","prediction":"me"}]"#, &[])
        .refused(3, "none of its records is of split `test` of `asked`");
    import(r#"[{"qs":"Is it?","answer":"yes","prediction":"me"}]"#, &["--task", "caption"])
        .refused(2, "holds records of `vqa`");
    import(r#"[{"qs":"Is it?","answer":"yes","prediction":"me"}]"#, &["--split", "tst"]).refused(2, "tst");
    import(r#"[{"qs":"Is it?","answer":"yes","prediction":"me"}]"#, &["--usage", "clip-zz"])
        .refused(2, "did you mean `clip-zs`?");
    assert!(!bench.path("run").exists(), "nothing was begun");
}

#[test]
fn sample_files_of_harnesses_and_reports_are_taken_over() {
    let row = |question: &str, answer: &str| json!({ "question": question, "answer": answer });
    let bench = bench(&[row("Is it?", "yes"), row("Is it?", "yes"), row("Where?", "left")]);
    let line = |id: usize, question: &str, answer: &str, said: &str| {
        json!({ "doc_id": id, "doc": { "question": question }, "target": answer, "arguments": [[question, {}]],
            "resps": [[said]], "filtered_resps": [said.to_lowercase()], "prompt_hash": "0" })
    };
    let lines = [line(1, "Is it?", "yes", "No"), line(0, "Is it?", "yes", "Yes"), line(2, "Where?", "left", "Left")];
    bench.write("samples_asked.jsonl", lines.map(|line| line.to_string()).join("\n"));
    let said = import(&bench, "samples_asked.jsonl", &[]).well();
    assert!(said.out.contains("3 records of lm-eval"), "{said:#?}");
    let predictions = bench.read(&format!("run/{}/predictions.jsonl", cell(&bench)));
    let texts: Vec<Value> =
        predictions.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["text"].clone()).collect();
    assert_eq!(texts, ["Yes", "No", "Left"]);

    let reports = json!([
        { "image_path": "a/p2/image.png", "caption": "left", "prediciton": "on the left" },
        { "image_path": "a/p0/image.png", "caption": "yes", "prediciton": "it is" },
        { "image_path": "a/p1/image.png", "caption": "yes", "prediciton": "it was" },
    ]);
    bench.write("predictions.json", reports.to_string());
    bench
        .medvlm(&["import", "predictions.json", "--dataset", "asked", "--model", "m", "--out", "reports", "--json"])
        .well();
    let predictions = bench.read("reports/m@asked.test.caption.zero-shot.s0/predictions.jsonl");
    let first: Value = serde_json::from_str(predictions.lines().next().unwrap()).unwrap();
    assert_eq!((&first["sample"], &first["text"]), (&json!("s0"), &json!("it is")));
    bench.medvlm(&["score", "reports"]).well();
}

#[test]
fn the_numbers_of_real_questions_are_those_of_the_original() {
    let Some(data) = std::env::var_os("MEDVLM_REAL_DATA") else {
        eprintln!("skipped: MEDVLM_REAL_DATA is unset");
        return;
    };
    let root = Path::new(&data).join("vqa-rad");
    let rows: Vec<Value> =
        serde_json::from_slice(&fs::read(root.join("VQA_RAD Dataset Public.json")).unwrap()).unwrap();
    let tested = |row: &&Value| ["test_freeform", "test_para"].contains(&row["phrase_type"].as_str().unwrap());
    let records: Vec<Value> = rows.iter().filter(tested).enumerate().map(|(i, row)| {
        let answer = row["answer"].as_str().map_or_else(|| row["answer"].to_string(), String::from).trim().to_string();
        let words: Vec<&str> = answer.split(' ').collect();
        let said = match i % 6 {
            0 => answer.clone(),
            1 => format!("It is {answer}."),
            2 => "It is normal".into(),
            3 => words[0].into(),
            4 => words.iter().rev().copied().collect::<Vec<_>>().join(" "),
            _ => format!("Yes, {answer}"),
        };
        let image = format!("./data/{}", row["image_name"].as_str().unwrap());
        json!({ "image_path": image, "question_type": "", "qs": row["question"], "answer": answer, "prediction": said })
    }).collect();
    let golden = &golden()["vqa-rad"];
    assert_eq!(golden["samples"], records.len());
    let bench = Bench::new();
    bench.write("predictions.json", json!(records).to_string());
    let root = root.display().to_string();
    let arguments = ["--dataset", "vqa-rad-original", "--root", &root, "--model", "someone-7b", "--out", "run"];
    bench.medvlm(&[&["import", "predictions.json"], &arguments[..]].concat()).well();
    // METEOR is none of the dataset's own scorers.
    let record = bench.read("run/run.json").replace("\"bleu\",\n", "\"bleu\",\n      \"meteor\",\n");
    bench.write("run/run.json", record);
    bench.medvlm(&["score", "run"]).well();
    compare(&bench, golden);
}
