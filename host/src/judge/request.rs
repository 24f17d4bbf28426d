//! What is sent to a judge, and what comes back.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::Settings;
use crate::{
    error::{Error, Result},
    ids::digest,
};

/// A question to whoever judges.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Question {
    /// Role and content.
    pub messages: Vec<(String, String)>,
    /// 0 is greedy.
    pub temperature: f32,
    /// Most tokens of the answer.
    pub max_tokens: u32,
    /// Seed of the first vote; the others count on from it.
    pub seed: Option<u64>,
    /// JSON schema that the answer shall follow.
    pub schema: Option<String>,
}

/// A question to one judge, for one vote.
#[derive(Debug, Clone, PartialEq)]
pub struct Order {
    /// Digest of the whole request: model, messages, temperature, limits, seed, schema and vote.
    pub key: String,
    /// Name of the model that is asked.
    pub model: String,
    /// Number of the vote, from 0.
    pub vote: u32,
    /// The body of the request.
    pub body: Value,
    pub(super) judge: usize,
    pub(super) max_tokens: u32,
}

/// A judge's answer.
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

impl Order {
    pub(super) fn new(judge: usize, vote: u32, settings: &Settings, question: &Question) -> Result<Self> {
        let message = |(role, content): &(String, String)| json!({ "role": role, "content": content });
        let mut body = Map::new();
        body.insert("model".into(), settings.model.clone().into());
        body.insert("messages".into(), question.messages.iter().map(message).collect());
        body.insert("temperature".into(), json!(question.temperature));
        body.insert("max_tokens".into(), question.max_tokens.into());
        if let Some(seed) = question.seed {
            body.insert("seed".into(), seed.wrapping_add(vote.into()).into());
        }
        if let Some(schema) = &question.schema {
            let schema: Value = serde_json::from_str(schema)
                .map_err(|e| Error::failed(format!("a scorer asks for an answer by a broken schema: {e}")))?;
            let schema = json!({ "name": "answer", "strict": true, "schema": schema });
            body.insert("response_format".into(), json!({ "type": "json_schema", "json_schema": schema }));
        }
        body.retain(|field, _| !settings.omit.contains(field));
        body.extend(settings.body.clone());
        let body = Value::Object(body);
        let key = digest(json!([body, vote]).to_string().as_bytes());
        Ok(Self { key, model: settings.model.clone(), vote, body, judge, max_tokens: question.max_tokens })
    }

    /// Upper bounds of the tokens that the request costs: no tokenizer makes more tokens than bytes.
    pub(super) fn tokens(&self) -> (u64, u64) {
        let more = ["max_tokens", "max_completion_tokens"].map(|field| self.body[field].as_u64().unwrap_or_default());
        (self.body.to_string().len() as u64, more.into_iter().fold(self.max_tokens.into(), u64::max))
    }
}

/// Reads an answer; the error says what is wrong with it.
pub(super) fn reply(bytes: &[u8]) -> std::result::Result<Reply, String> {
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
    Ok(Reply {
        text: choice.message.content.unwrap_or_default(),
        model: completion.model,
        finish: choice.finish_reason.unwrap_or_default(),
        prompt_tokens: usage.as_ref().and_then(|usage| usage.prompt_tokens),
        completion_tokens: usage.as_ref().and_then(|usage| usage.completion_tokens),
    })
}

#[cfg(test)]
mod tests {
    use super::{super::tests::settings, *};

    fn question() -> Question {
        Question {
            messages: vec![("user".into(), "Is it?".into())],
            temperature: 0.7,
            max_tokens: 9,
            seed: Some(4),
            schema: Some(r#"{"type":"object"}"#.into()),
        }
    }

    #[test]
    fn the_body_is_that_of_the_public_interface() {
        let order = Order::new(0, 2, &settings("http://localhost/v1"), &question()).expect("valid");
        let format = json!({"type": "json_schema", "json_schema": {"name": "answer", "strict": true, "schema": {"type": "object"}}});
        let expected = json!({
            "model": "m", "messages": [{"role": "user", "content": "Is it?"}], "temperature": 0.7f32, "max_tokens": 9,
            "seed": 6, "response_format": format
        });
        assert_eq!(order.body, expected);
    }

    #[test]
    fn every_part_of_the_request_is_in_its_key() {
        let base = settings("http://localhost/v1");
        let key = |settings: &Settings, vote, question: &Question| {
            Order::new(0, vote, settings, question).expect("valid").key
        };
        let mut keys = vec![key(&base, 0, &question()), key(&base, 1, &question())];
        keys.push(key(&Settings { model: "other".into(), ..base.clone() }, 0, &question()));
        keys.push(key(&Settings { omit: vec!["max_tokens".into()], ..base.clone() }, 0, &question()));
        for change in [
            Question { messages: vec![("system".into(), "Is it?".into())], ..question() },
            Question { temperature: 0.0, ..question() },
            Question { max_tokens: 8, ..question() },
            Question { seed: Some(3), ..question() },
            Question { schema: None, ..question() },
        ] {
            keys.push(key(&base, 0, &change));
        }
        // Without a seed, votes differ in their number only.
        let unseeded = Question { seed: None, ..question() };
        keys.extend([key(&base, 0, &unseeded), key(&base, 1, &unseeded)]);
        let count = keys.len();
        keys.sort();
        keys.dedup();
        assert_eq!(keys.len(), count);
    }

    #[test]
    fn what_is_no_completion_is_told() {
        let full = br#"{"model":"m-1","choices":[{"message":{"content":"7"},"finish_reason":"stop"}],"usage":{"prompt_tokens":3,"completion_tokens":1}}"#;
        let read = reply(full).expect("valid");
        assert_eq!((read.text.as_str(), read.model.as_str(), read.prompt_tokens), ("7", "m-1", Some(3)));
        assert_eq!(reply(br#"{"choices":[{"message":{"content":null}}]}"#).expect("a refusal").text, "");
        assert!(reply(b"<html>").is_err() && reply(br#"{"choices":[]}"#).is_err() && reply(b"").is_err());
    }
}
