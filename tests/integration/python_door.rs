//! Models in Python: answers, every way to misbehave, nothing left behind, and the reference implementations.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::{Duration, Instant},
};

use integration_tests::{Bench, Said, dist, root};
use serde_json::Value;

mod authors;

#[allow(clippy::print_stderr, reason = "a skipped test says so")]
fn skip(reason: &str) {
    eprintln!("skipped: {reason}");
}

/// A workplace with the plugin, the worker kit, the stub and a row `stub` with these options; none without Python.
fn bench(options: &str) -> Option<Bench> {
    let there = Command::new("python3").arg("--version").output().is_ok_and(|output| output.status.success());
    if !there {
        skip("there is no python3 on this machine");
        return None;
    }
    let bench = Bench::new();
    lay_out(&bench);
    bench.write("plugins/stub.py", fs::read(root().join("tests/integration/python_door/stub.py")).unwrap());
    row(&bench, &format!("script = \"stub.py\"\npython = \"python3\"\n{options}"));
    bench.dots(12);
    Some(bench)
}

/// The plugin as `dist/` has it, without its rows.
fn lay_out(bench: &Bench) {
    let from = dist().join("plugins");
    for package in ["python/kit/medvlm_worker", "python/workers"] {
        for file in fs::read_dir(from.join(package)).unwrap().flatten().filter(|f| f.path().is_file()) {
            let to = format!("plugins/{package}/{}", file.file_name().to_string_lossy());
            bench.write(&to, fs::read(file.path()).unwrap());
        }
    }
    fs::copy(from.join("python.so"), bench.path("plugins/python.so")).unwrap();
}

fn row(bench: &Bench, options: &str) {
    let row = format!("[[model]]\nid = \"stub\"\narchitecture = \"python\"\n[model.options]\n{options}\n");
    bench.write("plugins/python.toml", row);
}

/// Runs the stub on 12 samples; what the run said, and the index and error of each failed sample.
fn run(bench: &Bench, task: &str, flags: &[&str]) -> (Said, Vec<(u64, String)>) {
    bench.suite(&["stub"], task);
    let size: &[&str] = if flags.contains(&"--batch-size") { &[] } else { &["--batch-size", "8"] };
    let said = bench.medvlm(&[&["run", "suite.toml"], size, flags].concat());
    let failed: Vec<(u64, String)> = predictions(bench, task, &said)
        .iter()
        .filter_map(|line| Some((line["index"].as_u64()?, line["error"].as_str()?.to_string())))
        .collect();
    assert_eq!(said.code, Some(i32::from(!failed.is_empty())), "{said:#?}");
    (said, failed)
}

fn predictions(bench: &Bench, task: &str, said: &Said) -> Vec<Value> {
    let file = bench.path(&format!("runs/suite/stub@dots.test.{task}.zero-shot.s0/predictions.jsonl"));
    let text = fs::read_to_string(file).unwrap_or_else(|e| panic!("{e}: {said:#?}"));
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 12, "{said:#?}");
    lines
}

/// One poisonous sample costs itself: index 5, whose pictures are red 5. Returns what the run said.
fn one_failure(behave: &str, sentence: &str) -> Option<Said> {
    let bench = bench(&format!("poison = 5\nbehave = \"{behave}\""))?;
    let (said, failed) = run(&bench, "diagnosis", &["--timeout", "20"]);
    assert_eq!(failed.len(), 1, "{failed:?} {said:#?}");
    assert_eq!(failed[0].0, 5);
    assert!(failed[0].1.contains(sentence), "{failed:?}");
    Some(said)
}

#[test]
fn questions_and_diagnoses_are_answered_and_scored() {
    let Some(bench) = bench("") else { return };
    let (said, failed) = run(&bench, "vqa", &[]);
    assert_eq!(failed, [], "{said:#?}");
    // The stub says yes to every third picture, which is the truth, whatever the order in which it answers.
    let metrics = bench.read("runs/suite/stub@dots.test.vqa.zero-shot.s0/metrics.json");
    let metrics: Value = serde_json::from_str(&metrics).unwrap();
    assert!(metrics.to_string().contains("\"value\":1.0"), "{metrics:#}");
    let first = &predictions(&bench, "vqa", &said)[3];
    assert_eq!((first["text"].as_str(), first["finish"].as_str()), (Some("yes"), Some("stop")), "{first:#}");

    let (said, failed) = run(&bench, "diagnosis", &[]);
    assert_eq!(failed, [], "{said:#?}");
    for line in predictions(&bench, "diagnosis", &said) {
        let logits: Vec<f64> = line["logits"].as_array().unwrap().iter().filter_map(Value::as_f64).collect();
        // Prompts of 14 and 14 letters: the weights are equal, and the pictures are neither black nor white.
        assert!(logits.len() == 2 && logits.iter().all(|l| *l > 0.0), "{line:#}");
    }
}

#[test]
fn every_method_becomes_a_capability_that_passes_its_check() {
    let Some(bench) = bench("") else { return };
    let said = bench.medvlm(&["check", "plugins/python.so"]).well();
    for line in [
        "zero-shot answers 2 logits",
        "features have 2 columns",
        "generate answers",
        "choose rates",
        "embed-text embeds 2",
    ] {
        assert!(said.out.contains(line), "{said:#?}");
    }
    let image = bench.path("data/dots/3.png");
    let said = bench.medvlm(&["infer", "stub", "--image", &image.to_string_lossy(), "--text", "a", "--json"]).well();
    let seen: Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!(seen["arrays"]["image_features"].to_string(), "[1,2]");
    assert_eq!(seen["arrays"]["sizes"].to_string(), "[1,2]");
}

#[test]
fn exceptions_cost_one_sample_and_leave_their_place_in_the_log() {
    let Some(said) = one_failure("raise", "ValueError: as the row says") else { return };
    assert!(said.err.contains("stub.py\", line") && said.err.contains("in misbehave"), "{said:#?}");
    one_failure("typed", "this sample is poisonous");
    one_failure("memory", "nothing is left");
}

#[test]
fn wrong_shapes_cost_one_sample() {
    one_failure("wrong-rows", "ValueError: `zero_shot` returned an array of shape [0]; expected [1, 2]");
    one_failure("wrong-columns", "ValueError: `zero_shot` returned an array of shape [1, 1]; expected [1, 2]");
}

#[test]
fn a_dead_process_costs_one_sample_and_is_started_again() {
    one_failure("exit", "the Python process exited with code 4");
    one_failure("abort", "the Python process died of signal 6");
    let Some(bench) = bench("poison = 5\nbehave = \"exit\"\ntrail = \"trail\"\nonce = \"once\"") else { return };
    assert_eq!(run(&bench, "diagnosis", &[]).1, []);
    // One process to start with, and one after the death that does not come back.
    assert_eq!(bench.read("trail").lines().count(), 2);
}

#[test]
fn prints_reach_the_log_and_no_frame() {
    let Some(bench) = bench("poison = 5\nbehave = \"garbage\"") else { return };
    let (said, failed) = run(&bench, "diagnosis", &[]);
    assert_eq!(failed, [], "{said:#?}");
    assert!(said.err.contains("python: no frame, but a line"), "{said:#?}");
}

#[test]
fn a_hanging_process_costs_one_sample_and_leaves_no_orphan() {
    let Some(bench) = bench("poison = 5\nbehave = \"hang\"\ntrail = \"trail\"") else { return };
    let (said, failed) = run(&bench, "diagnosis", &["--timeout", "2"]);
    assert_eq!(failed.len(), 1, "{said:#?}");
    assert!(failed[0].1.contains("the worker did not answer within 2 s and was ended"), "{failed:?}");
    let started: BTreeSet<String> = bench.read("trail").lines().map(String::from).collect();
    assert!(started.len() >= 4, "each hanging process has a child: {started:?}");
    let patience = Instant::now() + Duration::from_secs(5);
    while started.iter().any(|pid| is_alive(pid)) {
        assert!(Instant::now() < patience, "processes are left: {started:?}");
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_request_of_a_batch_may_fail_alone() {
    let Some(bench) = bench("poison = \"picture 7 \"\nbehave = \"one-error\"") else { return };
    assert_eq!(run(&bench, "vqa", &[]).1, [(7, "no answer to this".to_string())]);
    let Some(bench) = self::bench("poison = \"picture 7 \"\nbehave = \"silent\"") else { return };
    let failed = run(&bench, "vqa", &[]).1;
    assert_eq!(failed, [(7, "ValueError: `generate` left 1 of 1 requests unanswered".to_string())]);
}

#[test]
fn what_keeps_a_model_from_opening_is_said_in_one_sentence() {
    let Some(bench) = bench("") else { return };
    let refused = |options: &str, sentence: &str| {
        row(&bench, options);
        bench.medvlm(&["check", "plugins/python.so"]).refused(3, sentence);
    };
    let script = |text: &str| {
        bench.write("plugins/other.py", text);
        "script = \"other.py\"\npython = \"python3\"\nrequirements = [\"torch\"]"
    };
    refused("script = \"none.py\"", "none.py: no such script");
    refused("script = \"stub.py\"\npython = \"no-python\"", "there is no Python at `no-python`");
    refused("script = \"stub.py\"\nvenv = \"none\"", "make it with `python3 -m venv");
    refused(script("import no_such_package"), "-m pip install torch`");
    refused(script("x = 1"), "other.py: defines no class `Model`");
    refused(script("def f(:"), "SyntaxError: invalid syntax");
    let stub = "script = \"stub.py\"\npython = \"python3\"\n";
    refused(&format!("{stub}behave = \"refuse\""), "this model does not open");
    refused(&format!("{stub}behave = \"exit-early\""), "the Python process exited with code 3: last words");
    refused(&format!("{stub}behaves = \"well\""), "unknown option `behaves`; did you mean `behave`?");
    fs::remove_dir_all(bench.path("plugins/python/kit")).unwrap();
    refused(stub, "the worker kit is missing, install it with `pip install`");
}

#[test]
fn parity_compares_arrays_and_tokens_with_the_reference() {
    let Some(bench) = bench("") else { return };
    let row = |id: &str, options: &str| {
        format!(
            "[[model]]\nid = \"{id}\"\narchitecture = \"python\"\n[model.options]\nscript = \"stub.py\"\n\
             python = \"python3\"\n{options}\n"
        )
    };
    bench.write("plugins/python.toml", [row("stub", ""), row("stub-authors", "")].concat());
    let said = bench.medvlm(&["parity", "stub"]).well();
    assert!(said.out.starts_with("stub against stub-authors:"), "{said:#?}");
    let rows = ["stub", "stub-authors", "stub-hf"].map(|id| row(id, "")).concat() + &row("off", "shift = 0.001");
    bench.write("plugins/python.toml", rows);
    let said = bench.medvlm(&["parity", "stub"]).well();
    assert!(said.out.starts_with("stub against stub-hf: 3 images, 4 texts\n"), "{said:#?}");
    assert!(said.out.contains("image_features  [3, 2]") && said.out.ends_with("PASS\n"), "{said:#?}");

    let said = bench.medvlm(&["parity", "stub", "--reference", "off", "--prompt", "is it?", "--json"]);
    assert_eq!(said.code, Some(1), "{said:#?}");
    let found: Value = serde_json::from_str(&said.out).unwrap();
    let found = &found["parity"];
    assert_eq!(
        (&found["pass"], &found["arrays"][0]["pass"], &found["arrays"][1]["pass"]),
        (&false.into(), &false.into(), &true.into())
    );
    assert!((found["arrays"][0]["difference"].as_f64().unwrap() - 0.001).abs() < 1e-5, "{found:#}");
    assert_eq!((&found["tokens"][0]["pass"], &found["tokens"][1]["first_difference"]), (&true.into(), &1.into()));
    let loose = ["parity", "stub", "--reference", "off", "--tolerance", "0.01"];
    bench.medvlm(&loose).well();
    bench.medvlm(&["parity", "off"]).refused(2, "unknown model `off-hf`");
}

/// The interpreter with torch and transformers; without one, the reference implementations are not run.
fn python() -> Option<PathBuf> {
    let python = std::env::var_os("MEDVLM_PYTHON").map(PathBuf::from);
    if python.is_none() {
        skip("MEDVLM_PYTHON is unset; it names an interpreter with torch and transformers");
    }
    python
}

/// Compares a native model with its reference on a tiny random checkpoint.
fn parity(bench: &Bench, arguments: &[&str]) -> (Said, Value) {
    let mut command = bench.command();
    command.env("MEDVLM_PLUGIN_PATH", dist().join("plugins"));
    let said: Said = command.args([&["parity", "--json"], arguments].concat()).output().unwrap().into();
    let found = serde_json::from_str(&said.out).unwrap_or_else(|e| panic!("{e}: {said:#?}"));
    (said, found)
}

#[test]
fn native_models_equal_their_reference_implementations() {
    if python().is_none() {
        return;
    }
    let bench = Bench::new();
    let goldens = root().join("tests/parity");
    let cases = [
        ("clip", "clip/modern"),
        ("plip", "clip/legacy"),
        ("siglip", "siglip/pieces"),
        ("medclip", "medclip/unpacked"),
        ("pmcclip", "pmcclip/published"),
        ("blip", "blip/retrieval"),
        ("blip2-itm", "blip/blip2"),
    ];
    for (model, case) in cases {
        let weights = goldens.join(case);
        let (said, found) = parity(&bench, &[model, "--weights", &weights.to_string_lossy()]);
        assert_eq!(said.code, Some(0), "{model}: {found:#} {said:#?}");
        let names: Vec<&str> =
            found["parity"]["arrays"].as_array().unwrap().iter().filter_map(|a| a["name"].as_str()).collect();
        for name in ["pixel_values", "image_features", "image_embeds", "text_embeds", "logits"] {
            assert!(names.contains(&name), "{model}: {names:?}");
        }
    }
}

#[test]
fn native_generative_models_answer_as_their_reference_implementations() {
    if python().is_none() {
        return;
    }
    let bench = Bench::new();
    let goldens = root().join("tests/parity");
    let image = goldens.join("clip/images/tall.png");
    for (model, case) in [
        ("llava-1.5", "llava/llama"),
        ("blip-vqa", "blip_generate/answering"),
        ("blip2", "blip2/inserted"),
        ("qwen2-vl", "qwen2_vl/hub"),
        ("lingshu", "qwen2_5_vl/square"),
        ("internvl3", "internvl/qwen2"),
        ("gemma3", "gemma3/inner"),
        ("medgemma", "gemma3/medgemma"),
    ] {
        let (weights, image) = (goldens.join(case), image.to_string_lossy());
        let (said, found) = parity(&bench, &[model, "--weights", &weights.to_string_lossy(), "--image", &image]);
        assert_eq!(said.code, Some(0), "{model}: {found:#} {said:#?}");
        let names: Vec<&str> =
            found["parity"]["arrays"].as_array().unwrap().iter().filter_map(|a| a["name"].as_str()).collect();
        assert!(["pixel_values", "first_logits"].iter().all(|name| names.contains(name)), "{model}: {names:?}");
    }
}

#[test]
fn a_generative_model_answers_as_transformers_alone_does_in_a_batch_of_any_size() {
    let Some(python) = python() else { return };
    let bench = Bench::new();
    lay_out(&bench);
    bench.dots(12);
    let script = root().join("tests/integration/python_door/tiny.py");
    let (weights, image, prompt) = (bench.path("tiny"), bench.path("data/dots/3.png"), "is it ill?");
    let made = Command::new(python).arg(script).args([&weights, &image]).arg(prompt).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let script = "script = \"python/workers/transformers_generative.py\"";
    bench.write(
        "plugins/python.toml",
        format!(
            "[[model]]\nid = \"stub\"\narchitecture = \"python\"\nweights = \"path:../tiny\"\nmax_new_tokens = 8\n\
             [model.options]\n{script}\n"
        ),
    );
    let asked = ["infer", "stub", "--image", &image.to_string_lossy(), "--prompt", prompt, "--json"];
    let seen: Value = serde_json::from_str(&bench.medvlm(&asked).well().out).unwrap();
    let expected: Value = serde_json::from_str(&bench.read("tiny/expected.json")).unwrap();
    for ids in ["prompt_ids", "generated_ids"] {
        assert_eq!(seen[ids], expected[ids], "{ids}");
    }

    let (said, failed) = run(&bench, "vqa", &["--batch-size", "5"]);
    assert_eq!(failed, [], "{said:#?}");
    let in_batches = predictions(&bench, "vqa", &said);
    fs::remove_dir_all(bench.path("runs")).unwrap();
    let (said, _) = run(&bench, "vqa", &["--batch-size", "1"]);
    assert_eq!(in_batches, predictions(&bench, "vqa", &said));
    let said = bench.medvlm(&["check", "plugins/python.so", "--model", "stub"]).well();
    assert!(said.out.contains("choose rates each option"), "{said:#?}");
}

#[test]
fn a_difference_fails_and_is_named() {
    if python().is_none() {
        return;
    }
    let bench = Bench::new();
    let weights = |case: &str| root().join("tests/parity/clip").join(case).to_string_lossy().into_owned();
    let (ours, theirs) = (weights("modern"), altered(&bench, Path::new(&weights("modern"))));
    let (said, found) = parity(&bench, &["clip", "--weights", &ours, "--reference-weights", &theirs.to_string_lossy()]);
    assert_eq!(said.code, Some(1), "{said:#?}");
    let failed = |name: &str| {
        let arrays = found["parity"]["arrays"].as_array().unwrap();
        !arrays.iter().any(|array| array["name"] == name && array["pass"] == true)
    };
    assert!(failed("pixel_values") && failed("logits") && !failed("text_embeds"), "{found:#}");
}

/// A copy of a checkpoint whose processor squashes images otherwise.
fn altered(bench: &Bench, checkpoint: &Path) -> PathBuf {
    for file in fs::read_dir(checkpoint).unwrap().flatten() {
        let name = file.file_name().to_string_lossy().into_owned();
        let mut bytes = fs::read(file.path()).unwrap();
        if name == "preprocessor_config.json" {
            bytes = String::from_utf8(bytes).unwrap().replace("\"resample\": 3", "\"resample\": 0").into();
        }
        bench.write(&format!("altered/{name}"), bytes);
    }
    bench.path("altered")
}

fn is_alive(pid: &str) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // A process that ended and was not waited for yet is a zombie.
    status.rsplit(')').next().is_some_and(|rest| !rest.trim_start().starts_with('Z') && !rest.is_empty())
}
