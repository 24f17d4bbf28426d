//! Models behind endpoints: what they are shown, what becomes of their answers, and what they are never shown.

use std::{
    collections::BTreeMap,
    fs,
    process::{Command, Stdio},
    sync::{Arc, Mutex, atomic::Ordering},
    thread,
    time::Duration,
};

use base64::{Engine, prelude::BASE64_STANDARD};
use integration_tests::{Bench, Said};
use serde_json::{Value, json};

use crate::server::{self, Server, completion};

mod trouble;

const COUNT: usize = 40;
const CELL: &str = "runs/suite/remote-org-tiny-vl@dots.test.vqa.zero-shot.s0";

fn bench(tables: &str) -> Bench {
    let bench = Bench::new();
    bench.dots(COUNT as u32);
    suite(&bench, tables);
    bench
}

fn suite(bench: &Bench, tables: &str) {
    let text = "models = ['remote:Org/Tiny-VL']\nbootstrap = { resamples = 50 }\n";
    bench.write("suite.toml", format!("{text}{tables}\n[[dataset]]\nid = 'dots'\ntask = 'vqa'\n"));
}

fn remote(server: &Server) -> String {
    format!("[remote]\nbase-url = '{}'\noptions = {{ retries = 2 }}\n", server.base)
}

/// The program with a cache of its own, no endpoint and no key.
fn command(bench: &Bench, arguments: &[&str]) -> Command {
    let mut command = bench.command();
    command.args(arguments).env("XDG_CACHE_HOME", bench.path("cache"));
    for name in ["OPENAI_BASE_URL", "OPENAI_API_BASE", "OPENAI_API_KEY"] {
        command.env_remove(name);
    }
    command
}

fn medvlm(bench: &Bench, arguments: &[&str]) -> Said {
    command(bench, arguments).output().unwrap().into()
}

/// The number of the picture that a request is about, from its question.
fn number(body: &str) -> usize {
    let body: Value = serde_json::from_str(body).unwrap();
    let parts = body["messages"].as_array().unwrap().last().unwrap()["content"].as_array().unwrap();
    let question = parts.last().unwrap()["text"].as_str().unwrap();
    question.split_whitespace().find_map(|word| word.parse().ok()).unwrap()
}

/// The true answer about a picture.
fn truth(number: usize) -> &'static str {
    if number.is_multiple_of(3) { "yes" } else { "no" }
}

/// An endpoint that knows every answer, takes its time, and remembers how often it was asked what.
fn remembering(delay: u64) -> (Server, Arc<Mutex<BTreeMap<usize, usize>>>) {
    let asked: Arc<Mutex<BTreeMap<usize, usize>>> = Arc::default();
    let memory = asked.clone();
    let server = Server::start(move |_, body| {
        *memory.lock().unwrap().entry(number(body)).or_default() += 1;
        thread::sleep(Duration::from_millis(delay));
        Some(completion(truth(number(body))))
    });
    (server, asked)
}

fn pixels(part: &Value) -> image::RgbImage {
    let url = part["image_url"]["url"].as_str().unwrap();
    let png = BASE64_STANDARD.decode(url.strip_prefix("data:image/png;base64,").unwrap()).unwrap();
    image::load_from_memory_with_format(&png, image::ImageFormat::Png).unwrap().into_rgb8()
}

fn predictions(bench: &Bench) -> Vec<Value> {
    let text = fs::read_to_string(bench.path(&format!("{CELL}/predictions.jsonl"))).unwrap_or_default();
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

fn accuracy(bench: &Bench) -> f64 {
    let metrics: Value = serde_json::from_str(&bench.read(&format!("{CELL}/metrics.json"))).unwrap();
    metrics["scorers"][0]["metrics"][0]["value"].as_f64().unwrap()
}

#[test]
fn a_cell_of_questions_goes_through_an_endpoint() {
    let seen: Arc<Mutex<Vec<Value>>> = Arc::default();
    let memory = seen.clone();
    let server = Server::start(move |_, body| {
        memory.lock().unwrap().push(serde_json::from_str(body).unwrap());
        thread::sleep(Duration::from_millis(30));
        Some(completion(truth(number(body))))
    });
    let bench = bench(&format!("seeds = [0, 7]\n{}", remote(&server)));
    let said = command(&bench, &["run", "suite.toml"]).env("OPENAI_API_KEY", "sk-1").output().unwrap();
    Said::from(said).well();
    assert_eq!(server.count(), 2 * COUNT);
    assert_eq!(*server.authorization.lock().unwrap(), "Bearer sk-1");
    assert!(server.most_at_once.load(Ordering::SeqCst) >= 8, "one by one would take forever");
    let mut seeds = BTreeMap::new();
    for body in seen.lock().unwrap().iter() {
        assert_eq!((body["model"].as_str(), body["temperature"].as_f64()), (Some("Org/Tiny-VL"), Some(0.0)));
        *seeds.entry(body["seed"].as_u64().unwrap()).or_insert(0) += 1;
        let content = body["messages"][0]["content"].as_array().unwrap();
        let picture = pixels(&content[0]);
        assert_eq!((content.len(), picture.dimensions()), (2, (9, 7)));
        let red = number(&body.to_string()) as u8;
        for (x, y, pixel) in picture.enumerate_pixels() {
            assert_eq!(pixel.0, [red, (x * 20) as u8, (y * 30) as u8]);
        }
    }
    assert_eq!(seeds, BTreeMap::from([(0, COUNT), (7, COUNT)]));
    assert!((accuracy(&bench) - 1.0).abs() < 1e-12);
    let line = &predictions(&bench)[0];
    assert_eq!((line["finish"].as_str(), line["prompt_tokens"].as_u64()), (Some("stop"), Some(10)));
    assert_eq!((line["new_tokens"].as_u64(), line["digests"]["input"].as_str().map(str::len)), (Some(5), Some(32)));
    let record: Value = serde_json::from_str(&bench.read("runs/suite/run.json")).unwrap();
    let expected = json!({
        "model": "remote:Org/Tiny-VL", "id": "remote-org-tiny-vl", "endpoint": server.base, "loopback": true,
        "approved": false, "key_env": "OPENAI_API_KEY"
    });
    assert_eq!(record["remotes"], json!([expected]));

    let before = bench.files("runs/suite");
    medvlm(&bench, &["run", "suite.toml"]).well();
    suite(&bench, &format!("seeds = [0, 7]\n{}", remote(&server)).replace("retries = 2", "retries = 3"));
    medvlm(&bench, &["run", "suite.toml"]).well();
    assert_eq!(server.count(), 2 * COUNT, "what is on disk is not asked for again");
    assert_eq!(bench.files(CELL), before_of(&before));
    let changed = remote(&server).replace("retries = 2", "instruction = 'medvlmbench'");
    suite(&bench, &changed);
    medvlm(&bench, &["run", "suite.toml"]).refused(2, "was predicted from other inputs (changed: model.row)");
}

/// The files of the cell among those of its run.
fn before_of(run: &BTreeMap<String, Vec<u8>>) -> BTreeMap<String, Vec<u8>> {
    let folder = format!("{}/", CELL.rsplit('/').next().unwrap());
    run.iter().filter_map(|(path, bytes)| Some((path.strip_prefix(&folder)?.to_string(), bytes.clone()))).collect()
}

#[test]
fn several_images_keep_their_order_and_rows_their_peculiarities() {
    let seen: Arc<Mutex<Vec<Value>>> = Arc::default();
    let memory = seen.clone();
    let server = Server::start(move |_, body| {
        memory.lock().unwrap().push(serde_json::from_str(body).unwrap());
        Some(completion("both are grey"))
    });
    let bench = bench("");
    let ask = |model: &str, more: &[&str]| {
        let pictures = ["--image", "data/dots/5.png", "--image", "data/dots/2.png", "--image", "data/dots/5.png"];
        let arguments = [&["infer", model, "--prompt", "Compare.", "--base-url", &server.base], &pictures[..], more];
        let said = medvlm(&bench, &arguments.concat()).well();
        assert_eq!(said.out, "both are grey\n");
        seen.lock().unwrap().pop().unwrap()
    };
    let body = ask("remote:tiny", &["--max-new-tokens", "17"]);
    let content = body["messages"][0]["content"].as_array().unwrap();
    let reds: Vec<u8> = content[..3].iter().map(|part| pixels(part).get_pixel(0, 0).0[0]).collect();
    assert_eq!((reds, content[3]["text"].as_str()), (vec![5, 2, 5], Some("Compare.")));
    assert_eq!((body["max_tokens"].as_u64(), body["model"].as_str()), (Some(17), Some("tiny")));

    let o3 = ask("o3", &["--max-new-tokens", "17"]);
    assert_eq!((o3["model"].as_str(), o3["max_completion_tokens"].as_u64()), (Some("o3-2025-04-16"), Some(17)));
    assert!(o3.get("temperature").is_none() && o3.get("max_tokens").is_none());
    let gemini = ask("gemini-2.5-pro", &[]);
    assert_eq!(gemini["model"].as_str(), Some("gemini-2.5-pro"));
    assert!(gemini.get("seed").is_none() && gemini.get("max_tokens").is_none());
    assert_eq!(gemini["messages"][0]["content"][3]["text"].as_str(), Some("Compare."), "nothing is added unasked");
}

#[test]
fn the_command_line_names_model_and_endpoint() {
    let (server, _) = remembering(0);
    let bench = bench("");
    let run = |arguments: &[&str]| medvlm(&bench, &[&["run", "suite.toml"], arguments].concat());
    run(&[]).refused(2, "nobody says where the model `remote:Org/Tiny-VL` is: give --base-url URL");
    run(&["--model", "remote"]).refused(2, "`remote` stands for any remote model: write `remote:NAME`");
    run(&["--model", "phantom-clip:x"]).refused(2, "only a remote one is named as `remote:NAME`");
    run(&["--base-url", "https://me:secret@example.org/v1"]).refused(2, "the key belongs into the environment");
    run(&["--base-url", "https://model.example.org/v1"]).refused(2, "needs a key: set OPENAI_API_KEY");
    assert!(!bench.path("runs").exists() && server.count() == 0);
    run(&["--model", "gemini-2.5-pro", "--model", "remote:b", "--base-url", &server.base, "--limit", "3"]).well();
    assert_eq!(server.count(), 6);
    for cell in ["gemini-2.5-pro", "remote-b"] {
        assert!(bench.path(&format!("runs/suite/{cell}@dots.test.vqa.zero-shot.s0/metrics.json")).exists());
    }
    let said = command(&bench, &["run", "suite.toml", "--out", "other"]).env("OPENAI_BASE_URL", &server.base).output();
    Said::from(said.unwrap()).well();
    assert_eq!(server.count(), 6 + COUNT);
    bench.mock(&[("mock", "")]);
    run(&["--model", "mock", "--base-url", &server.base]).refused(2, "--base-url is for remote models");
    let plugin = integration_tests::dist().join("plugins/remote.so");
    let said = medvlm(&bench, &["check", plugin.to_str().unwrap()]).well();
    assert!(said.out.contains("model o3:") && said.out.ends_with("ok\n"), "{said:#?}");
    assert_eq!(server.count(), 6 + COUNT, "a check sends nothing");
}
