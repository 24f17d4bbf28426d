//! Judges that lie, fail, cost too much, or must not see a sample.

use super::{server::response, *};

#[test]
fn a_reply_that_cannot_be_read_is_missing_and_never_a_default() {
    let server = Server::start(|n, body| {
        Some(match n % 5 {
            0 => completion(r#"{"reason":"generous","grade":9}"#),
            1 => completion(r#"{"score":5}"#),
            2 => completion("I would say it is quite good."),
            3 => completion(""),
            _ => verdict(body),
        })
    });
    let bench = bench(&judge(&server));
    let said = medvlm(&bench, &["run", "suite.toml"]).well();
    let overall = metric(&bench, "gpt_overall");
    assert_eq!(overall["missing"].as_u64(), Some(OPEN as u64 * 4 / 5), "{overall}");
    assert!(said.out.contains("gpt_open"), "{said:#?}");
    assert!(bench.read(&format!("{CELL}/scores.jsonl")).contains("missing: 9 is no grade from 1 to 5"));
    assert_eq!(metrics(&bench)["scorers"][0]["evidence"]["missing"].as_u64(), Some(0), "every request was answered");
    medvlm(&bench, &["run", "suite.toml"]).well();
    assert_eq!(server.count(), OPEN, "a lie is an answer, and is not asked for again");
}

#[test]
fn a_flaky_judge_costs_attempts_and_what_stays_open_is_asked_by_the_next_run() {
    let bad_times = Arc::new(Mutex::new(true));
    let bad = bad_times.clone();
    let server = Server::start(move |n, body| match (*bad.lock().unwrap(), n % 5) {
        (true, 0) => Some(response("429 Too Many Requests", "Retry-After: 0.05\r\n", "")),
        (true, 1 | 3) => Some(response("503 Service Unavailable", "", "")),
        (true, 2) => None,
        _ => Some(verdict(body)),
    });
    let bench = bench(&judge(&server));
    let said = medvlm(&bench, &["run", "suite.toml"]);
    said.refused(1, "requests of scorers have no answer; their scores are missing, and `medvlm score` asks again");
    let answered = evidence(&bench).len();
    assert!(answered < OPEN);
    let tally = metrics(&bench)["scorers"][0]["evidence"].clone();
    assert_eq!(
        (tally["needed"].as_u64(), tally["missing"].as_u64()),
        (Some(OPEN as u64), Some((OPEN - answered) as u64))
    );
    let before = server.count();
    *bad_times.lock().unwrap() = false;
    medvlm(&bench, &["score", "runs/suite"]).well();
    assert_eq!((server.count() - before, evidence(&bench).len()), (OPEN - answered, OPEN));
    assert_eq!(metric(&bench, "gpt_overall")["missing"].as_u64(), Some(0));
}

#[test]
fn offline_nobody_is_asked_and_what_is_not_recorded_is_missing() {
    let (server, _) = remembering(0);
    let bench = bench(&judge(&server));
    medvlm(&bench, &["run", "suite.toml", "--max-requests", "7"]).refused(1, "the budget is used up");
    assert_eq!((server.count(), evidence(&bench).len()), (7, 7));
    medvlm(&bench, &["run", "suite.toml", "--offline"]).refused(1, "13 requests of scorers have no answer");
    assert_eq!(metric(&bench, "gpt_overall")["missing"].as_u64(), Some(13));
    assert_eq!(server.count(), 7);
    medvlm(&bench, &["score", "runs/suite"]).well();
    assert_eq!(server.count(), OPEN);
}

#[test]
fn money_is_limited_where_prices_are_known() {
    let (server, _) = remembering(0);
    let bench = bench(&judge(&server));
    let arguments = ["run", "suite.toml", "--max-cost", "0.001"];
    medvlm(&bench, &arguments).refused(2, "--max-cost needs to know what `gpt-test` charges: add price = { input = …");
    assert_eq!(server.count(), 0);
    // A request costs 1.024 at most, for 512 tokens, and turns out to cost 0.01, for five: after eight there is too little.
    suite(&bench, &format!("{}price = {{ input = 0.0, output = 2000.0 }}\n", judge(&server)));
    medvlm(&bench, &["run", "suite.toml", "--max-cost", "1.0"]).refused(1, "the budget is used up");
    assert_eq!(server.count(), 0);
    medvlm(&bench, &["score", "runs/suite", "--max-cost", "1.1"]).refused(1, "8 requests sent to judges, 0.0800 spent");
    assert_eq!(server.count(), 8);
    suite(&bench, "");
    bench.write("suite.toml", bench.read("suite.toml").replace("gpt-judge", "exact-match"));
    medvlm(&bench, &["run", "suite.toml", "--max-requests", "9", "--out", "other"]).refused(2, "grants no [judge]");
}

#[test]
fn restricted_samples_are_sent_nowhere_and_the_refusal_is_recorded() {
    let (server, _) = remembering(0);
    for access in ["credentialed", "agreement"] {
        let far = "[judge]\nmodel = 'gpt-far'\nbase-url = 'https://judge.example.org/v1'\n";
        let bench = bench(far);
        let manifest = bench.read("data/dots.toml");
        bench.write("data/dots.toml", manifest.replace("access = \"open\"", &format!("access = \"{access}\"")));
        medvlm(&bench, &["run", "suite.toml"]).refused(2, "samples of `dots` must not leave this machine");
        assert!(!bench.path("runs/suite/run.json").exists(), "nothing was predicted");
        let refusal: Value = serde_json::from_str(&bench.read("runs/suite/refusals.jsonl")).unwrap();
        assert_eq!((refusal["dataset"].as_str(), refusal["judge"]["model"].as_str()), (Some("dots"), Some("gpt-far")));

        suite(&bench, &format!("{far}approved = true\n"));
        command(&bench, &["run", "suite.toml", "--predict-only"]).status().unwrap().success().then_some(()).unwrap();
        let record: Value = serde_json::from_str(&bench.read("runs/suite/run.json")).unwrap();
        assert_eq!(record["judges"][0]["approved"].as_bool(), Some(true));
        assert_eq!(record["judges"][0]["endpoint"].as_str(), Some("https://judge.example.org/v1"));

        suite(&bench, &judge(&server));
        medvlm(&bench, &["run", "suite.toml"]).well();
        let lines = evidence(&bench);
        assert!(lines.len() == OPEN && lines.iter().all(|line| line.get("request").is_none()), "texts are not copied");
    }
}

/// The judge repeats the key in everything that it says.
#[test]
fn a_key_is_nowhere_in_files_and_output() {
    const KEY: &str = "sk-integration-5e5e5e";
    let server = Server::start(|n, _| {
        Some(match n % 3 {
            0 => completion(&format!(r#"{{"reason":"your key is {KEY}","grade":3}}"#)),
            1 => response("400 Bad Request", "", &format!("{KEY} is no way to ask")),
            _ => response("500 Oh", "", KEY),
        })
    });
    let bench = bench(&judge(&server));
    let run = |arguments: &[&str]| Said::from(command(&bench, arguments).env("OPENAI_API_KEY", KEY).output().unwrap());
    let mut said = vec![run(&["run", "suite.toml", "-vv"]), run(&["score", "runs/suite", "-vv"])];
    let angry = Server::start(|_, _| Some(response("401 Unauthorized", "", &format!("Incorrect API key: {KEY}"))));
    suite(&bench, &judge(&angry));
    said.push(run(&["run", "suite.toml", "--out", "angry", "-vv"]));
    said[2].refused(1, "refuses the key");
    assert!(angry.count() < OPEN, "{} requests with a key that is refused", angry.count());
    assert!(bench.read(&format!("{CELL}/evidence.jsonl")).contains("your key is [key]"));
    for said in &said {
        assert!(!said.out.contains(KEY) && !said.err.contains(KEY), "{said:#?}");
    }
    for (path, bytes) in bench.files("") {
        assert!(!bytes.windows(KEY.len()).any(|window| window == KEY.as_bytes()), "the key is in {path}");
    }
}
