//! `[model.options]` of a row.

use plugin_api::{Error, Result};
use serde_json::{Map, Value};

/// The options of a row, each of which its architecture knows.
pub struct Options<'a>(&'a Map<String, Value>);

impl<'a> Options<'a> {
    /// Options of `architecture`, which has those in `known`.
    ///
    /// # Errors
    /// Another option is given.
    pub fn new(architecture: &str, options: &'a Map<String, Value>, known: &[&str]) -> Result<Self> {
        match options.keys().find(|key| !known.contains(&key.as_str())) {
            Some(option) => {
                let known = if known.is_empty() { "none".into() } else { list(known.iter().copied()) };
                Err(Error::config(format!("unknown option `{option}`; architecture `{architecture}` has {known}")))
            }
            None => Ok(Self(options)),
        }
    }

    /// A number of things, at least 1.
    ///
    /// # Errors
    /// The option is something else.
    pub fn count(&self, name: &str) -> Result<Option<usize>> {
        self.read(name, "a whole number above 0", |value| value.as_u64().filter(|&n| n > 0).map(|n| n as usize))
    }

    /// A whole number.
    ///
    /// # Errors
    /// The option is something else.
    pub fn whole(&self, name: &str) -> Result<Option<usize>> {
        self.read(name, "a whole number", |value| value.as_u64().map(|n| n as usize))
    }

    /// A finite number.
    ///
    /// # Errors
    /// The option is something else.
    pub fn number(&self, name: &str) -> Result<Option<f64>> {
        self.read(name, "a number", |value| value.as_f64().filter(|n| n.is_finite()))
    }

    /// A text.
    ///
    /// # Errors
    /// The option is something else.
    pub fn text(&self, name: &str) -> Result<Option<String>> {
        self.read(name, "a text", |value| value.as_str().map(str::to_string))
    }

    /// Yes or no.
    ///
    /// # Errors
    /// The option is something else.
    pub fn flag(&self, name: &str) -> Result<Option<bool>> {
        self.read(name, "true or false", Value::as_bool)
    }

    /// One of named values.
    ///
    /// # Errors
    /// The option is something else.
    pub fn choice<T: Copy>(&self, name: &str, values: &[(&str, T)]) -> Result<Option<T>> {
        let expected = list(values.iter().map(|(value, _)| *value));
        self.read(name, &expected, |given| values.iter().find(|(value, _)| given == value).map(|(_, value)| *value))
    }

    /// Whether `compat = "medvlmbench"` is given.
    ///
    /// # Errors
    /// It is something else.
    pub fn medvlmbench(&self) -> Result<bool> {
        let compat = self.read("compat", "\"medvlmbench\"", |value| (value == "medvlmbench").then_some(()))?;
        Ok(compat.is_some())
    }

    fn read<T>(&self, name: &str, expected: &str, read: impl Fn(&Value) -> Option<T>) -> Result<Option<T>> {
        let Some(value) = self.0.get(name) else { return Ok(None) };
        match read(value) {
            Some(value) => Ok(Some(value)),
            None => Err(Error::config(format!("option `{name}` is {value}; expected {expected}"))),
        }
    }
}

fn list<'a>(names: impl Iterator<Item = &'a str>) -> String {
    names.map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}
