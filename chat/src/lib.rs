//! OpenAI-compatible chat endpoints, asked for many answers at once: by judges in the host, and by the plugin `remote`.
//!
//! ```text
//! endpoint  address and key           reply    what comes back
//! client    attempts and back-off     limiter  how many requests are under way
//! ```
//!
//! What is asked, what it may cost and what an answer is good for is not known here.

mod client;
mod endpoint;
mod limiter;
mod reply;
#[cfg(test)]
mod server;

pub use client::{Caller, Client, Failure, Settings, Toll};
pub use endpoint::{Endpoint, Key};
pub use reply::Reply;

/// What sockets and clocks of requests run on: one thread. The futures themselves run where they are awaited.
///
/// # Errors
/// The system gives no thread.
pub fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()
}

#[cfg(test)]
mod tests;
