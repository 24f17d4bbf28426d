//! Where remote models are, and what the suite allows to be sent there.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::Suite;
use crate::error::{Error, Result, suggest};

/// The endpoint of remote models. The key is never part of a suite.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct RemoteTable {
    /// The model that is there; every remote model that no other table names when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Where the endpoint is; the model's own, else `$OPENAI_BASE_URL`, when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base_url: Option<String>,
    /// Name of the environment variable that holds the key; the model's own, else `OPENAI_API_KEY`, when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_env: Option<String>,
    /// Credentialed and agreement-bound samples may be sent to this endpoint.
    #[serde(default)]
    pub approved: bool,
    /// Options that replace those of the row.
    #[serde(default, skip_serializing_if = "serde_json::Map::is_empty")]
    pub options: serde_json::Map<String, serde_json::Value>,
}

impl RemoteTable {
    /// The table that is about a model: the one that names it before the one that names none.
    pub fn of<'a>(tables: &'a [Self], model: &str) -> Option<&'a Self> {
        let named = tables.iter().find(|table| table.model.as_deref() == Some(model));
        named.or_else(|| tables.iter().find(|table| table.model.is_none()))
    }

    /// Puts every remote model at one endpoint, whatever the tables say of it.
    pub fn relocate(tables: &mut Vec<Self>, base_url: &str) {
        if tables.iter().all(|table| table.model.is_some()) {
            tables.push(Self::default());
        }
        tables.iter_mut().for_each(|table| table.base_url = Some(base_url.into()));
    }
}

/// Each table must be about a model of the suite, and no two about the same.
pub(super) fn check(suite: &Suite, path: &Path) -> Result<()> {
    let embedder = suite.embed.as_ref().map(|embed| &embed.model);
    for (position, table) in suite.remotes.iter().enumerate() {
        let wrong = |what: String| Err(Error::invalid(path, format!("[remote] {what}")));
        if suite.remotes[..position].iter().any(|other| other.model == table.model) {
            return wrong(match &table.model {
                Some(model) => format!("is there twice for `{model}`"),
                None => "is there twice without `model`: name the model of one of them".into(),
            });
        }
        if let Some(model) = table.model.as_ref().filter(|m| !suite.models.contains(m) && embedder != Some(m)) {
            let known = suggest(model, suite.models.iter().map(String::as_str));
            return wrong(format!("is about `{model}`, which the suite does not name{known}"));
        }
        if let Some(option) = ["base-url", "key-env"].iter().find(|option| table.options.contains_key(**option)) {
            return wrong(format!("has `{option}` among its `options`: write it beside them"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(tables: &str) -> Result<Suite> {
        let dir = tempfile::tempdir().expect("temporary directory");
        let path = dir.path().join("small.toml");
        std::fs::write(&path, format!("models = ['a', 'b']\n{tables}\n[[dataset]]\nid = 'x'\n")).expect("writable");
        Suite::read(&path)
    }

    #[test]
    fn a_table_is_about_one_model_or_all_others() {
        let mut tables =
            read("[[remote]]\nbase-url = 'http://x'\n[[remote]]\nmodel = 'b'\napproved = true").expect("valid").remotes;
        let approved = |model: &str| RemoteTable::of(&tables, model).map(|table| table.approved);
        assert_eq!((approved("a"), approved("b")), (Some(false), Some(true)));
        RemoteTable::relocate(&mut tables, "http://y");
        assert!(tables.len() == 2 && tables.iter().all(|table| table.base_url.as_deref() == Some("http://y")));
        let mut alone = read("[remote]\nmodel = 'b'").expect("valid").remotes;
        RemoteTable::relocate(&mut alone, "http://y");
        assert!(RemoteTable::of(&alone, "a").is_some());
        assert!(read("").expect("valid").remotes.is_empty());
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        let refusal = |tables: &str| read(tables).expect_err("refused").to_string();
        assert!(refusal("[remote]\nmodel = 'c'").contains("is about `c`, which the suite does not name"));
        assert!(refusal("[[remote]]\n[[remote]]").contains("twice without `model`"));
        assert!(refusal("[remote]\nkey = 'sk'").contains("unknown key `key`"));
        assert!(refusal("[remote]\noptions = { base-url = 'x' }").contains("write it beside them"));
    }
}
