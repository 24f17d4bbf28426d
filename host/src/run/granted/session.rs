//! One cell's scorers, asking.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};

use super::lock;
use crate::{
    error::{Error, Result},
    evidence::{Answer, Embedding, Evidence},
    judge::{Caller, Failure, Judges, Order, Question, Reply},
    run::{INTERRUPTED, Observer, embedder::Embedder},
    scorer::{Answers, Embed, Judge, JudgeError, Matrix, Request, Response},
};

/// Time between two lines of progress.
const LINE_EVERY: Duration = Duration::from_secs(15);

/// What scorers needed from outside the sandbox.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Tally {
    /// Different requests and texts.
    pub needed: usize,
    /// Of those, how many have no recorded answer.
    pub missing: usize,
    /// Why, in the words of one of them; not part of what is written.
    #[serde(skip)]
    pub reason: Option<String>,
    /// Answers that came from outside the run directory; not part of what is written.
    #[serde(skip)]
    pub heard: usize,
}

pub(super) struct Session {
    pub cell: String,
    pub evidence: Evidence,
    /// Whether evidence repeats what was sent.
    pub keep_requests: bool,
    pub judges: Option<Arc<Judges>>,
    pub embedder: Option<Arc<Mutex<Embedder>>>,
    pub offline: bool,
    pub observer: Arc<dyn Observer + Send>,
    pub state: Mutex<State>,
    /// Signals that requests are no longer under way.
    pub answered: Condvar,
}

#[derive(Default)]
pub(super) struct State {
    /// The error that ended a call.
    pub error: Option<Error>,
    needed: HashSet<String>,
    /// Requests that some thread is putting to a judge.
    under_way: HashSet<String>,
    failures: HashMap<String, JudgeError>,
    /// Answers that came from outside the run directory.
    heard: usize,
    last_line: Option<Instant>,
}

impl Session {
    pub fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    pub fn take_tally(&self) -> Tally {
        let mut state = self.state();
        let failures = std::mem::take(&mut state.failures);
        // The least of the reasons, so that the sentence is the same every time.
        let reason = failures.values().map(sentence).min();
        Tally {
            needed: std::mem::take(&mut state.needed).len(),
            missing: failures.len(),
            reason,
            heard: std::mem::take(&mut state.heard),
        }
    }

    /// Has every order answered, or a failure noted.
    fn obtain(&self, judges: &Judges, orders: &[Order]) -> Result<()> {
        let mut state = self.state();
        state.needed.extend(orders.iter().map(|order| order.key.clone()));
        let mut seen = HashSet::new();
        let open: Vec<&Order> = orders
            .iter()
            .filter(|order| self.evidence.answer(&order.key).is_none() && seen.insert(order.key.clone()))
            .collect();
        if self.offline {
            for order in open {
                let why = "its answer is not recorded, and nobody is asked offline".to_string();
                state.failures.insert(order.key.clone(), JudgeError::Denied(why));
            }
            return Ok(());
        }
        // What another thread is asking already, or could not get, is not asked twice.
        let (theirs, mine): (Vec<&Order>, Vec<&Order>) = open
            .into_iter()
            .partition(|order| state.under_way.contains(&order.key) || state.failures.contains_key(&order.key));
        state.under_way.extend(mine.iter().map(|order| order.key.clone()));
        drop(state);

        let mine: Vec<Order> = mine.into_iter().cloned().collect();
        let hear = |position: usize, reply: &Reply| self.hear(&mine[position], reply);
        let stop = || INTERRUPTED.load(std::sync::atomic::Ordering::Relaxed);
        let asked = judges.ask(&mine, &Caller { hear: &hear, stop: &stop });

        let mut state = self.state();
        for order in &mine {
            state.under_way.remove(&order.key);
        }
        if let Ok(answers) = &asked {
            for (order, answer) in mine.iter().zip(answers) {
                if let Err(failure) = answer {
                    state.failures.insert(order.key.clone(), told(failure));
                }
            }
        }
        self.answered.notify_all();
        asked?;
        while theirs.iter().any(|order| state.under_way.contains(&order.key)) {
            state = self.answered.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        Ok(())
    }

    fn hear(&self, order: &Order, reply: &Reply) -> Result<()> {
        let reply = reply.clone();
        self.evidence.record_answer(Answer {
            key: order.key.clone(),
            model: order.model.clone(),
            vote: order.vote,
            answered_by: reply.model,
            finish: reply.finish,
            prompt_tokens: reply.prompt_tokens,
            completion_tokens: reply.completion_tokens,
            request: self.keep_requests.then(|| order.body.clone()),
            text: reply.text,
        })?;
        let mut state = self.state();
        state.heard += 1;
        let now = Instant::now();
        if now.duration_since(*state.last_line.get_or_insert(now)) >= LINE_EVERY {
            state.last_line = Some(now);
            let heard = state.heard;
            drop(state);
            self.observer.note(&format!("{}: {heard} answers so far{}", self.cell, self.cost()));
        }
        Ok(())
    }

    /// What judges were sent and paid by this process, to end a line.
    pub fn cost(&self) -> String {
        let spent = self.judges.as_ref().map(|judges| judges.spent()).unwrap_or_default();
        let money = if spent.money > 0.0 { format!(", {:.4} spent", spent.money) } else { String::new() };
        if spent.requests > 0 { format!("; {} requests sent to judges{money}", spent.requests) } else { String::new() }
    }

    /// Keeps an error for the host, and gives the words of it to the sandbox.
    fn end(&self, error: Error) -> String {
        let words = error.to_string();
        self.state().error.get_or_insert(error);
        words
    }

    fn embeddings(
        &self,
        embedder: &Mutex<Embedder>,
        texts: &[String],
    ) -> Result<std::result::Result<Vec<Matrix>, String>> {
        let mut embedder = lock(embedder);
        let keys: Vec<String> = texts.iter().map(|text| embedder.key(text)).collect();
        self.state().needed.extend(keys.iter().cloned());
        let mut found = HashMap::new();
        let mut open: Vec<(&String, &String)> = Vec::new();
        for (key, text) in keys.iter().zip(texts) {
            match self.evidence.embedding(key)? {
                Some(embedding) => drop(found.insert(key, embedding)),
                None if open.iter().any(|(other, _)| *other == key) => {}
                None => open.push((key, text)),
            }
        }
        if self.offline && !open.is_empty() {
            let why = "its embedding is not recorded, and nothing is computed offline".to_string();
            let mut state = self.state();
            state.failures.extend(open.iter().map(|(key, _)| (key.to_string(), JudgeError::Denied(why.clone()))));
            return Ok(Err(why));
        }
        if !open.is_empty() {
            crate::run::check_interrupt()?;
            let made = embedder.embed(&open.iter().map(|(_, text)| text.to_string()).collect::<Vec<_>>())?;
            for ((key, _), embedding) in open.into_iter().zip(made) {
                self.evidence.record_embedding(key, embedder.name(), &embedding)?;
                self.state().heard += 1;
                found.insert(key, embedding);
            }
        }
        let matrix = |embedding: &Embedding| Matrix {
            rows: embedding.rows,
            columns: embedding.columns,
            data: embedding.data.clone(),
        };
        Ok(Ok(keys.iter().filter_map(|key| found.get(key).map(matrix)).collect()))
    }
}

impl Judge for Session {
    fn answer(&self, requests: &[Request], all_raters: bool) -> std::result::Result<Vec<Answers>, String> {
        let Some(judges) = &self.judges else { return Err("no judge is granted".into()) };
        let raters = if all_raters { judges.raters() } else { 1 };
        let mut orders = Vec::with_capacity(requests.len() * raters);
        for request in requests {
            let question = question(request);
            for rater in 0..raters {
                orders.push(judges.order(rater, &question).map_err(|e| self.end(e))?);
            }
        }
        self.obtain(judges, &orders).map_err(|e| self.end(e))?;
        let answer = |order: &Order| match self.evidence.answer(&order.key) {
            Some(answer) => Ok(Response {
                text: answer.text,
                prompt_tokens: answer.prompt_tokens.unwrap_or_default(),
                completion_tokens: answer.completion_tokens.unwrap_or_default(),
            }),
            None => Err(self
                .state()
                .failures
                .get(&order.key)
                .cloned()
                .unwrap_or(JudgeError::Transport("the request was interrupted".into()))),
        };
        Ok(orders.chunks(raters.max(1)).map(|orders| orders.iter().map(answer).collect()).collect())
    }
}

impl Embed for Session {
    fn embed(&self, texts: &[String]) -> std::result::Result<std::result::Result<Vec<Matrix>, String>, String> {
        let Some(embedder) = &self.embedder else { return Err("no embeddings are granted".into()) };
        self.embeddings(embedder, texts).map_err(|e| self.end(e))
    }
}

fn question(request: &Request) -> Question {
    Question {
        messages: request.messages.iter().map(|m| (m.role.clone(), m.content.clone())).collect(),
        temperature: request.temperature,
        max_tokens: request.max_tokens,
        seed: request.seed,
        schema: request.response_schema.clone(),
    }
}

fn told(failure: &Failure) -> JudgeError {
    match failure {
        Failure::BudgetExhausted => JudgeError::BudgetExhausted,
        Failure::Transport(message) => JudgeError::Transport(message.clone()),
        Failure::Rejected(message) => JudgeError::Rejected(message.clone()),
    }
}

fn sentence(error: &JudgeError) -> String {
    match error {
        JudgeError::BudgetExhausted => "the budget is used up; a larger one goes on from here".into(),
        JudgeError::Denied(message) | JudgeError::Transport(message) | JudgeError::Rejected(message) => message.clone(),
    }
}
