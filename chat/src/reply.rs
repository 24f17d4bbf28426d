//! What comes back from a chat endpoint.

use serde::{Deserialize, Serialize};

/// An answer.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reply {
    /// What it said; empty where it refused to speak.
    pub text: String,
    /// The model that answered, in the words of the endpoint.
    pub model: String,
    /// Why it ended: `stop`, `length`, `content_filter`.
    pub finish: String,
    /// Tokens of the prompt; none where the endpoint does not count.
    pub prompt_tokens: Option<u32>,
    /// Tokens of the answer.
    pub completion_tokens: Option<u32>,
}

impl Reply {
    /// Reads an answer; the error says what is wrong with it.
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, String> {
        #[derive(Deserialize)]
        struct Completion {
            #[serde(default)]
            model: String,
            choices: Vec<Choice>,
            #[serde(default)]
            usage: Option<Usage>,
        }
        #[derive(Deserialize)]
        struct Choice {
            message: Message,
            #[serde(default)]
            finish_reason: Option<String>,
        }
        #[derive(Deserialize)]
        struct Message {
            #[serde(default)]
            content: Option<String>,
        }
        #[derive(Deserialize)]
        struct Usage {
            prompt_tokens: Option<u32>,
            completion_tokens: Option<u32>,
        }

        let completion: Completion = serde_json::from_slice(bytes).map_err(|e| format!("no chat completion: {e}"))?;
        let choice = completion.choices.into_iter().next().ok_or("a chat completion without a choice")?;
        let usage = completion.usage;
        Ok(Self {
            text: choice.message.content.unwrap_or_default(),
            model: completion.model,
            finish: choice.finish_reason.unwrap_or_default(),
            prompt_tokens: usage.as_ref().and_then(|usage| usage.prompt_tokens),
            completion_tokens: usage.as_ref().and_then(|usage| usage.completion_tokens),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_completion_is_told() {
        let full = br#"{"model":"m-1","choices":[{"message":{"content":"7"},"finish_reason":"stop"}],"usage":{"prompt_tokens":3,"completion_tokens":1}}"#;
        let read = Reply::read(full).expect("valid");
        assert_eq!((read.text.as_str(), read.model.as_str(), read.prompt_tokens), ("7", "m-1", Some(3)));
        assert_eq!(Reply::read(br#"{"choices":[{"message":{"content":null}}]}"#).expect("a refusal").text, "");
        assert!(
            Reply::read(b"<html>").is_err() && Reply::read(br#"{"choices":[]}"#).is_err() && Reply::read(b"").is_err()
        );
    }
}
