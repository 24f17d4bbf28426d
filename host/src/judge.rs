//! Judges: models behind OpenAI-compatible chat endpoints, asked for many answers at once.
//!
//! ```text
//! endpoint  address and key          request  body, key of the whole request, reply
//! remote    attempts and back-off    limiter  how many requests are under way
//! budget    requests and money       cache    answers of earlier runs
//! ```
//!
//! What an answer is good for, and where it is kept, is not known here: every answer is handed over as it arrives.

use std::{
    path::Path,
    sync::{
        OnceLock,
        atomic::{AtomicBool, Ordering},
    },
};

use futures_util::future::join_all;

use crate::error::{Error, Result};

mod budget;
mod cache;
mod endpoint;
mod limiter;
mod remote;
mod request;
#[cfg(test)]
mod server;

pub use budget::{Limits, Price, Spent};
pub use endpoint::{Endpoint, Key};
pub use request::{Order, Question, Reply};

use budget::Budget;
use cache::Cache;
use remote::Remote;

/// One judge.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Name of the model at the endpoint.
    pub model: String,
    /// How often each question is put to it.
    pub votes: u32,
    /// Where it is.
    pub endpoint: Endpoint,
    /// What it is asked with.
    pub key: Key,
    /// What it charges.
    pub price: Option<Price>,
    /// Further attempts after a failure that may pass.
    pub retries: u32,
    /// Seconds that one attempt may take.
    pub timeout: f64,
    /// Most requests that are under way at once.
    pub in_flight: u32,
    /// Fields that are left out of each request.
    pub omit: Vec<String>,
    /// Fields that are added to each request.
    pub body: serde_json::Map<String, serde_json::Value>,
}

/// Why a question has no answer. The next run may ask again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The budget is used up.
    #[error("the budget is used up")]
    BudgetExhausted,
    /// The endpoint could not be reached, or gave no answer, however often it was tried.
    #[error("{0}")]
    Transport(String),
    /// The endpoint refused this request.
    #[error("{0}")]
    Rejected(String),
}

/// What is asked of, and heard from, the caller.
pub struct Caller<'a> {
    /// Receives each answer as it arrives, with the position of its order; an error ends the asking.
    pub hear: &'a (dyn Fn(usize, &Reply) -> Result<()> + Sync),
    /// True once no further request shall be sent.
    pub stop: &'a (dyn Fn() -> bool + Sync),
}

/// All judges of a run, with one budget and one cache.
pub struct Judges {
    judges: Vec<Remote>,
    budget: Budget,
    cache: Option<Cache>,
    runtime: OnceLock<tokio::runtime::Runtime>,
}

impl Judges {
    /// Prepares the judges; nothing is sent. A limit of money needs the price of every judge.
    pub fn new(settings: Vec<Settings>, limits: Limits, cache: Option<&Path>) -> Result<Self> {
        if let Some(judge) = settings.iter().find(|judge| limits.money.is_some() && judge.price.is_none()) {
            return Err(Error::usage(format!(
                "--max-cost needs to know what `{}` charges: add price = {{ input = …, output = … }}, in money for a \
                 million tokens, to its [judge] table",
                judge.model
            )));
        }
        let judges = settings.into_iter().map(Remote::new).collect::<Result<_>>()?;
        let cache = cache.and_then(Cache::open);
        Ok(Self { judges, budget: Budget::new(limits), cache, runtime: OnceLock::new() })
    }

    /// How many answers a question gets: the votes of all judges.
    pub fn raters(&self) -> usize {
        self.judges.iter().map(|judge| judge.settings.votes as usize).sum()
    }

    /// What is sent when a rater is asked; the raters are numbered judge by judge, vote by vote.
    pub fn order(&self, rater: usize, question: &Question) -> Result<Order> {
        let mut vote = rater;
        for (judge, remote) in self.judges.iter().enumerate() {
            let votes = remote.settings.votes as usize;
            if vote < votes {
                return Order::new(judge, vote as u32, &remote.settings, question);
            }
            vote -= votes;
        }
        Err(Error::failed(format!("there is no rater {rater}")))
    }

    /// Puts all questions at once. Answers come from the cache or from the endpoints, in any order.
    ///
    /// # Errors
    /// An endpoint that refuses the key or the model, for then no question would be answered; an error of the caller; an
    /// interruption. What was heard before is valid.
    pub fn ask(&self, orders: &[Order], caller: &Caller<'_>) -> Result<Vec<std::result::Result<Reply, Failure>>> {
        let runtime = match self.runtime.get() {
            Some(runtime) => runtime,
            None => {
                let made = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
                let made = made.map_err(|e| Error::failed(format!("cannot start the judge's runtime: {e}")))?;
                self.runtime.get_or_init(|| made)
            }
        };
        let ended = AtomicBool::new(false);
        let stop = || ended.load(Ordering::Relaxed) || (caller.stop)();
        let one = async |position: usize, order: &Order| {
            let answer = self.one(position, order, &Caller { hear: caller.hear, stop: &stop }).await;
            if answer.is_err() {
                ended.store(true, Ordering::Relaxed);
            }
            answer
        };
        let all = join_all(orders.iter().enumerate().map(|(position, order)| one(position, order)));
        let (answers, errors): (Vec<_>, Vec<_>) = runtime.block_on(all).into_iter().partition(Result::is_ok);
        // What came to an end because of another's error was merely interrupted.
        match errors.into_iter().filter_map(Result::err).min_by_key(|e| matches!(e, Error::Interrupted)) {
            Some(error) => Err(error),
            None => answers.into_iter().collect(),
        }
    }

    async fn one(
        &self,
        position: usize,
        order: &Order,
        caller: &Caller<'_>,
    ) -> Result<std::result::Result<Reply, Failure>> {
        let remote = &self.judges[order.judge];
        let cached = self.cache.as_ref().and_then(|cache| cache.get(&remote.settings.endpoint, &order.key));
        if let Some(reply) = cached {
            (caller.hear)(position, &reply)?;
            return Ok(Ok(reply));
        }
        let answer = remote.answer(order, &self.budget, caller.stop).await?;
        if let Ok(reply) = &answer {
            (caller.hear)(position, reply)?;
            if let Some(cache) = &self.cache {
                cache.put(&remote.settings.endpoint, &order.key, reply);
            }
        }
        Ok(answer)
    }

    /// What was spent so far.
    pub fn spent(&self) -> Spent {
        self.budget.spent()
    }
}

#[cfg(test)]
mod tests;
