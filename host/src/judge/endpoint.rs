//! The address of a judge and the key to it. Neither a key nor a password is ever shown.

use std::{fmt, net::IpAddr};

use reqwest::Url;

use crate::error::{Error, Result};

/// Where requests go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint(Url);

/// A secret. Its `Debug` and `Display` forms do not show it.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Key(String);

impl Endpoint {
    /// Reads a base URL such as `http://localhost:8000/v1`.
    pub fn parse(base: &str) -> Result<Self> {
        let wrong = |why: &str| Error::usage(format!("the judge's base URL {why}"));
        let url = Url::parse(base.trim_end_matches('/')).map_err(|e| wrong(&format!("`{base}` is none: {e}")))?;
        if !url.username().is_empty() || url.password().is_some() || url.query().is_some() {
            return Err(wrong("holds a password or parameters: the key belongs into the environment"));
        }
        if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
            return Err(wrong(&format!("`{base}` is neither http nor https")));
        }
        Ok(Self(url))
    }

    /// Whether requests stay on this machine.
    pub fn is_loopback(&self) -> bool {
        let host = self.0.host_str().unwrap_or_default();
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        host == "localhost" || bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
    }

    /// The address of chat completions.
    pub(super) fn chat(&self) -> String {
        format!("{self}/chat/completions")
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str().trim_end_matches('/'))
    }
}

impl Key {
    /// A key; the empty one stands for none.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into().trim().to_string())
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn bearer(&self) -> String {
        format!("Bearer {}", self.0)
    }

    /// The text without the key, should it hold it.
    pub fn redact(&self, text: &str) -> String {
        if self.is_empty() { text.to_string() } else { text.replace(&self.0, "[key]") }
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_empty() { "no key" } else { "[key]" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_told_from_everything_else() {
        let loopback = |base: &str| Endpoint::parse(base).expect("valid").is_loopback();
        let near = ["http://localhost:8000/v1", "http://127.0.0.1/v1/", "http://127.8.9.1", "http://[::1]:80/v1"];
        assert!(near.into_iter().all(loopback));
        let far =
            ["https://api.openai.com/v1", "http://127.0.0.1.example.org", "http://10.0.0.1", "http://localhost.org"];
        assert!(!far.into_iter().any(loopback));
    }

    #[test]
    fn an_address_that_holds_a_secret_is_refused_without_repeating_it() {
        for base in ["https://me:sk-secret@example.org/v1", "https://example.org/v1?key=sk-secret"] {
            let error = Endpoint::parse(base).expect_err("refused").to_string();
            assert!(error.contains("environment") && !error.contains("secret"), "{error}");
        }
        assert!(Endpoint::parse("ftp://example.org").is_err() && Endpoint::parse("example").is_err());
    }

    #[test]
    fn a_key_is_never_shown() {
        let key = Key::new("sk-secret\n");
        assert_eq!((format!("{key:?}").as_str(), key.redact("no sk-secret here").as_str()), ("[key]", "no [key] here"));
        assert_eq!(Key::default().redact("text"), "text");
    }
}
