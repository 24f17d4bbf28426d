//! One judge: attempts, back-off, and what each answer of the endpoint means.

use std::time::{Duration, SystemTime};

use reqwest::{
    Client, Response, StatusCode,
    header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER},
};

use super::{
    Failure, Reply, Settings,
    budget::Budget,
    limiter::Limiter,
    request::{self, Order},
};
use crate::error::{Error, Result};

/// Wait before the second attempt; it doubles with each further one.
const FIRST_WAIT: Duration = Duration::from_millis(250);
/// Longest wait between two attempts that the endpoint did not ask for.
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// Longest wait that an endpoint may ask for.
const LONGEST_PAUSE: Duration = Duration::from_secs(600);
/// Largest answer that is read.
const LARGEST_REPLY: usize = 4 << 20;
/// A rate limit is no failure of the request: so many of its answers count as one attempt.
const LIMITED_PER_ATTEMPT: u32 = 8;
/// How soon a wait notices an interruption.
const TICK: Duration = Duration::from_millis(100);

pub(super) struct Remote {
    pub settings: Settings,
    client: Client,
    limiter: Limiter,
}

/// How one attempt went wrong.
enum Trouble {
    /// It may pass; the endpoint may have said when.
    Passing(String, Option<Duration>),
    /// Too many requests; the endpoint may have said when there may be more.
    Limited(String, Option<Duration>),
    /// This request will never be answered.
    Rejected(String),
    /// No request will be answered.
    Hopeless(String),
}

impl Remote {
    pub(super) fn new(settings: Settings) -> Result<Self> {
        // A redirect or a proxy could carry samples away from a loopback endpoint.
        let mut client = Client::builder()
            .timeout(Duration::from_secs_f64(settings.timeout))
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("medvlm/", env!("CARGO_PKG_VERSION")));
        if settings.endpoint.is_loopback() {
            client = client.no_proxy();
        }
        let mut headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static("application/json"))]);
        if !settings.key.is_empty() {
            let mut value = HeaderValue::from_str(&settings.key.bearer()).map_err(|_| {
                Error::usage(format!("the key of the judge `{}` has characters that no key has", settings.model))
            })?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        let client = client.default_headers(headers).build();
        let client = client.map_err(|e| Error::failed(format!("the judge's HTTP client does not start: {e}")))?;
        let limiter = Limiter::new(settings.in_flight);
        Ok(Self { settings, client, limiter })
    }

    /// Asks until there is an answer, the attempts or the budget are used up, or the user stops. The outer error ends the
    /// whole run.
    pub(super) async fn answer(
        &self,
        order: &Order,
        budget: &Budget,
        stop: &(dyn Fn() -> bool + Sync),
    ) -> Result<std::result::Result<Reply, Failure>> {
        let (mut attempt, mut limited) = (0, 0);
        loop {
            let slot = self.limiter.slot(stop).await.ok_or(Error::Interrupted)?;
            let price = self.settings.price.unwrap_or_default();
            let Some(mut leave) = budget.leave(order, price).await else {
                return Ok(Err(Failure::BudgetExhausted));
            };
            let answer = self.attempt(order).await;
            // The limiter hears of it before the place is free for another request.
            match &answer {
                Ok(reply) => {
                    leave.answered(reply, price);
                    self.limiter.succeeded();
                }
                Err(Trouble::Passing(_, wait) | Trouble::Limited(_, wait)) => self.limiter.overloaded(*wait),
                Err(_) => {}
            }
            drop((leave, slot));
            let (message, wait, count, used_up) = match answer {
                Ok(reply) => return Ok(Ok(reply)),
                Err(Trouble::Hopeless(message)) => return Err(Error::failed(self.place(&message))),
                Err(Trouble::Rejected(message)) => return Ok(Err(Failure::Rejected(self.place(&message)))),
                Err(Trouble::Limited(message, wait)) => {
                    limited += 1;
                    let used_up = limited == LIMITED_PER_ATTEMPT * (self.settings.retries + 1);
                    (message, wait, limited, used_up)
                }
                Err(Trouble::Passing(message, wait)) => {
                    attempt += 1;
                    (message, wait, attempt, attempt > self.settings.retries)
                }
            };
            tracing::info!(target: "judge", "attempt {count}: {}", self.place(&message));
            if used_up {
                return Ok(Err(Failure::Transport(self.place(&format!("{message}, after {count} attempts")))));
            }
            pause(wait.unwrap_or_default().max(back_off(count - 1, &order.key)), stop).await?;
        }
    }

    async fn attempt(&self, order: &Order) -> std::result::Result<Reply, Trouble> {
        let passing = |e: reqwest::Error| Trouble::Passing(self.settings.key.redact(&reason(&e)), None);
        let request = self.client.post(self.settings.endpoint.chat()).body(order.body.to_string());
        let mut response = request.send().await.map_err(passing)?;
        let status = response.status();
        let wait = retry_after(&response);
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(passing)? {
            bytes.extend_from_slice(&chunk);
            if bytes.len() > LARGEST_REPLY {
                return Err(Trouble::Rejected(format!("answers with more than {} MiB", LARGEST_REPLY >> 20)));
            }
        }
        // An endpoint may repeat the key in whatever it says.
        let text = self.settings.key.redact(&String::from_utf8_lossy(&bytes));
        match status {
            StatusCode::OK => {
                request::reply(text.as_bytes()).map_err(|e| Trouble::Passing(format!("answers with {e}"), None))
            }
            StatusCode::TOO_MANY_REQUESTS => Err(Trouble::Limited(format!("answers {status}"), wait)),
            StatusCode::REQUEST_TIMEOUT => Err(Trouble::Passing(format!("answers {status}"), wait)),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::PAYMENT_REQUIRED => {
                Err(Trouble::Hopeless(format!("refuses the key in {} ({status})", self.key_name())))
            }
            StatusCode::NOT_FOUND => Err(Trouble::Hopeless(format!("knows no such model or address ({status})"))),
            _ if status.is_server_error() => Err(Trouble::Passing(format!("answers {status}"), wait)),
            _ if status.is_redirection() => {
                Err(Trouble::Hopeless(format!("redirects ({status}), which is not followed: name its true address")))
            }
            _ => Err(Trouble::Rejected(format!("rejects the request ({status}): {}", excerpt(&text)))),
        }
    }

    fn key_name(&self) -> &'static str {
        if self.settings.key.is_empty() { "no variable: none is set" } else { "the environment" }
    }

    fn place(&self, message: &str) -> String {
        format!("judge `{}` at {} {message}", self.settings.model, self.settings.endpoint)
    }
}

/// The exponential wait after an attempt, capped, spread by up to a quarter so that requests do not return in step.
fn back_off(attempt: u32, key: &str) -> Duration {
    let wait = FIRST_WAIT.saturating_mul(1 << attempt.min(16)).min(LONGEST_WAIT);
    let spread = u32::from_str_radix(key.get(..2).unwrap_or_default(), 16).unwrap_or_default();
    wait - wait.mul_f64(f64::from(spread) / 1024.0)
}

async fn pause(wait: Duration, stop: &(dyn Fn() -> bool + Sync)) -> Result<()> {
    let end = tokio::time::Instant::now() + wait;
    loop {
        if stop() {
            return Err(Error::Interrupted);
        }
        let now = tokio::time::Instant::now();
        if now >= end {
            return Ok(());
        }
        tokio::time::sleep(TICK.min(end - now)).await;
    }
}

/// `Retry-After`: seconds or a date.
fn retry_after(response: &Response) -> Option<Duration> {
    let text = response.headers().get(RETRY_AFTER)?.to_str().ok()?.trim();
    let wait = match text.parse::<f64>() {
        Ok(seconds) => Duration::try_from_secs_f64(seconds).ok()?,
        Err(_) => httpdate::parse_http_date(text).ok()?.duration_since(SystemTime::now()).unwrap_or_default(),
    };
    Some(wait.min(LONGEST_PAUSE))
}

/// An error with its causes; reqwest shows only the outermost.
fn reason(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "does not answer in time".into();
    }
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    format!("cannot be reached: {cause}")
}

fn excerpt(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(200).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_a_cap() {
        let waits: Vec<Duration> = (0..40).map(|attempt| back_off(attempt, "00")).collect();
        assert_eq!(waits[..3], [250, 500, 1000].map(Duration::from_millis));
        assert!(waits.is_sorted() && waits[39] == LONGEST_WAIT);
        assert!(back_off(0, "ff") > Duration::from_millis(180) && back_off(0, "ff") < Duration::from_millis(190));
    }
}
