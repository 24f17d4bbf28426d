//! `[[scorer]]`: a metric, its options and the samples that it is for, without code.

use std::{collections::BTreeMap, path::Path};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Suite;
use crate::{
    error::{Error, Result, suggest},
    ids::check_name,
};

/// A scorer under a name of its own.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table [[scorer]] with `use`; plain names belong into `scorers`")]
pub struct ScorerTable {
    /// Name in files and reports; that of the component when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Name of the component.
    #[serde(rename = "use")]
    pub component: String,
    /// Its configuration.
    #[serde(default, skip_serializing_if = "serde_json::Map::is_empty")]
    pub options: serde_json::Map<String, Value>,
    /// The samples that it scores.
    #[serde(default, rename = "where", skip_serializing_if = "Conditions::is_empty")]
    pub conditions: Conditions,
}

/// Conditions on what is known of a sample: each key has one of its values. Values compare as text without surrounding
/// space and without regard to ASCII case.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Conditions(BTreeMap<String, OneOf>);

/// A value, or a list of which one shall apply.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum OneOf {
    /// Any of these.
    Any(Vec<Value>),
    /// This one.
    One(Value),
}

impl ScorerTable {
    /// Name in files and reports.
    pub fn name(&self) -> &str {
        self.name.as_deref().unwrap_or(&self.component)
    }
}

impl Conditions {
    /// Whether every sample meets them.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a sample meets them; `meta` is the object that scorers are given of it.
    pub fn accept(&self, meta: &Value) -> bool {
        self.0.iter().all(|(key, wanted)| find(meta, key).is_some_and(|value| wanted.accepts(value)))
    }

    /// Fails with the nearest name if a key is known of no sample.
    pub fn check(&self, metas: &[Value]) -> Result<()> {
        for key in self.0.keys() {
            if !metas.iter().any(|meta| find(meta, key).is_some()) {
                let known = metas.iter().flat_map(names).collect::<std::collections::BTreeSet<_>>();
                return Err(Error::usage(format!(
                    "where: nothing named `{key}` is known of the samples{}",
                    suggest(key, known)
                )));
            }
        }
        Ok(())
    }
}

impl OneOf {
    fn accepts(&self, value: &Value) -> bool {
        let same = |wanted: &Value| text(wanted).trim().eq_ignore_ascii_case(text(value).trim());
        match self {
            Self::Any(wanted) => wanted.iter().any(same),
            Self::One(wanted) => same(wanted),
        }
    }
}

/// Names must differ, and be fit for files.
pub(super) fn check(suite: &Suite, path: &Path) -> Result<()> {
    let mut seen: Vec<&str> = suite.scorers.iter().map(String::as_str).collect();
    for table in &suite.scorer_tables {
        let name = table.name();
        check_name("scorer", name)?;
        if seen.contains(&name) {
            return Err(Error::invalid(path, format!("two scorers are named `{name}`: give one another `name`")));
        }
        seen.push(name);
    }
    Ok(())
}

/// A value of the meta object, or of an object in it.
fn find<'a>(meta: &'a Value, key: &str) -> Option<&'a Value> {
    let object = meta.as_object()?;
    let here = object.get(key).filter(|value| !value.is_object());
    here.or_else(|| object.values().find_map(|value| value.as_object()?.get(key)))
}

fn names(meta: &Value) -> Vec<&str> {
    let mut names = Vec::new();
    for (key, value) in meta.as_object().into_iter().flatten() {
        match value.as_object() {
            Some(inner) => names.extend(inner.keys().map(String::as_str)),
            None => names.push(key.as_str()),
        }
    }
    names
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_string)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn conditions(text: &str) -> Conditions {
        toml::from_str(text).expect("valid")
    }

    #[test]
    fn a_value_or_a_list_of_values_selects_samples() {
        let meta = json!({"closed": true, "question": "Is it?", "groups": {"question_type": " open ", "age": "63"}});
        assert!(conditions("").accept(&meta));
        assert!(conditions("closed = true\nquestion_type = 'OPEN'\nage = 63").accept(&meta));
        assert!(conditions("age = [62, 63]").accept(&meta));
        assert!(!conditions("closed = false").accept(&meta));
        assert!(!conditions("age = []").accept(&meta));
        assert!(!conditions("organ = 'lung'").accept(&meta), "what is not known of a sample is met by nothing");
    }

    #[test]
    fn an_unknown_key_names_the_nearest() {
        let metas = [json!({"closed": true, "groups": {}}), json!({"groups": {"question_type": "open"}})];
        conditions("closed = 1\nquestion_type = 'x'").check(&metas).expect("known");
        let error = conditions("question_typ = 'x'").check(&metas).expect_err("unknown").to_string();
        let expected = "where: nothing named `question_typ` is known of the samples; did you mean `question_type`?";
        assert_eq!(error, expected);
    }
}
