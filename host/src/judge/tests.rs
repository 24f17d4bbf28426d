//! Judges through an endpoint that is slow, flaky, rate-limiting, malformed or lying.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use super::{
    server::{Server, completion, response},
    *,
};

pub fn settings(base: &str) -> Settings {
    Settings {
        model: "m".into(),
        votes: 1,
        endpoint: Endpoint::parse(base).expect("valid"),
        key: Key::new("sk-secret"),
        price: Some(Price { input: 1.0, output: 2.0 }),
        retries: 3,
        timeout: 60.0,
        in_flight: 64,
        omit: Vec::new(),
        body: serde_json::Map::new(),
    }
}

type Outcome = Vec<std::result::Result<Reply, Failure>>;

fn judges(settings: Settings, limits: Limits) -> Judges {
    Judges::new(vec![settings], limits, None).expect("valid")
}

fn question(text: impl Into<String>) -> Question {
    Question { messages: vec![("user".into(), text.into())], max_tokens: 10, ..Question::default() }
}

fn orders(judges: &Judges, count: usize) -> Vec<Order> {
    (0..count).map(|i| judges.order(0, &question(format!("question {i}"))).expect("valid")).collect()
}

fn ask(judges: &Judges, count: usize) -> Result<Outcome> {
    judges.ask(&orders(judges, count), &Caller { hear: &|_, _| Ok(()), stop: &|| false })
}

#[test]
fn many_requests_are_under_way_and_answers_keep_their_places() {
    let server = Server::start(|_, body| {
        thread::sleep(Duration::from_millis(50));
        let body: serde_json::Value = serde_json::from_str(body).expect("JSON");
        Some(completion(body["messages"][0]["content"].as_str().expect("text")))
    });
    let (judges, heard) = (judges(settings(&server.base), Limits::default()), Mutex::new(Vec::new()));
    let hear = |position: usize, reply: &Reply| {
        heard.lock().expect("unpoisoned").push((position, reply.text.clone()));
        Ok(())
    };
    let start = Instant::now();
    let answers = judges.ask(&orders(&judges, 200), &Caller { hear: &hear, stop: &|| false }).expect("asked");
    assert!(start.elapsed() < Duration::from_secs(5), "one by one they would take ten seconds");
    for (i, answer) in answers.iter().enumerate() {
        assert_eq!(answer.as_ref().map(|reply| reply.text.as_str()), Ok(format!("question {i}").as_str()));
    }
    let mut heard = heard.into_inner().expect("unpoisoned");
    heard.sort();
    assert!(heard.len() == 200 && heard[7] == (7, "question 7".into()));
    let most = server.most_at_once.load(Ordering::SeqCst);
    assert!((8..=64).contains(&most), "{most} at once");
    let spent = judges.spent();
    assert_eq!((spent.requests, (spent.money * 1e6).round()), (200, 200.0 * 20.0));
}

#[test]
fn trouble_that_passes_is_tried_again() {
    let server = Server::start(|n, _| match n {
        0 => Some(response("500 Internal Server Error", "", "")),
        1 => Some(response("200 OK", "", "<html>")),
        2 => None,
        _ => Some(completion("fine")),
    });
    let answers = ask(&judges(settings(&server.base), Limits::default()), 1).expect("asked");
    assert_eq!(answers[0].as_ref().map(|reply| reply.text.as_str()), Ok("fine"));
    assert_eq!(server.count(), 4);
}

#[test]
fn every_request_waits_while_the_endpoint_asks_to() {
    let times: Arc<Mutex<Vec<Instant>>> = Arc::default();
    let seen = times.clone();
    let server = Server::start(move |n, _| {
        seen.lock().expect("unpoisoned").push(Instant::now());
        let wait = response("429 Too Many Requests", "Retry-After: 1\r\n", "");
        Some(if n == 0 { wait } else { completion("fine") })
    });
    let judges = judges(Settings { in_flight: 1, retries: 0, ..settings(&server.base) }, Limits::default());
    assert!(ask(&judges, 5).expect("asked").iter().all(std::result::Result::is_ok), "a rate limit is no failure");
    let times = times.lock().expect("unpoisoned");
    assert_eq!(times.len(), 6);
    assert!(times[1] - times[0] >= Duration::from_millis(990), "{:?}", times[1] - times[0]);
}

#[test]
fn trouble_that_stays_is_a_failure_with_its_cause() {
    let quick = |base: &str| Settings { retries: 1, timeout: 0.2, ..settings(base) };
    let failure = |server: &Server| ask(&judges(quick(&server.base), Limits::default()), 1).expect("asked").remove(0);
    let slow = Server::start(|_, _| {
        thread::sleep(Duration::from_secs(2));
        None
    });
    let message = failure(&slow).expect_err("too slow").to_string();
    assert!(message.ends_with("/v1 does not answer in time, after 2 attempts"), "{message}");
    let picky = Server::start(|_, _| Some(response("400 Bad Request", "", "no \n sk-secret like that")));
    let Err(Failure::Rejected(message)) = failure(&picky) else { panic!("not rejected") };
    assert!(message.ends_with("rejects the request (400 Bad Request): no [key] like that"), "{message}");
    let nobody = ask(&judges(quick("http://127.0.0.1:1/v1"), Limits::default()), 1).expect("asked").remove(0);
    assert!(nobody.expect_err("nobody there").to_string().contains("cannot be reached"));
}

#[test]
fn a_refused_key_ends_everything_at_once_and_is_not_shown() {
    let server = Server::start(|_, _| Some(response("401 Unauthorized", "", "Incorrect API key provided: sk-secret")));
    let judges = judges(settings(&server.base), Limits::default());
    let error = ask(&judges, 500).expect_err("refused").to_string();
    assert!(error.contains("refuses the key") && !error.contains("sk-secret"), "{error}");
    assert!(server.count() <= 64, "{} of 500 requests were sent", server.count());
}

#[test]
fn a_redirect_is_not_followed() {
    let far = Server::start(|_, _| Some(completion("caught")));
    let location = format!("Location: {}/chat/completions\r\n", far.base);
    let near = Server::start(move |_, _| Some(response("307 Temporary Redirect", &location, "")));
    let error = ask(&judges(settings(&near.base), Limits::default()), 1).expect_err("refused").to_string();
    assert!(error.contains("redirects") && far.count() == 0, "{error}");
}

#[test]
fn budgets_are_never_passed() {
    let server = Server::start(|_, _| Some(completion("fine")));
    let answered = |answers: &Outcome| answers.iter().filter(|answer| answer.is_ok()).count();
    let few = judges(settings(&server.base), Limits { requests: Some(5), money: None });
    let answers = ask(&few, 20).expect("asked");
    assert_eq!((answered(&answers), server.count()), (5, 5));
    assert!(answers.iter().filter_map(|a| a.as_ref().err()).all(|failure| *failure == Failure::BudgetExhausted));

    // 10 tokens at 1 and 5 at 2 for a million: 20 millionths an answer, and never more than the limit.
    let poor = judges(settings(&server.base), Limits { requests: None, money: Some(0.002) });
    let answers = ask(&poor, 200).expect("asked");
    assert!(poor.spent().money <= 0.002 && (60..=100).contains(&answered(&answers)), "{} answers", answered(&answers));
    let unpriced = Settings { price: None, ..settings(&server.base) };
    let error = Judges::new(vec![unpriced], Limits { requests: None, money: Some(1.0) }, None).err().expect("refused");
    assert!(error.to_string().contains("add price = { input"), "{error}");
}

#[test]
fn an_interruption_sends_nothing_more_and_keeps_what_was_heard() {
    let (stop, heard) = (AtomicBool::new(false), Mutex::new(0));
    let server = Server::start(|_, _| {
        thread::sleep(Duration::from_millis(20));
        Some(completion("fine"))
    });
    let judges = judges(settings(&server.base), Limits::default());
    let hear = |_: usize, _: &Reply| {
        *heard.lock().expect("unpoisoned") += 1;
        stop.store(true, Ordering::SeqCst);
        Ok(())
    };
    let asked = judges.ask(&orders(&judges, 300), &Caller { hear: &hear, stop: &|| stop.load(Ordering::SeqCst) });
    assert!(matches!(asked, Err(Error::Interrupted)));
    assert_eq!(*heard.lock().expect("unpoisoned"), server.count(), "every answer that was paid for is kept");
    assert!(server.count() < 100);
}

#[test]
fn votes_and_judges_are_raters_of_their_own_and_the_cache_saves_requests() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let server = Server::start(|n, _| Some(completion(&n.to_string())));
    let two = || {
        vec![Settings { votes: 2, ..settings(&server.base) }, Settings { model: "n".into(), ..settings(&server.base) }]
    };
    let open = || Judges::new(two(), Limits::default(), Some(&dir.path().join("judge.sqlite"))).expect("valid");
    let judges = open();
    assert_eq!(judges.raters(), 3);
    let all =
        |judges: &Judges| -> Vec<Order> { (0..3).map(|r| judges.order(r, &question("q")).expect("valid")).collect() };
    assert!(judges.order(3, &question("q")).is_err());
    let names: Vec<(String, u32)> = all(&judges).iter().map(|order| (order.model.clone(), order.vote)).collect();
    assert_eq!(names, [("m".into(), 0), ("m".into(), 1), ("n".into(), 0)]);
    let caller = Caller { hear: &|_, _| Ok(()), stop: &|| false };
    let first = judges.ask(&all(&judges), &caller).expect("asked");
    let again = open();
    assert_eq!(again.ask(&all(&again), &caller).expect("asked"), first);
    assert_eq!((server.count(), again.spent().requests), (3, 0));
}
