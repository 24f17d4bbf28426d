//! Options of a row.

use chat::{Endpoint, Key, Settings};
use plugin_api::{Error, Result};
use serde::Deserialize;
use serde_json::{Map, Value};

/// What a row of this plugin says of its model, and the host of the endpoint.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Options {
    /// Name of the model at the endpoint.
    pub model: Option<String>,
    /// What the model is told before each question.
    pub system: Option<String>,
    /// What is added to each question.
    #[serde(default)]
    pub instruction: Instruction,
    /// Name of the field that limits the answer: reasoning models call it `max_completion_tokens`.
    #[serde(default = "max_tokens")]
    pub limit: String,
    /// Fields that the endpoint does not take, such as `temperature`, `seed`.
    #[serde(default)]
    pub omit: Vec<String>,
    /// Further fields of each request, such as `reasoning_effort`.
    #[serde(default)]
    pub body: Map<String, Value>,
    /// Where the endpoint is.
    base_url: Option<String>,
    /// Name of the environment variable that holds the key.
    #[serde(default = "openai_key")]
    key_env: String,
    /// Further attempts after a failure that may pass.
    #[serde(default = "five")]
    retries: u32,
    /// Seconds that one attempt may take.
    #[serde(default = "five_minutes")]
    timeout: f64,
    /// Most requests that are under way at once.
    #[serde(default = "sixty_four")]
    in_flight: u32,
}

/// What is added to a question.
#[derive(Debug, Default, Clone, Copy, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Instruction {
    /// Nothing.
    #[default]
    None,
    /// What MedVLMBench adds for `o3` and `gemini-2.5-pro`: unless the question says "yes or no", a wish for brevity.
    Medvlmbench,
}

impl Options {
    /// Reads the options of a row.
    pub fn read(options: Map<String, Value>) -> Result<Self> {
        let wrong = |what: String| Error::config(format!("options of a remote model: {what}"));
        let options: Self = serde_json::from_value(Value::Object(options)).map_err(|e| wrong(e.to_string()))?;
        if !(options.timeout > 0.0 && options.timeout < 1e6) {
            return Err(wrong(format!("timeout = {} is no number of seconds", options.timeout)));
        }
        match ["model", "messages"].iter().find(|field| options.body.contains_key(**field)) {
            Some(field) => Err(wrong(format!("`body.{field}` is for the plugin to write"))),
            None => Ok(options),
        }
    }

    /// The model's name at the endpoint.
    pub fn name(&self) -> Result<&str> {
        self.model.as_deref().ok_or_else(|| Error::config("a remote model has no name: write `remote:NAME`"))
    }

    /// Where the model is, and with which key.
    pub fn connection(&self) -> Result<Settings> {
        let name = self.name()?;
        let base = self.base_url.as_deref().ok_or_else(|| Error::config(format!("`{name}` has no base URL")))?;
        Ok(Settings {
            name: format!("model `{name}`"),
            endpoint: Endpoint::parse(base).map_err(|e| Error::config(format!("the base URL of `{name}` {e}")))?,
            key: Key::new(std::env::var(&self.key_env).unwrap_or_default()),
            retries: self.retries,
            timeout: self.timeout,
            in_flight: self.in_flight.max(1),
        })
    }
}

fn max_tokens() -> String {
    "max_tokens".into()
}

fn openai_key() -> String {
    "OPENAI_API_KEY".into()
}

fn five() -> u32 {
    5
}

fn five_minutes() -> f64 {
    300.0
}

fn sixty_four() -> u32 {
    64
}
