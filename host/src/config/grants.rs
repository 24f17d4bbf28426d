//! What a suite grants to scorers: judges, and token embeddings.

use std::{fmt, path::Path};

use serde::{
    Deserialize, Deserializer, Serialize,
    de::{MapAccess, SeqAccess, Visitor, value::MapAccessDeserializer},
};

use crate::error::{Error, Result};

/// A judge: a model behind an OpenAI-compatible chat endpoint. The key is never part of a suite.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct JudgeTable {
    /// Name of the model at the endpoint.
    pub model: String,
    /// How often it is asked each question.
    #[serde(default = "one")]
    pub votes: u32,
    /// Where the endpoint is; `$OPENAI_BASE_URL`, else OpenAI's own, when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base_url: Option<String>,
    /// Name of the environment variable that holds the key.
    #[serde(default = "openai_key")]
    pub key_env: String,
    /// Credentialed and agreement-bound samples may be sent to this endpoint.
    #[serde(default)]
    pub approved: bool,
    /// What the endpoint charges; a budget of money needs it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price: Option<Price>,
    /// Further attempts after a failure that may pass.
    #[serde(default = "five")]
    pub retries: u32,
    /// Seconds that one attempt may take.
    #[serde(default = "two_minutes")]
    pub timeout: f64,
    /// Most requests that are under way at once.
    #[serde(default = "sixty_four")]
    pub in_flight: u32,
    /// Fields that the endpoint does not take, such as `temperature`, `seed`, `response_format`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub omit: Vec<String>,
    /// Further fields of each request, such as `max_completion_tokens`.
    #[serde(default, skip_serializing_if = "serde_json::Map::is_empty")]
    pub body: serde_json::Map<String, serde_json::Value>,
}

/// Money for a million tokens.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Price {
    /// Tokens of the prompt.
    pub input: f64,
    /// Tokens of the answer.
    pub output: f64,
}

/// A model whose token embeddings scorers may ask for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EmbedTable {
    /// Name of a model with the capability `embed-text`.
    pub model: String,
}

impl JudgeTable {
    fn check(&self, path: &Path) -> Result<()> {
        let wrong = |what: String| Err(Error::invalid(path, format!("[judge] {}: {what}", self.model)));
        if self.votes == 0 || self.in_flight == 0 {
            return wrong("`votes` and `in-flight` are at least 1".into());
        }
        if !(self.timeout > 0.0 && self.timeout < 1e6) {
            return wrong(format!("timeout = {} is no number of seconds", self.timeout));
        }
        if self.price.is_some_and(|price| !(price.input >= 0.0 && price.output >= 0.0)) {
            return wrong("a price is negative".into());
        }
        match ["model", "messages"].iter().find(|field| self.body.contains_key(**field)) {
            Some(field) => wrong(format!("`body.{field}` is for the host to write")),
            None => Ok(()),
        }
    }
}

/// Each judge must make sense, and send other requests than the others: an answer is known by its request.
pub(super) fn check(judges: &[JudgeTable], path: &Path) -> Result<()> {
    for (position, judge) in judges.iter().enumerate() {
        judge.check(path)?;
        let same =
            |other: &JudgeTable| (&other.model, &other.omit, &other.body) == (&judge.model, &judge.omit, &judge.body);
        if judges[..position].iter().any(same) {
            let message = format!("two judges are `{}`: ask one of them for more `votes`", judge.model);
            return Err(Error::invalid(path, message));
        }
    }
    Ok(())
}

/// Reads `[judge]` as well as `[[judge]]`.
pub(super) fn one_or_many<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> std::result::Result<Vec<JudgeTable>, D::Error> {
    struct Tables;

    impl<'de> Visitor<'de> for Tables {
        type Value = Vec<JudgeTable>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a table [judge] or several [[judge]]")
        }

        fn visit_map<A: MapAccess<'de>>(self, map: A) -> std::result::Result<Self::Value, A::Error> {
            JudgeTable::deserialize(MapAccessDeserializer::new(map)).map(|judge| vec![judge])
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut tables: A) -> std::result::Result<Self::Value, A::Error> {
            let mut judges = Vec::new();
            while let Some(judge) = tables.next_element()? {
                judges.push(judge);
            }
            Ok(judges)
        }
    }

    deserializer.deserialize_any(Tables)
}

fn one() -> u32 {
    1
}

fn five() -> u32 {
    5
}

fn sixty_four() -> u32 {
    64
}

fn two_minutes() -> f64 {
    120.0
}

fn openai_key() -> String {
    "OPENAI_API_KEY".into()
}

#[cfg(test)]
mod tests {
    use crate::config::Suite;

    fn read(tables: &str) -> crate::error::Result<Suite> {
        let dir = tempfile::tempdir().expect("temporary directory");
        let path = dir.path().join("small.toml");
        std::fs::write(&path, format!("models = ['a']\n{tables}\n[[dataset]]\nid = 'x'\n")).expect("writable");
        Suite::read(&path)
    }

    #[test]
    fn one_judge_or_several_are_granted_and_nothing_by_default() {
        assert!(read("").expect("valid").judges.is_empty());
        let one = read("[judge]\nmodel = 'gpt-4o'").expect("valid").judges;
        assert_eq!((one.len(), one[0].votes, one[0].approved), (1, 1, false));
        let two = read("[[judge]]\nmodel = 'a'\nvotes = 3\n[[judge]]\nmodel = 'b'\nin-flight = 2").expect("valid");
        assert_eq!((two.judges.len(), two.judges[0].votes, two.judges[1].in_flight), (2, 3, 2));
        let text = serde_json::to_string(&two).expect("serialisable");
        assert_eq!(serde_json::from_str::<Suite>(&text).expect("reads back"), two);
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        let refusal = |tables: &str| read(tables).expect_err("refused").to_string();
        assert!(refusal("[judge]\nmodel = 'a'\nvote = 1").ends_with("unknown key `vote`; did you mean `votes`?"));
        assert!(refusal("[embed]\nmodels = 'a'").ends_with("unknown key `models`; did you mean `model`?"));
        assert!(refusal("[judge]\nmodel = 'a'\nvotes = 0").ends_with("`votes` and `in-flight` are at least 1"));
        assert!(
            refusal("[[judge]]\nmodel = 'a'\n[[judge]]\nmodel = 'a'").ends_with("ask one of them for more `votes`")
        );
        assert!(refusal("[judge]\nmodel = 'a'\nbody = { model = 'b' }").contains("`body.model`"));
        assert!(refusal("[judge]\nmodel = 'a'\nkey = 'sk'").contains("unknown key `key`"));
    }
}
