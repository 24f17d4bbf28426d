//! Judges and embeddings: granted by the suite, recorded, replayed, limited, refused.

use std::{
    collections::BTreeMap,
    fs,
    process::{Command, Stdio},
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

use integration_tests::{Bench, Said, dist};
use serde_json::Value;

use crate::server::{self, Server, completion};

mod embed;
mod trouble;

const CELL: &str = "runs/suite/mock@dots.test.vqa.zero-shot.s0";
/// Of the 40 questions, those of part b are open.
const OPEN: usize = 20;

fn bench(tables: &str) -> Bench {
    let bench = Bench::new();
    bench.mock(&[("mock", "")]);
    bench.dots(40);
    let manifest = bench.read("data/dots.toml");
    bench.write("data/dots.toml", manifest.replace("closed = true", "closed_when = { column = 'part', equals = 'a' }"));
    suite(&bench, tables);
    bench
}

fn suite(bench: &Bench, tables: &str) {
    let text = "models = ['mock']\nscorers = ['gpt-judge']\nbootstrap = { resamples = 50 }\n";
    bench.write("suite.toml", format!("{text}{tables}\n[[dataset]]\nid = 'dots'\ntask = 'vqa'\n"));
}

fn judge(server: &Server) -> String {
    format!("[judge]\nmodel = 'gpt-test'\nretries = 1\nbase-url = '{}'\n", server.base)
}

/// The program with a cache of its own and no key.
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

/// A grade that depends on the request alone.
fn verdict(body: &str) -> String {
    let grade = 1 + body.bytes().map(usize::from).sum::<usize>() % 5;
    completion(&format!(r#"{{"reason":"because","grade":{grade}}}"#))
}

/// A judge that takes its time and remembers how often it was asked what.
fn remembering(delay: u64) -> (Server, Arc<Mutex<BTreeMap<String, usize>>>) {
    let asked: Arc<Mutex<BTreeMap<String, usize>>> = Arc::default();
    let memory = asked.clone();
    let server = Server::start(move |_, body| {
        *memory.lock().unwrap().entry(body.to_string()).or_default() += 1;
        thread::sleep(Duration::from_millis(delay));
        Some(verdict(body))
    });
    (server, asked)
}

fn metrics(bench: &Bench) -> Value {
    serde_json::from_str(&bench.read(&format!("{CELL}/metrics.json"))).unwrap()
}

fn metric(bench: &Bench, name: &str) -> Value {
    let all = metrics(bench)["scorers"][0]["metrics"].clone();
    all.as_array().unwrap().iter().find(|metric| metric["name"] == name).unwrap().clone()
}

fn evidence(bench: &Bench) -> Vec<Value> {
    let text = fs::read_to_string(bench.path(&format!("{CELL}/evidence.jsonl"))).unwrap_or_default();
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

fn forget_scores(bench: &Bench) {
    for file in ["scores.jsonl", "metrics.json"] {
        fs::remove_file(bench.path(&format!("{CELL}/{file}"))).unwrap();
    }
}

fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < Duration::from_secs(60), "waited in vain for {what}");
        thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn nothing_is_granted_unless_the_suite_says_so() {
    let bench = bench("");
    let sentence =
        "imports `medvlm:scorer/judge` but the suite does not grant it: add a table [judge] with model = \"…\"";
    medvlm(&bench, &["run", "suite.toml"]).refused(3, sentence);
    assert!(!bench.path("runs").exists(), "it is found before anything is predicted");
    suite(&bench, "[judge]\nmodel = 'gpt-test'\n");
    medvlm(&bench, &["run", "suite.toml"]).refused(2, "the judge `gpt-test` needs a key: set OPENAI_API_KEY");
    let said = command(&bench, &["run", "suite.toml"])
        .env("OPENAI_BASE_URL", "https://me:secret@example.org")
        .output()
        .unwrap();
    Said::from(said).refused(2, "the key belongs into the environment");
}

#[test]
fn open_questions_are_graded_once_and_replayed_byte_for_byte_without_a_network() {
    let (server, _) = remembering(0);
    let bench = bench(&judge(&server));
    medvlm(&bench, &["run", "suite.toml"]).well();
    assert_eq!((server.count(), evidence(&bench).len()), (OPEN, OPEN));
    let line = &evidence(&bench)[0];
    assert_eq!((line["kind"].as_str(), line["answered_by"].as_str()), (Some("judge"), Some("m-2024")));
    assert_eq!((line["finish"].as_str(), line["prompt_tokens"].as_u64()), (Some("stop"), Some(10)));
    // The grades as this test computes them, from what was sent.
    let grade = |line: &Value| {
        let text = verdict(&line["request"].to_string());
        let at = text.find(r#"grade\":"#).unwrap() + 8;
        f64::from(text.as_bytes()[at] - b'1') / 4.0
    };
    let mean = evidence(&bench).iter().map(grade).sum::<f64>() / OPEN as f64;
    assert!((metric(&bench, "gpt_open")["value"].as_f64().unwrap() - mean).abs() < 1e-12);

    let before = bench.files("runs/suite");
    fs::remove_dir_all(bench.path("plugins")).unwrap();
    for arguments in [&["score", "runs/suite"][..], &["score", "runs/suite", "--offline"]] {
        forget_scores(&bench);
        fs::remove_file(bench.path("cache/medvlm/judge.sqlite")).unwrap_or_default();
        medvlm(&bench, arguments).well();
        assert_eq!(bench.files("runs/suite"), before);
    }
    forget_scores(&bench);
    let mut alone = Command::new("unshare");
    let program = dist().join("medvlm");
    alone
        .args(["-rn".as_ref(), program.as_os_str(), "score".as_ref(), "runs/suite".as_ref()])
        .current_dir(bench.path(""));
    alone.env("MEDVLM_DATASET_PATH", bench.path("data")).env("XDG_CACHE_HOME", bench.path("cache"));
    let able = Command::new("unshare").args(["-rn", "true"]).status().is_ok_and(|status| status.success());
    if able {
        Said::from(alone.output().unwrap()).well();
        assert_eq!(bench.files("runs/suite"), before);
    } else {
        println!("skipped: this machine lets no test run without a network");
    }
    assert_eq!(server.count(), OPEN, "a recorded answer is not asked for again");
}

/// Killed at any time, it goes on where it was; the cache of the machine is taken away, so that only evidence helps.
#[test]
fn a_killed_host_never_asks_again_for_what_is_recorded() {
    let (server, asked) = remembering(25);
    let bench = bench(&format!("{}in-flight = 2\n", judge(&server)));
    medvlm(&bench, &["run", "suite.toml", "--predict-only"]).well();
    let arguments = ["score", "runs/suite"];
    let mut recorded = Vec::new();
    let mut counts = Vec::new();
    let count = |line: &Value| asked.lock().unwrap()[&line["request"].to_string()];
    for step in [1, 4, 9, 15] {
        let mut host = command(&bench, &arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        wait_until("evidence", || evidence(&bench).len() >= step);
        host.kill().unwrap();
        host.wait().unwrap();
        recorded = evidence(&bench);
        counts.extend(recorded.iter().map(|line| (line.clone(), count(line))));
        fs::remove_dir_all(bench.path("cache/medvlm")).unwrap();
        let path = format!("{CELL}/evidence.jsonl");
        let torn = [bench.read(&path).as_str(), "{\"kind\":\"judge\",\"key\":\"0"].concat();
        bench.write(&path, torn);
    }
    medvlm(&bench, &arguments).well();
    assert_eq!(evidence(&bench).len(), OPEN);
    assert_eq!(evidence(&bench)[..recorded.len()], recorded, "evidence is only added to");
    assert_eq!(asked.lock().unwrap().len(), OPEN);
    for (line, before) in counts {
        assert_eq!(count(&line), before, "{line}");
    }
    assert!(server.count() <= OPEN + 4 * 2, "at most what was under way is asked twice: {}", server.count());
    let whole = bench.files("runs/suite");
    forget_scores(&bench);
    medvlm(&bench, &["score", "runs/suite", "--offline"]).well();
    assert_eq!(bench.files("runs/suite"), whole);
}

#[test]
fn ctrl_c_keeps_every_answer_that_came() {
    let (server, _) = remembering(40);
    let bench = bench(&format!("{}in-flight = 2\n", judge(&server)));
    medvlm(&bench, &["run", "suite.toml", "--predict-only"]).well();
    let host = command(&bench, &["score", "runs/suite"]).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    wait_until("evidence", || evidence(&bench).len() >= 3);
    assert!(Command::new("kill").args(["-INT", &host.id().to_string()]).status().unwrap().success());
    let said = Said::from(host.wait_with_output().unwrap());
    said.refused(130, "interrupted; run the same command again to go on");
    assert!(evidence(&bench).len() < OPEN);
    assert_eq!(evidence(&bench).len(), server.count(), "what was under way is heard to its end");
    medvlm(&bench, &["score", "runs/suite"]).well();
    assert_eq!(server.count(), OPEN);
    assert_eq!(server.most_at_once.load(std::sync::atomic::Ordering::SeqCst), 2, "as many at once as the suite allows");
}

#[test]
fn several_judges_and_votes_are_raters_whose_agreement_is_reported() {
    let (server, _) = remembering(0);
    let bench = bench(&format!(
        "[[judge]]\nmodel = 'a'\nvotes = 2\nbase-url = '{0}'\n[[judge]]\nmodel = 'b'\nbase-url = '{0}'\n",
        server.base
    ));
    medvlm(&bench, &["run", "suite.toml"]).well();
    assert_eq!(server.count(), 3 * OPEN);
    let alpha = metric(&bench, "gpt_alpha")["value"].as_f64().unwrap();
    assert!((-1.0..1.0).contains(&alpha), "{alpha}");
    let results: Value = serde_json::from_str(&bench.read("runs/suite/results.json")).unwrap();
    let agreement = &results["agreement"][0];
    assert!((agreement["alpha"].as_f64().unwrap() - alpha).abs() < 1e-12, "{agreement}");
    assert_eq!(agreement["raters"][1]["name"], "a, vote 2");
    assert_eq!((agreement["raters"].as_array().unwrap().len(), agreement["pairs"].as_array().unwrap().len()), (3, 3));
    assert_eq!(agreement["samples"], OPEN);
    let lines = evidence(&bench);
    let votes = |model: &str| {
        lines.iter().filter(|line| line["model"] == model).map(|line| line["vote"].as_u64().unwrap()).sum::<u64>()
    };
    assert_eq!((votes("a"), votes("b")), (OPEN as u64, 0));
    let record: Value = serde_json::from_str(&bench.read("runs/suite/run.json")).unwrap();
    assert_eq!(
        (record["judges"][0]["votes"].as_u64(), record["judges"][1]["loopback"].as_bool()),
        (Some(2), Some(true))
    );
}

#[test]
fn the_published_protocol_mixes_grades_with_substrings() {
    let server = Server::start(|_, body| {
        let body: Value = serde_json::from_str(body).unwrap();
        assert_eq!((body["messages"][1]["role"].as_str(), body.get("response_format")), (Some("system"), None));
        Some(completion("80\nFine."))
    });
    let bench = bench(&format!("[options.gpt-judge]\nrubric = 'medvlmbench'\n{}", judge(&server)));
    medvlm(&bench, &["run", "suite.toml"]).well();
    assert!((metric(&bench, "gpt_open")["value"].as_f64().unwrap() - 0.8).abs() < 1e-12);
    let overall = metric(&bench, "gpt_overall")["value"].as_f64().unwrap();
    let closed: Vec<f64> = bench
        .read(&format!("{CELL}/scores.jsonl"))
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .filter(|line| line["statistics"] == serde_json::json!([0.0]))
        .map(|line| line["values"][0].as_f64().unwrap())
        .collect();
    assert_eq!(closed.len(), 40 - OPEN);
    assert!((overall - (0.8 * OPEN as f64 + closed.iter().sum::<f64>()) / 40.0).abs() < 1e-12);
}
