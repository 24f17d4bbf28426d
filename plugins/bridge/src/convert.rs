//! From tensors and errors of `blocks` to those of the contract.

use candle_core::{DType, Tensor};
use plugin_api::{Array, Data, Error, ErrorKind, Matrix, Result};

/// A tensor of any shape, as f32.
///
/// # Errors
/// None but those of the device.
pub fn array(tensor: &Tensor) -> Result<Array> {
    let shape = tensor.dims().iter().map(|&n| n as u64).collect();
    Ok(Array { shape, data: Data::F32(values(tensor)?) })
}

/// A tensor of two axes, as f32.
///
/// # Errors
/// It has another number of axes.
pub fn matrix(tensor: &Tensor) -> Result<Matrix> {
    let (_, columns) = tensor.dims2().map_err(failed)?;
    Ok(Matrix { columns, data: values(tensor)? })
}

/// An error of opening a model.
pub fn config(e: blocks::Error) -> Error {
    chain(ErrorKind::Config, e)
}

/// An error of what a request holds.
pub fn input(e: blocks::Error) -> Error {
    match e {
        blocks::Error::Tensor(e) => failed(e),
        other => chain(ErrorKind::Input, other),
    }
}

/// An error of the device.
pub fn failed(e: candle_core::Error) -> Error {
    let message = blocks::sentence(&e);
    let kind = if message.to_lowercase().contains("out of memory") { ErrorKind::OutOfMemory } else { ErrorKind::Other };
    Error::new(kind, message)
}

fn values(tensor: &Tensor) -> Result<Vec<f32>> {
    tensor.to_dtype(DType::F32).and_then(|t| t.flatten_all()?.to_vec1()).map_err(failed)
}

/// The conversion of the contract appends the causes.
fn chain(kind: ErrorKind, e: blocks::Error) -> Error {
    Error { kind, ..Error::from(e) }
}
