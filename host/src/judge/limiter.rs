//! How many requests are under way: one more after each round of successes, half after a sign of overload, none while the
//! endpoint asks to wait.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use tokio::sync::Notify;

/// How soon a pause notices that the user stops.
const TICK: Duration = Duration::from_millis(100);
/// Where a new limiter starts.
const START: f64 = 8.0;
/// Requests that were sent before the limit was halved fail for the same reason, and halve it no further.
const CALM: Duration = Duration::from_millis(500);

pub(super) struct Limiter {
    most: f64,
    state: Mutex<State>,
    changed: Notify,
}

struct State {
    limit: f64,
    under_way: usize,
    halved: Option<Instant>,
    paused_until: Option<Instant>,
}

/// One request under way.
pub(super) struct Slot<'a>(&'a Limiter);

impl Limiter {
    pub(super) fn new(most: u32) -> Self {
        let most = f64::from(most.max(1));
        let state = State { limit: START.min(most), under_way: 0, halved: None, paused_until: None };
        Self { most, state: Mutex::new(state), changed: Notify::new() }
    }

    /// Waits for a free place; none once the user stops.
    pub(super) async fn slot(&self, stop: &(dyn Fn() -> bool + Sync)) -> Option<Slot<'_>> {
        loop {
            if stop() {
                return None;
            }
            let mut changed = std::pin::pin!(self.changed.notified());
            changed.as_mut().enable();
            let wait = self.with(|state| {
                let pause = state.paused_until.and_then(|until| until.checked_duration_since(Instant::now()));
                match pause.filter(|pause| !pause.is_zero()) {
                    Some(pause) => Some(Some(pause)),
                    None if (state.under_way as f64) < state.limit.floor() => {
                        state.under_way += 1;
                        None
                    }
                    None => Some(None),
                }
            });
            match wait {
                None => return Some(Slot(self)),
                Some(Some(pause)) => tokio::time::sleep(pause.min(TICK)).await,
                Some(None) => changed.await,
            }
        }
    }

    /// A request was answered.
    pub(super) fn succeeded(&self) {
        self.with(|state| state.limit = (state.limit + 1.0 / state.limit).min(self.most));
        self.changed.notify_waiters();
    }

    /// The endpoint is overloaded, and may have said how long.
    pub(super) fn overloaded(&self, wait: Option<Duration>) {
        let now = Instant::now();
        self.with(|state| {
            if state.halved.is_none_or(|halved| now.duration_since(halved) >= CALM) {
                state.limit = (state.limit / 2.0).max(1.0);
                state.halved = Some(now);
            }
            if let Some(until) = wait.and_then(|wait| now.checked_add(wait)) {
                state.paused_until = state.paused_until.max(Some(until));
            }
        });
    }

    #[cfg(test)]
    pub(super) fn limit(&self) -> f64 {
        self.with(|state| state.limit)
    }

    fn with<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        work(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        self.0.with(|state| state.under_way -= 1);
        self.0.changed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overload_halves_once_for_all_that_was_under_way_and_success_grows_slowly() {
        let limiter = Limiter::new(64);
        (0..8).for_each(|_| limiter.overloaded(None));
        assert!((limiter.limit() - 4.0).abs() < 1e-9);
        (0..4).for_each(|_| limiter.succeeded());
        assert!(limiter.limit() > 4.8 && limiter.limit() < 5.0, "about one more after a round");
        (0..100_000).for_each(|_| limiter.succeeded());
        assert!((limiter.limit() - 64.0).abs() < 1e-9);
        assert!((Limiter::new(2).limit() - 2.0).abs() < 1e-9);
    }

    #[test]
    fn a_pause_holds_every_request_back() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("runtime");
        let limiter = Limiter::new(4);
        limiter.overloaded(Some(Duration::from_millis(120)));
        let start = Instant::now();
        runtime.block_on(async { drop(limiter.slot(&|| false).await) });
        assert!(start.elapsed() >= Duration::from_millis(120));
    }
}
