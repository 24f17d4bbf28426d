//! How many requests may be sent and how much they may cost. What is under way counts with the most it can cost, so the
//! limit is never passed.

use std::sync::{Mutex, PoisonError};

use tokio::sync::Notify;

use super::{Reply, request::Order};

/// Limits of a whole run; none where there is none.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Limits {
    /// Requests, further attempts included.
    pub requests: Option<u64>,
    /// Money, in the unit of the prices.
    pub money: Option<f64>,
}

/// Money for a million tokens of the prompt and of the answer.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Price {
    /// Tokens of the prompt.
    pub input: f64,
    /// Tokens of the answer.
    pub output: f64,
}

/// What a run has used.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Spent {
    /// Requests sent.
    pub requests: u64,
    /// Money, as far as prices are known.
    pub money: f64,
}

pub(super) struct Budget {
    limits: Limits,
    state: Mutex<State>,
    released: Notify,
}

#[derive(Default)]
struct State {
    spent: Spent,
    reserved: f64,
    under_way: usize,
}

/// Leave to send one request.
pub(super) struct Leave<'a> {
    budget: &'a Budget,
    reserved: f64,
    cost: f64,
}

impl Budget {
    pub(super) fn new(limits: Limits) -> Self {
        Self { limits, state: Mutex::default(), released: Notify::new() }
    }

    pub(super) fn spent(&self) -> Spent {
        self.with(|state| state.spent)
    }

    /// Waits until a request is affordable; none once it cannot become so.
    pub(super) async fn leave(&self, order: &Order, price: Price) -> Option<Leave<'_>> {
        let (input, output) = order.tokens();
        let most = cost(price, input, output);
        loop {
            let mut released = std::pin::pin!(self.released.notified());
            released.as_mut().enable();
            let granted = self.with(|state| {
                if self.limits.requests.is_some_and(|limit| state.spent.requests >= limit) {
                    return Some(false);
                }
                if self.limits.money.is_some_and(|limit| state.spent.money + state.reserved + most > limit) {
                    // What is under way may turn out cheaper than it was reserved for.
                    return (state.under_way == 0).then_some(false);
                }
                state.spent.requests += 1;
                state.reserved += most;
                state.under_way += 1;
                Some(true)
            });
            match granted {
                Some(true) => return Some(Leave { budget: self, reserved: most, cost: 0.0 }),
                Some(false) => return None,
                None => released.await,
            }
        }
    }

    fn with<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        work(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Leave<'_> {
    /// The request was answered: it costs what the endpoint counted, or the most it can where it counts nothing.
    pub(super) fn answered(&mut self, reply: &Reply, price: Price) {
        self.cost = match (reply.prompt_tokens, reply.completion_tokens) {
            (Some(input), Some(output)) => cost(price, input.into(), output.into()),
            _ => self.reserved,
        };
    }
}

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        self.budget.with(|state| {
            state.spent.money += self.cost;
            state.reserved -= self.reserved;
            state.under_way -= 1;
        });
        self.budget.released.notify_waiters();
    }
}

fn cost(price: Price, input: u64, output: u64) -> f64 {
    (price.input * input as f64 + price.output * output as f64) / 1e6
}
