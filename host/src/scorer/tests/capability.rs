//! A scorer that is granted a judge.

use std::sync::{Arc, Mutex};

use super::*;

/// Repeats what it is asked, notes how much that is, and breaks down on request.
#[derive(Default)]
struct Echo(Mutex<Vec<usize>>);

impl Judge for Echo {
    fn answer(&self, requests: &[Request], _: bool) -> std::result::Result<Vec<Answers>, String> {
        self.0.lock().expect("unpoisoned").push(requests.len());
        let answer = |request: &Request| match request.messages[0].content.as_str() {
            "end" => Err("the disk is full".to_string()),
            "mute" => Ok(vec![Err(JudgeError::BudgetExhausted)]),
            text => Ok(vec![Ok(Response { text: text.to_uppercase(), prompt_tokens: 0, completion_tokens: 0 })]),
        };
        requests.iter().map(answer).collect()
    }
}

fn asking(judge: &Arc<Echo>) -> Scorer {
    let grants = Grants { judge: Some(judge.clone()), embed: None };
    Scorer::load_with(&ENGINE.0, &component("wants_judge"), "{}", &grants).expect("granted")
}

fn says(predictions: &[&str]) -> Vec<Sample> {
    let sample = |(index, text): (u32, &&str)| Sample { index, prediction: text.to_string(), ..Sample::default() };
    (0..).zip(predictions).map(sample).collect()
}

#[test]
fn a_whole_batch_is_asked_at_once_and_answers_keep_their_places() {
    let judge = Arc::new(Echo::default());
    let scorer = asking(&judge);
    assert_eq!(scorer.capabilities(), [JUDGE]);
    let mut predictions = vec!["yes"; 300];
    predictions[299] = "no";
    predictions[7] = "mute";
    let scores = scorer.score(&says(&predictions)).expect("scored");
    let notes = [0, 7, 299].map(|i| scores[i].note.as_deref());
    assert_eq!(notes, [Some("YES"), None, Some("NO")]);
    let mut sizes = judge.0.lock().expect("unpoisoned").clone();
    sizes.sort_unstable();
    assert_eq!(sizes, [300 - BATCH, BATCH]);
}

#[test]
fn an_error_of_the_host_ends_the_scoring() {
    let error = asking(&Arc::default()).score(&says(&["yes", "end"])).expect_err("ended").to_string();
    assert!(error.ends_with("failed in batch 0 (samples 0..2): the disk is full"), "{error}");
}

#[test]
fn a_grant_to_be_described_is_none_to_ask() {
    let path = component("wants_judge");
    let scorer = Scorer::load_with(&ENGINE.0, &path, "{}", &Grants::idle(true, false)).expect("described");
    assert_eq!(scorer.metadata().needs, ["judge"]);
    let error = scorer.score(&says(&["yes"])).expect_err("nobody is asked").to_string();
    assert!(error.ends_with("nobody is asked except while samples are scored"), "{error}");
}
