//! Endpoints that fail, lie, refuse, or must not see a sample.

use std::time::Instant;

use super::{server::response, *};

fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < Duration::from_secs(60), "waited in vain for {what}");
        thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn trouble_that_passes_costs_attempts_and_no_answer() {
    let server = Server::start(|n, body| match n % 15 {
        0 => Some(response("429 Too Many Requests", "Retry-After: 0.05\r\n", "")),
        1 => Some(response("503 Service Unavailable", "", "")),
        2 => Some(response("200 OK", "", "<html>")),
        3 => None,
        4 => {
            thread::sleep(Duration::from_millis(900));
            Some(completion(truth(number(body))))
        }
        _ => Some(completion(truth(number(body)))),
    });
    let patient = remote(&server).replace("retries = 2", "retries = 9, timeout = 0.5");
    let bench = bench(&patient);
    medvlm(&bench, &["run", "suite.toml"]).well();
    assert!((accuracy(&bench) - 1.0).abs() < 1e-12);
    assert!(server.count() > COUNT);
}

#[test]
fn a_slow_endpoint_is_no_hanging_worker() {
    let (server, _) = remembering(2500);
    let bench = bench(&remote(&server));
    medvlm(&bench, &["run", "suite.toml", "--limit", "2", "--timeout", "1"]).well();
    assert_eq!(server.count(), 2);
}

#[test]
fn a_request_that_fails_for_good_is_the_failure_of_its_sample() {
    let server = Server::start(|_, body| {
        Some(match number(body) {
            3 => response("400 Bad Request", "", "this picture is too small"),
            6 => {
                response("200 OK", "", r#"{"choices":[{"message":{"content":null},"finish_reason":"content_filter"}]}"#)
            }
            9 => response("500 Oh", "", ""),
            n => completion(truth(n)),
        })
    });
    let bench = bench(&remote(&server).replace("retries = 2", "retries = 1"));
    medvlm(&bench, &["run", "suite.toml"]).refused(1, "3 samples have no answer; they score the metric's worst");
    let why = |index: u64| {
        let line = predictions(&bench).into_iter().find(|line| line["index"] == index).unwrap();
        assert!(line.get("text").is_none(), "{line}");
        line["error"].as_str().unwrap().to_string()
    };
    assert!(why(3).ends_with("rejects the request (400 Bad Request): this picture is too small"), "{}", why(3));
    assert_eq!(why(6), "the endpoint gives no text (finish: content_filter)");
    assert!(why(9).ends_with("answers 500 Internal Server Error, after 2 attempts"), "{}", why(9));
    assert!((accuracy(&bench) - 37.0 / 40.0).abs() < 1e-12);
}

#[test]
fn a_refused_key_or_an_absent_endpoint_ends_the_run_and_blames_no_sample() {
    let bad = Arc::new(Mutex::new(true));
    let angry = bad.clone();
    let server = Server::start(move |n, body| match *angry.lock().unwrap() && n >= 5 {
        true => Some(response("401 Unauthorized", "", "")),
        false => Some(completion(truth(number(body)))),
    });
    let bench = bench(&remote(&server));
    medvlm(&bench, &["run", "suite.toml"]).refused(1, "refuses the key in no variable: none is set (401 Unauthorized)");
    assert!(server.count() < COUNT, "{} requests with a key that is refused", server.count());
    let lines = predictions(&bench);
    assert!(lines.len() <= 5 && lines.iter().all(|line| line.get("error").is_none()), "{lines:?}");
    *bad.lock().unwrap() = false;
    medvlm(&bench, &["run", "suite.toml"]).well();
    assert!((accuracy(&bench) - 1.0).abs() < 1e-12);

    suite(&bench, "[remote]\nbase-url = 'http://127.0.0.1:1/v1'\noptions = { retries = 0 }\n");
    medvlm(&bench, &["run", "suite.toml", "--out", "nobody"]).refused(1, "at http://127.0.0.1:1/v1 cannot be reached");
    assert_eq!(bench.read(&CELL.replace("runs/suite", "nobody").replace(".s0", ".s0/predictions.jsonl")), "");
}

/// Killed at any time, it goes on where it was.
#[test]
fn a_killed_host_never_asks_again_for_what_is_flushed() {
    let (server, asked) = remembering(40);
    let bench = bench(&remote(&server).replace("retries = 2", "in-flight = 2"));
    let mut flushed: BTreeMap<usize, usize> = BTreeMap::new();
    for step in [1, 9, 20] {
        let mut host = command(&bench, &["run", "suite.toml"]);
        let mut host = host.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        wait_until("predictions", || predictions(&bench).len() >= step);
        host.kill().unwrap();
        host.wait().unwrap();
        let memory = asked.lock().unwrap();
        for line in predictions(&bench) {
            let index = line["index"].as_u64().unwrap() as usize;
            flushed.entry(index).or_insert_with(|| memory[&index]);
        }
    }
    medvlm(&bench, &["run", "suite.toml"]).well();
    let memory = asked.lock().unwrap();
    assert_eq!((memory.len(), predictions(&bench).len()), (COUNT, COUNT));
    assert!(flushed.len() >= 20 && flushed.iter().all(|(index, times)| memory[index] == *times), "{flushed:?}");
    assert!(server.count() <= COUNT + 3 * 2, "at most what was under way is asked twice: {}", server.count());
}

#[test]
fn ctrl_c_keeps_every_answer_that_came() {
    let (server, _) = remembering(100);
    let bench = bench(&remote(&server).replace("retries = 2", "in-flight = 2"));
    let mut host = command(&bench, &["run", "suite.toml"]);
    let host = host.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    wait_until("predictions", || predictions(&bench).len() >= 3);
    assert!(Command::new("kill").args(["-INT", &host.id().to_string()]).status().unwrap().success());
    Said::from(host.wait_with_output().unwrap()).refused(130, "interrupted; run the same command again to go on");
    assert!(predictions(&bench).len() < COUNT);
    assert_eq!(predictions(&bench).len(), server.count(), "what was under way is heard to its end");
    medvlm(&bench, &["run", "suite.toml"]).well();
    assert_eq!((server.count(), server.most_at_once.load(Ordering::SeqCst)), (COUNT, 2));
}

#[test]
fn restricted_samples_are_sent_nowhere_and_the_refusal_is_recorded() {
    let (server, _) = remembering(0);
    for access in ["credentialed", "agreement"] {
        let far = "[remote]\nbase-url = 'https://model.example.org/v1'\n";
        let bench = bench(far);
        let manifest = bench.read("data/dots.toml");
        bench.write("data/dots.toml", manifest.replace("access = \"open\"", &format!("access = \"{access}\"")));
        for arguments in [&["run", "suite.toml"][..], &["run", "suite.toml", "--offline", "--predict-only"]] {
            medvlm(&bench, arguments).refused(2, "samples of `dots` must not leave this machine");
        }
        assert!(!bench.path("runs/suite/run.json").exists(), "nothing was predicted");
        let lines = bench.read("runs/suite/refusals.jsonl");
        let refusal: Value = serde_json::from_str(lines.lines().next().unwrap()).unwrap();
        let remote_record = &refusal["remote"];
        assert_eq!((lines.lines().count(), refusal["dataset"].as_str()), (2, Some("dots")));
        assert_eq!(remote_record["endpoint"].as_str(), Some("https://model.example.org/v1"));
        assert!(refusal.get("judge").is_none() && refusal.get("scorer").is_none());

        // Approved, it would be asked, were there a way to it.
        suite(&bench, &format!("{far}approved = true\noptions = {{ retries = 0, timeout = 5.0 }}\n"));
        let mut approved = command(&bench, &["run", "suite.toml"]);
        for name in ["HTTPS_PROXY", "https_proxy"] {
            approved.env(name, "http://127.0.0.1:1");
        }
        let said = approved.env("OPENAI_API_KEY", "sk-1").output().unwrap();
        Said::from(said).refused(1, "at https://model.example.org/v1 cannot be reached");
        let record: Value = serde_json::from_str(&bench.read("runs/suite/run.json")).unwrap();
        assert_eq!(record["remotes"][0]["approved"].as_bool(), Some(true));

        suite(&bench, &remote(&server));
        medvlm(&bench, &["run", "suite.toml", "--out", "near"]).well();
    }
    assert_eq!(server.count(), 2 * COUNT);
}

/// The endpoint repeats the key in everything that it says.
#[test]
fn a_key_is_nowhere_in_files_and_output() {
    const KEY: &str = "sk-integration-6f6f6f";
    let server = Server::start(|_, body| {
        Some(match number(body) % 3 {
            0 => completion(&format!("your key is {KEY}")),
            1 => response("400 Bad Request", "", &format!("{KEY} is no way to ask")),
            _ => response("500 Oh", "", KEY),
        })
    });
    let bench = bench(&remote(&server).replace("retries = 2", "retries = 0"));
    let run = |arguments: &[&str]| Said::from(command(&bench, arguments).env("OPENAI_API_KEY", KEY).output().unwrap());
    let mut said = vec![run(&["run", "suite.toml", "-vv"]), run(&["score", "runs/suite", "-vv"])];
    said[0].refused(1, "samples have no answer");
    let picture = [
        "infer",
        "remote:b",
        "--prompt",
        "Is picture 1 bright?",
        "--image",
        "data/dots/1.png",
        "--base-url",
        &server.base,
    ];
    said.push(run(&[&picture[..], &["-vv"]].concat()));
    said[2].refused(1, "[key] is no way to ask");
    let angry = Server::start(|_, _| Some(response("401 Unauthorized", "", &format!("Incorrect API key: {KEY}"))));
    suite(&bench, &remote(&angry));
    said.push(run(&["run", "suite.toml", "--out", "angry", "-vv"]));
    said[3].refused(1, "refuses the key in the environment");
    assert_eq!(*angry.authorization.lock().unwrap(), format!("Bearer {KEY}"));
    assert!(bench.read(&format!("{CELL}/predictions.jsonl")).contains("your key is [key]"));
    for said in &said {
        assert!(!said.out.contains(KEY) && !said.err.contains(KEY), "{said:#?}");
    }
    for (path, bytes) in bench.files("") {
        assert!(!bytes.windows(KEY.len()).any(|window| window == KEY.as_bytes()), "the key is in {path}");
    }
}
