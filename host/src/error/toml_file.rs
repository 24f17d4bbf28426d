//! TOML files as users write them: an unknown key names its line and the nearest known key.

use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

use super::{Error, Result, suggest};

/// Reads a TOML file; every error carries `path:line`.
pub fn read_toml<T: DeserializeOwned>(path: &Path) -> Result<T> {
    let text = std::fs::read_to_string(path).map_err(Error::io(path))?;
    parse_toml(path, &text)
}

/// Parses the text of a TOML file; `path` serves the error messages.
pub fn parse_toml<T: DeserializeOwned>(path: &Path, text: &str) -> Result<T> {
    toml::from_str(text).map_err(|e| {
        let line = e.span().map_or(1, |span| text[..span.start.min(text.len())].matches('\n').count() + 1);
        let place = PathBuf::from(format!("{}:{line}", path.display()));
        Error::invalid(place, with_suggestion(e.message()))
    })
}

/// serde's "unknown field `x`, expected one of `a`, `b`" with the nearest of the expected names.
fn with_suggestion(message: &str) -> String {
    let message = message.trim().replace('\n', " ");
    let quoted: Vec<&str> = message.split('`').skip(1).step_by(2).collect();
    let what = if message.starts_with("unknown field") {
        "key"
    } else if message.starts_with("unknown variant") {
        "value"
    } else {
        return message;
    };
    match quoted.split_first() {
        Some((name, known)) if !known.is_empty() => {
            format!("unknown {what} `{name}`{}", suggest(name, known.iter().copied()))
        }
        _ => message,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code, reason = "only the names of the fields matter")]
    struct Example {
        title: String,
        licence: String,
    }

    #[test]
    fn an_unknown_key_names_line_and_nearest_key() {
        let text = "title = 'x'\nlicense = 'y'\n";
        let error = parse_toml::<Example>(Path::new("data/x.toml"), text).expect_err("unknown key");
        assert_eq!(error.to_string(), "data/x.toml:2: unknown key `license`; did you mean `licence`?");
        assert_eq!(error.exit_code(), super::super::INVALID);
    }
}
