//! Classes of a zero-shot diagnosis: each is a list of prompts.

use candle_core::{D, DType, Tensor};
use plugin_api::{Error, Result};

/// The prompts of all classes, one after the other.
///
/// # Errors
/// There is no class, or one has no prompt.
pub fn prompts(classes: &[Vec<String>]) -> Result<Vec<&str>> {
    match classes.iter().position(Vec::is_empty) {
        Some(class) => Err(Error::input(format!("class {class} has no prompt"))),
        None if classes.is_empty() => Err(Error::input("there are no classes")),
        None => Ok(classes.iter().flatten().map(String::as_str).collect()),
    }
}

/// Rows of prompts `[prompts, columns]` to their mean by class, `[classes, columns]`.
///
/// # Errors
/// There are fewer rows than prompts.
pub fn means(rows: &Tensor, classes: &[Vec<String>]) -> candle_core::Result<Tensor> {
    let mut start = 0;
    let means = classes.iter().map(|prompts| {
        let mean = rows.narrow(0, start, prompts.len())?.mean_keepdim(0)?;
        start += prompts.len();
        Ok(mean)
    });
    Tensor::cat(&means.collect::<candle_core::Result<Vec<_>>>()?, 0)
}

/// Vectors of the last axis divided by their Euclidean length, in f32; differentiable.
///
/// # Errors
/// None but those of the device.
pub fn normalize(vectors: &Tensor) -> blocks::Result<Tensor> {
    let vectors = vectors.to_dtype(DType::F32)?;
    Ok(vectors.broadcast_div(&vectors.sqr()?.sum_keepdim(D::Minus1)?.sqrt()?)?)
}
