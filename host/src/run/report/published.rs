//! The table of published values that a suite names.

use crate::{
    config::Suite,
    error::{Error, Result},
    report::{PublishedValue, read_published},
};

/// The values of the suite's models; none where it names no table.
///
/// # Errors
/// A table that is missing or malformed.
pub fn read(suite: &Suite) -> Result<Vec<PublishedValue>> {
    let Some(path) = &suite.published else { return Ok(Vec::new()) };
    let text = std::fs::read(path).map_err(|e| {
        Error::usage(format!("{}: the suite's table of published values cannot be read: {e}", path.display()))
    })?;
    let values = read_published(path, &text)?;
    Ok(values.into_iter().filter(|value| suite.models.contains(&value.model)).collect())
}
