//! The capabilities that a suite can grant. A scorer that calls none of these functions imports none of them.
//!
//! Outside of a component nobody answers: what a scorer makes of an answer is for a function of its own, which unit tests
//! can call.

pub use crate::bindings::medvlm::scorer::{
    embed::Matrix,
    judge::{JudgeError, Message, Request, Response},
};

/// A judge's answer, or why there is none; a score without one is missing.
pub type Answer = Result<Response, JudgeError>;

/// A message of a chat.
pub fn message(role: &str, content: impl Into<String>) -> Message {
    Message { role: role.into(), content: content.into() }
}

/// The first rater's answer to each request.
pub fn complete_many(requests: &[Request]) -> Vec<Answer> {
    #[cfg(target_family = "wasm")]
    return crate::bindings::medvlm::scorer::judge::complete_many(requests);
    #[cfg(not(target_family = "wasm"))]
    return requests.iter().map(|_| Err(nobody())).collect();
}

/// Every rater's answer to each request: the votes of all judges of the suite, in their order.
pub fn complete_panel(requests: &[Request]) -> Vec<Vec<Answer>> {
    #[cfg(target_family = "wasm")]
    return crate::bindings::medvlm::scorer::judge::complete_panel(requests);
    #[cfg(not(target_family = "wasm"))]
    return requests.iter().map(|_| vec![Err(nobody())]).collect();
}

/// Token embeddings of each text. Ask for a few texts at a time: a scorer has 256 MiB.
pub fn embed_many(texts: &[String]) -> Result<Vec<Matrix>, String> {
    #[cfg(target_family = "wasm")]
    return crate::bindings::medvlm::scorer::embed::embed_many(texts);
    #[cfg(not(target_family = "wasm"))]
    return Err(format!("nobody embeds {} texts outside of a component", texts.len()));
}

#[cfg(not(target_family = "wasm"))]
fn nobody() -> JudgeError {
    JudgeError::Denied("nobody judges outside of a component".into())
}
