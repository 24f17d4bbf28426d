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
pub(super) fn read(suite: &Suite) -> Result<Vec<PublishedValue>> {
    let Some(path) = &suite.published else { return Ok(Vec::new()) };
    let text = std::fs::read(path).map_err(Error::io(path))?;
    let values = read_published(path, &text)?;
    Ok(values.into_iter().filter(|value| suite.models.contains(&value.model)).collect())
}
