//! What the JSON files of a checkpoint say, by the rules of `transformers` (4.53.1): null says nothing.

use std::path::Path;

use blocks::{Error, Result};
use serde_json::{Map, Value};

/// A refusal, to which the file is added.
pub type Parsed<T> = std::result::Result<T, String>;

/// Reads a JSON object.
///
/// # Errors
/// The file is missing or holds something else.
pub fn object(path: &Path) -> Result<Map<String, Value>> {
    let text = std::fs::read_to_string(path).map_err(|source| Error::Read { path: path.to_path_buf(), source })?;
    serde_json::from_str(&text).map_err(|e| Error::invalid(path, format!("not a configuration: {e}")))
}

/// The text under `key`.
pub fn text<'a>(raw: &'a Map<String, Value>, key: &str, default: &'a str) -> &'a str {
    raw.get(key).and_then(Value::as_str).unwrap_or(default)
}

/// Id of a token.
///
/// # Errors
/// It is something else.
pub fn id(value: &Value) -> Parsed<u32> {
    let id = value.as_u64().and_then(|id| u32::try_from(id).ok());
    id.ok_or_else(|| format!("{value} is no id of a token"))
}

/// Ids under `key`, which is a number or a list of them.
///
/// # Errors
/// They are something else.
pub fn ids(raw: &Map<String, Value>, key: &str) -> Parsed<Option<Vec<u32>>> {
    match raw.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Array(ids)) => ids.iter().map(id).collect::<Parsed<_>>().map(Some),
        Some(value) => Ok(Some(vec![id(value)?])),
    }
}

/// Ids that end an answer: of `generation_config.json` in `dir` or else those in `config`.
///
/// # Errors
/// The file is corrupt, or holds something else than ids.
pub fn stop_ids(dir: &Path, config: Option<Vec<u32>>) -> Result<Option<Vec<u32>>> {
    let path = dir.join("generation_config.json");
    if !path.is_file() {
        return Ok(config);
    }
    let found = ids(&object(&path)?, "eos_token_id").map_err(|reason| Error::invalid(path, reason))?;
    Ok(found.or(config))
}

/// Ids that `config.json` of a model built around the language model `kind` names: in the first of `parts` that does,
/// the last of which is that of the language model, else the default of its class.
///
/// # Errors
/// They are no ids.
pub fn stop_ids_of(kind: &str, parts: &[&Map<String, Value>]) -> Parsed<Option<Vec<u32>>> {
    for part in parts {
        if let Some(ids) = ids(part, "eos_token_id")? {
            return Ok(Some(ids));
        }
    }
    let refused = parts.last().is_some_and(|part| part.contains_key("eos_token_id"));
    Ok(match (refused, kind) {
        (true, _) => Some(Vec::new()),
        (false, "qwen2") => None,
        (false, "phi3") => Some(vec![32000]),
        (false, _) => Some(vec![2]),
    })
}
