//! Choosing cells by their parts: `model=clip,siglip usage=zero-shot`.

use std::{fmt, str::FromStr};

use crate::{
    error::{Error, Result, suggest},
    ids::CellId,
};

/// Conditions that all must hold; none accepts everything.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Filter(pub Vec<Condition>);

/// One part of a cell's name with the values that it may have; a value may end in `*`.
#[derive(Debug, Clone, PartialEq)]
pub struct Condition {
    key: String,
    values: Vec<String>,
}

/// The parts of a cell's name, and its state.
const KEYS: [&str; 7] = ["model", "dataset", "split", "task", "usage", "seed", STATE];
const STATE: &str = "state";

impl Filter {
    /// Whether a cell meets the conditions, those about its state aside.
    pub fn accepts(&self, cell: &CellId) -> bool {
        self.0.iter().all(|condition| match condition.key.as_str() {
            "model" => condition.holds(&cell.model),
            "dataset" => condition.holds(&cell.dataset),
            "split" => condition.holds(&cell.split),
            "task" => condition.holds(&cell.task.to_string()),
            "usage" => condition.holds(&cell.usage.to_string()),
            "seed" => condition.holds(&cell.seed.to_string()),
            _ => true,
        })
    }

    /// Whether a state meets the conditions.
    pub fn accepts_state(&self, state: &str) -> bool {
        self.0.iter().filter(|condition| condition.key == STATE).all(|condition| condition.holds(state))
    }

    /// Fails where a condition is about the state of cells.
    pub fn check_stateless(&self) -> Result<()> {
        match self.0.iter().find(|condition| condition.key == STATE) {
            Some(condition) => Err(Error::usage(format!("--filter {condition}: `medvlm status` knows states"))),
            None => Ok(()),
        }
    }

    /// That no cell is left.
    pub fn nothing(&self) -> Error {
        let conditions: Vec<String> = self.0.iter().map(|condition| format!("--filter {condition}")).collect();
        Error::usage(match conditions.is_empty() {
            true => "the suite excludes all of its cells".to_string(),
            false => format!("no cell of the suite is left by {}", conditions.join(" ")),
        })
    }
}

impl Condition {
    fn holds(&self, found: &str) -> bool {
        self.values.iter().any(|value| match value.strip_suffix('*') {
            Some(start) => found.starts_with(start),
            None => found == value,
        })
    }
}

impl FromStr for Condition {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let Some((key, values)) = text.split_once('=').filter(|(_, values)| !values.is_empty()) else {
            return Err("expected KEY=VALUE[,VALUE…], such as model=clip,siglip".into());
        };
        if !KEYS.contains(&key) {
            return Err(format!("unknown key `{key}`{}", suggest(key, KEYS)));
        }
        Ok(Self { key: key.into(), values: values.split(',').map(String::from).collect() })
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.key, self.values.join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_conditions_hold_and_one_value_of_each() {
        let filter = |text: &str| Filter(text.split(' ').map(|c| c.parse().expect("valid")).collect());
        let cell: CellId = "qwen2.5-vl@slake.test.vqa.zero-shot.s1".parse().expect("valid");
        assert!(filter("model=clip,qwen2.5-vl seed=1").accepts(&cell) && filter("model=qwen*").accepts(&cell));
        assert!(!filter("model=clip,qwen2.5-vl seed=0").accepts(&cell) && !filter("dataset=sl").accepts(&cell));
        assert!(filter("state=done").accepts(&cell) && !filter("state=done").accepts_state("missing"));
        assert_eq!("modle=x".parse::<Condition>(), Err("unknown key `modle`; did you mean `model`?".into()));
        assert!("model".parse::<Condition>().is_err());
    }
}
