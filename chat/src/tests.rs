//! An endpoint that is slow, flaky, rate-limiting, malformed or lying.

use std::{
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

use futures_util::future::join_all;

use super::{
    server::{Server, completion, response},
    *,
};

fn settings(base: &str) -> Settings {
    Settings {
        name: "model `m`".into(),
        endpoint: Endpoint::parse(base).expect("valid"),
        key: Key::new("sk-secret"),
        retries: 3,
        timeout: 60.0,
        in_flight: 64,
    }
}

fn ask(settings: Settings, count: usize) -> Vec<Result<Reply, Failure>> {
    let client = Client::new(settings).expect("valid");
    let caller = Caller { stop: &|| false, note: &|_| {} };
    let bodies: Vec<String> = (0..count).map(|i| format!("{{\"question\":{i}}}")).collect();
    let all = bodies.iter().map(|body| client.answer(body, &(), &caller));
    runtime().expect("a thread").block_on(join_all(all))
}

fn failure(settings: Settings) -> Failure {
    ask(settings, 1).remove(0).expect_err("no answer")
}

#[test]
fn the_key_is_sent_and_the_answer_read() {
    let server = Server::start(|_, body| Some(completion(body)));
    let answer = ask(settings(&server.base), 1).remove(0).expect("answered");
    assert_eq!((answer.text.as_str(), answer.completion_tokens), ("{\"question\":0}", Some(5)));
    assert_eq!(*server.authorization.lock().expect("unpoisoned"), "Bearer sk-secret");
}

#[test]
fn trouble_that_passes_is_tried_again() {
    let server = Server::start(|n, _| match n {
        0 => Some(response("500 Internal Server Error", "", "")),
        1 => Some(response("200 OK", "", "<html>")),
        2 => None,
        _ => Some(completion("fine")),
    });
    let answer = ask(settings(&server.base), 1).remove(0);
    assert_eq!(answer.map(|reply| reply.text).as_deref(), Ok("fine"));
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
    let answers = ask(Settings { in_flight: 1, retries: 0, ..settings(&server.base) }, 5);
    assert!(answers.iter().all(Result::is_ok), "a rate limit is no failure");
    let times = times.lock().expect("unpoisoned");
    assert_eq!(times.len(), 6);
    assert!(times[1] - times[0] >= Duration::from_millis(990), "{:?}", times[1] - times[0]);
}

#[test]
fn trouble_that_stays_is_a_failure_with_its_cause() {
    let quick = |base: &str| Settings { retries: 1, timeout: 0.2, ..settings(base) };
    let slow = Server::start(|_, _| {
        thread::sleep(Duration::from_secs(2));
        None
    });
    let message = failure(quick(&slow.base)).to_string();
    assert!(message.starts_with("model `m` at http://127.0.0.1:"), "{message}");
    assert!(message.ends_with("/v1 does not answer in time, after 2 attempts"), "{message}");
    let picky = Server::start(|_, _| Some(response("400 Bad Request", "", "no \n sk-secret like that")));
    let Failure::Rejected(message) = failure(quick(&picky.base)) else { panic!("not rejected") };
    assert!(message.ends_with("rejects the request (400 Bad Request): no [key] like that"), "{message}");
    let rude = Server::start(|_, _| None);
    assert!(matches!(failure(quick(&rude.base)), Failure::Transport(_)), "one that hangs up is there");
    let Failure::Unreachable(message) = failure(quick("http://127.0.0.1:1/v1")) else { panic!("reached") };
    assert!(message.contains("cannot be reached"), "{message}");
}

#[test]
fn a_refused_key_is_hopeless_and_not_shown() {
    let server = Server::start(|_, _| Some(response("401 Unauthorized", "", "Incorrect API key provided: sk-secret")));
    let Failure::Hopeless(message) = failure(settings(&server.base)) else { panic!("not hopeless") };
    assert!(message.contains("refuses the key") && !message.contains("sk-secret"), "{message}");
    assert_eq!(server.count(), 1);
}

#[test]
fn a_redirect_is_not_followed() {
    let far = Server::start(|_, _| Some(completion("caught")));
    let location = format!("Location: {}/chat/completions\r\n", far.base);
    let near = Server::start(move |_, _| Some(response("307 Temporary Redirect", &location, "")));
    let Failure::Hopeless(message) = failure(settings(&near.base)) else { panic!("followed") };
    assert!(message.contains("redirects") && far.count() == 0, "{message}");
}

#[test]
fn one_who_stops_sends_nothing_more() {
    let server = Server::start(|_, _| Some(completion("fine")));
    let client = Client::new(settings(&server.base)).expect("valid");
    let caller = Caller { stop: &|| true, note: &|_| {} };
    let answer = runtime().expect("a thread").block_on(client.answer("{}", &(), &caller));
    assert_eq!((answer, server.count()), (Err(Failure::Stopped), 0));
}
