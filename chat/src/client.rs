//! One endpoint: attempts, back-off, and what each of its answers means.

use std::time::{Duration, SystemTime};

use reqwest::{
    Response, StatusCode,
    header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER},
};

use crate::{Endpoint, Key, Reply, limiter::Limiter};

/// Which model is asked, where, and how patiently.
#[derive(Debug, Clone)]
pub struct Settings {
    /// What the model is called in messages, such as "model `o3`".
    pub name: String,
    /// Where it is.
    pub endpoint: Endpoint,
    /// What it is asked with.
    pub key: Key,
    /// Further attempts after a failure that may pass.
    pub retries: u32,
    /// Seconds that one attempt may take.
    pub timeout: f64,
    /// Most requests that are under way at once.
    pub in_flight: u32,
}

/// Why a request has no answer, in a sentence that names model and endpoint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The toll was not granted.
    #[error("the budget is used up")]
    Unaffordable,
    /// Nobody is there, however often it was tried.
    #[error("{0}")]
    Unreachable(String),
    /// The endpoint gave no answer, however often it was tried.
    #[error("{0}")]
    Transport(String),
    /// The endpoint refused this request.
    #[error("{0}")]
    Rejected(String),
    /// The endpoint will answer no request: it refuses the key or the model.
    #[error("{0}")]
    Hopeless(String),
    /// The caller asked to stop.
    #[error("interrupted")]
    Stopped,
}

/// What is asked of, and told to, the caller.
pub struct Caller<'a> {
    /// True once no further request shall be sent.
    pub stop: &'a (dyn Fn() -> bool + Sync),
    /// Hears of each failed attempt.
    pub note: &'a (dyn Fn(&str) + Sync),
}

/// What has to be granted before each attempt, such as money; `()` is free.
pub trait Toll {
    /// Leave to send one request, given back when it has come to its end.
    type Leave;
    /// Waits until a request is affordable; none once it cannot become so.
    fn leave(&self) -> impl Future<Output = Option<Self::Leave>>;
    /// The request was answered.
    fn answered(&self, leave: &mut Self::Leave, reply: &Reply);
}

impl Toll for () {
    type Leave = ();

    async fn leave(&self) -> Option<()> {
        Some(())
    }

    fn answered(&self, (): &mut (), _: &Reply) {}
}

/// An endpoint with what is known of how busy it is; all requests to it go through one client.
pub struct Client {
    settings: Settings,
    http: reqwest::Client,
    limiter: Limiter,
}

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

/// How one attempt went wrong.
enum Trouble {
    /// Nobody is there.
    Unreachable(String),
    /// It may pass; the endpoint may have said when.
    Passing(String, Option<Duration>),
    /// Too many requests; the endpoint may have said when there may be more.
    Limited(String, Option<Duration>),
    /// This request will never be answered.
    Rejected(String),
    /// No request will be answered.
    Hopeless(String),
}

impl Client {
    /// Prepares a client; nothing is sent.
    ///
    /// # Errors
    /// A sentence about a key that cannot be one, or about a machine without TLS.
    pub fn new(settings: Settings) -> Result<Self, String> {
        // A redirect or a proxy could carry samples away from a loopback endpoint.
        let mut http = reqwest::Client::builder()
            .timeout(Duration::from_secs_f64(settings.timeout))
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("medvlm/", env!("CARGO_PKG_VERSION")));
        if settings.endpoint.is_loopback() {
            http = http.no_proxy();
        }
        let mut headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static("application/json"))]);
        if !settings.key.is_empty() {
            let mut value = HeaderValue::from_str(&settings.key.bearer())
                .map_err(|_| format!("the key of the {} has characters that no key has", settings.name))?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        let http = http.default_headers(headers).build();
        let http = http.map_err(|e| format!("the HTTP client of the {} does not start: {e}", settings.name))?;
        let limiter = Limiter::new(settings.in_flight);
        Ok(Self { settings, http, limiter })
    }

    /// Asks until there is an answer, the attempts or the toll are used up, or the caller stops.
    ///
    /// # Errors
    /// See [`Failure`].
    pub async fn answer<T: Toll>(&self, body: &str, toll: &T, caller: &Caller<'_>) -> Result<Reply, Failure> {
        let (mut attempt, mut limited) = (0, 0);
        loop {
            let slot = self.limiter.slot(caller.stop).await.ok_or(Failure::Stopped)?;
            let mut leave = toll.leave().await.ok_or(Failure::Unaffordable)?;
            let answer = self.attempt(body).await;
            // The limiter hears of it before the place is free for another request.
            match &answer {
                Ok(reply) => {
                    toll.answered(&mut leave, reply);
                    self.limiter.succeeded();
                }
                Err(Trouble::Unreachable(_)) => self.limiter.overloaded(None),
                Err(Trouble::Passing(_, wait) | Trouble::Limited(_, wait)) => self.limiter.overloaded(*wait),
                Err(_) => {}
            }
            drop((leave, slot));
            let trouble = match answer {
                Ok(reply) => return Ok(reply),
                Err(trouble) => trouble,
            };
            let patience = self.settings.retries.saturating_add(1);
            let (message, wait, count, used_up) = match &trouble {
                Trouble::Hopeless(message) => return Err(Failure::Hopeless(self.place(message))),
                Trouble::Rejected(message) => return Err(Failure::Rejected(self.place(message))),
                Trouble::Limited(message, wait) => {
                    limited += 1;
                    (message, *wait, limited, limited == patience.saturating_mul(LIMITED_PER_ATTEMPT))
                }
                Trouble::Unreachable(message) => {
                    attempt += 1;
                    (message, None, attempt, attempt == patience)
                }
                Trouble::Passing(message, wait) => {
                    attempt += 1;
                    (message, *wait, attempt, attempt == patience)
                }
            };
            (caller.note)(&format!("attempt {count}: {}", self.place(message)));
            if used_up {
                let message = self.place(&format!("{message}, after {count} attempts"));
                return Err(match trouble {
                    Trouble::Unreachable(_) => Failure::Unreachable(message),
                    _ => Failure::Transport(message),
                });
            }
            pause(wait.unwrap_or_default().max(back_off(count - 1, body)), caller.stop).await?;
        }
    }

    async fn attempt(&self, body: &str) -> Result<Reply, Trouble> {
        let passing = |e: reqwest::Error| {
            let message = self.settings.key.redact(&reason(&e));
            if e.is_connect() { Trouble::Unreachable(message) } else { Trouble::Passing(message, None) }
        };
        let request = self.http.post(self.settings.endpoint.chat()).body(body.to_string());
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
                Reply::read(text.as_bytes()).map_err(|e| Trouble::Passing(format!("answers with {e}"), None))
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
        format!("{} at {} {message}", self.settings.name, self.settings.endpoint)
    }
}

/// The exponential wait after an attempt, capped, spread by up to a quarter so that requests do not return in step.
fn back_off(attempt: u32, body: &str) -> Duration {
    let wait = FIRST_WAIT.saturating_mul(1 << attempt.min(16)).min(LONGEST_WAIT);
    let spread = body.bytes().fold(0_u8, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte));
    wait - wait.mul_f64(f64::from(spread) / 1024.0)
}

async fn pause(wait: Duration, stop: &(dyn Fn() -> bool + Sync)) -> Result<(), Failure> {
    let end = tokio::time::Instant::now() + wait;
    loop {
        if stop() {
            return Err(Failure::Stopped);
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
        let waits: Vec<Duration> = (0..40).map(|attempt| back_off(attempt, "")).collect();
        assert_eq!(waits[..3], [250, 500, 1000].map(Duration::from_millis));
        assert!(waits.is_sorted() && waits[39] == LONGEST_WAIT);
        let other = back_off(0, "another body");
        assert!(other < waits[0] && other > Duration::from_millis(180), "{other:?}");
    }
}
