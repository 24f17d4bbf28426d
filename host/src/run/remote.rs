//! Remote models: which endpoint a row is asked at, and what of that its answers depend on.

use chat::{Endpoint, Key};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    config::{RemoteTable, Suite},
    error::{Error, Result},
    model::{PluginFile, Row},
    run::Catalogs,
};

/// Options of a remote row that say where and how patiently it is asked, not what it is asked.
const CONNECTION: [&str; 5] = ["base-url", "key-env", "retries", "timeout", "in-flight"];

/// A remote model as `run.json` records it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RemoteRecord {
    /// Its name in the suite.
    pub model: String,
    /// Its name in cells.
    pub id: String,
    /// Where it is asked.
    pub endpoint: String,
    /// Whether the endpoint is on the same machine.
    pub loopback: bool,
    /// Whether the suite approves of it for credentialed and agreement-bound samples.
    pub approved: bool,
    /// Name of the environment variable that holds the key.
    pub key_env: String,
}

/// The row of a model with its plugin; a remote one with its endpoint among its options.
///
/// # Errors
/// There is no such model; nobody says where a remote one is, or not in a way that can be meant.
pub fn find<'a>(model: &str, catalogs: &'a Catalogs, tables: &[RemoteTable]) -> Result<(Row, &'a PluginFile)> {
    let (mut row, plugin) = catalogs.models.find(model)?;
    if row.is_remote() {
        connect(&mut row, model, tables)?;
    }
    Ok((row, plugin))
}

/// The remote ones among the models that a suite names, as far as somebody says where they are.
pub fn records(suite: &Suite, catalogs: &Catalogs) -> Result<Vec<RemoteRecord>> {
    let embedder = suite.embed.as_ref().map(|embed| &embed.model);
    let mut records: Vec<RemoteRecord> = Vec::new();
    for model in suite.models.iter().chain(embedder) {
        let (mut row, _) = catalogs.models.find(model)?;
        if row.is_remote() && records.iter().all(|record| record.model != *model) {
            records.extend(connect(&mut row, model, &suite.remotes));
        }
    }
    Ok(records)
}

/// Fails if one of several has no key.
pub fn check_keys(records: &[RemoteRecord]) -> Result<()> {
    records.iter().try_for_each(check_key)
}

/// Fails if a model that is not on this machine has no key.
pub fn check_key(record: &RemoteRecord) -> Result<()> {
    if record.loopback || !Key::new(std::env::var(&record.key_env).unwrap_or_default()).is_empty() {
        return Ok(());
    }
    Err(Error::usage(format!("the model `{}` needs a key: set {}", record.model, record.key_env)))
}

/// What the answers of a row depend on: its essence, and for a remote one the endpoint rather than how it is asked.
pub fn identity(row: &Row) -> (Row, Option<String>) {
    let mut row = row.essence();
    if !row.is_remote() {
        return (row, None);
    }
    let endpoint = text(&row, "base-url");
    row.options.retain(|option, _| !CONNECTION.contains(&option.as_str()));
    (row, endpoint)
}

/// Writes into the options of a remote row where it is, and what else the suite says of it.
fn connect(row: &mut Row, model: &str, tables: &[RemoteTable]) -> Result<RemoteRecord> {
    let table = RemoteTable::of(tables, model).cloned().unwrap_or_default();
    row.options.extend(table.options);
    if !row.options.contains_key("model") {
        return Err(Error::usage(format!("`{model}` stands for any remote model: write `{model}:NAME`")));
    }
    let set = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let base = table.base_url.or_else(|| text(row, "base-url"));
    let base = base.or_else(|| set("OPENAI_BASE_URL")).or_else(|| set("OPENAI_API_BASE")).ok_or_else(|| {
        let how =
            "give --base-url URL, write base-url = \"URL\" into a table [remote] of the suite, or set OPENAI_BASE_URL";
        Error::usage(format!("nobody says where the model `{model}` is: {how}"))
    })?;
    let endpoint = Endpoint::parse(&base).map_err(|e| Error::usage(format!("the base URL of `{model}` {e}")))?;
    let key_env = table.key_env.or_else(|| text(row, "key-env")).unwrap_or_else(|| "OPENAI_API_KEY".into());
    row.options.insert("base-url".into(), endpoint.to_string().into());
    row.options.insert("key-env".into(), key_env.clone().into());
    let (endpoint, loopback) = (endpoint.to_string(), endpoint.is_loopback());
    Ok(RemoteRecord { model: model.into(), id: row.id.clone(), endpoint, loopback, approved: table.approved, key_env })
}

fn text(row: &Row, option: &str) -> Option<String> {
    row.options.get(option).and_then(Value::as_str).map(String::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(options: &str) -> Row {
        toml::from_str(&format!("id = 'far'\narchitecture = 'remote'\n[options]\nmodel = 'm'\n{options}"))
            .expect("a row")
    }

    fn table(text: &str) -> RemoteTable {
        toml::from_str(text).expect("a table")
    }

    #[test]
    fn the_suite_has_its_say_before_the_row() {
        let mut near = row("base-url = 'http://localhost:1/v1/'\nkey-env = 'MINE'");
        let record = connect(&mut near, "far", &[]).expect("connected");
        assert_eq!((record.endpoint.as_str(), record.loopback), ("http://localhost:1/v1", true));
        assert_eq!((record.key_env.as_str(), record.approved), ("MINE", false));
        let suite = [table("base-url = 'http://far.example.org'\napproved = true\noptions = { system = 'Be brief.' }")];
        let record = connect(&mut near, "far", &suite).expect("connected");
        assert_eq!(
            (record.endpoint.as_str(), record.loopback, record.approved),
            ("http://far.example.org", false, true)
        );
        assert_eq!(text(&near, "system").as_deref(), Some("Be brief."));
        assert_eq!(text(&near, "base-url").as_deref(), Some("http://far.example.org"));
    }

    #[test]
    fn answers_depend_on_the_endpoint_and_not_on_patience() {
        let asked = |options: &str| {
            let mut row = row(options);
            connect(&mut row, "far", &[]).expect("connected");
            identity(&row)
        };
        let one = asked("base-url = 'http://localhost:1'");
        assert_eq!(one.1.as_deref(), Some("http://localhost:1"));
        assert_eq!(asked("base-url = 'http://localhost:1'\nretries = 9\nin-flight = 1\ntimeout = 3.5"), one);
        assert_ne!(asked("base-url = 'http://localhost:1'\nsystem = 'Be brief.'").0, one.0);
        assert_ne!(asked("base-url = 'http://localhost:2'").1, one.1);
    }
}
