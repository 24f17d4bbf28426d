//! Images that lie as one array in a NumPy archive each, as the Harvard eye datasets publish them.

use std::{
    fs::File,
    io::{self, BufReader},
    path::Path,
};

use npyz::{Deserialize, NpyFile, TypeChar, npz::NpzArchive};

use crate::{
    dataset::{ArrayRule, Pixels},
    error::{Error, Result, suggest},
};

/// The array as an image: each value runs through the rule and is cut to 8 bits; grey becomes RGB.
///
/// As in NumPy, values of float32 are computed as such and all others as float64. A value outside 0 to 255 becomes the
/// nearer end, where NumPy's cast would wrap around.
pub fn pixels(path: &Path, rule: &ArrayRule) -> Result<Pixels> {
    let file = BufReader::new(File::open(path).map_err(Error::io(path))?);
    let broken = |e: io::Error| Error::invalid(path, format!("invalid NumPy archive: {e}"));
    let mut archive = NpzArchive::new(file).map_err(broken)?;
    let names: Vec<String> = archive.array_names().map(String::from).collect();
    let array = archive.by_name(&rule.key).map_err(broken)?.ok_or_else(|| {
        Error::invalid(
            path,
            format!("has no array `{}`{}", rule.key, suggest(&rule.key, names.iter().map(String::as_str))),
        )
    })?;
    let (shape, kind) = (array.shape().to_vec(), array.dtype().descr());
    let size = |n: u64| u32::try_from(n).ok().filter(|n| *n > 0);
    let (height, width, channels) = match shape[..] {
        [height, width] => (size(height), size(width), 1),
        [height, width, channels @ (1 | 3)] => (size(height), size(width), channels),
        _ => (None, None, 0),
    };
    let (Some(height), Some(width)) = (height, width) else {
        return Err(Error::invalid(path, format!("`{}` has shape {shape:?}, not [H, W] or [H, W, 3]", rule.key)));
    };
    if array.header().order() != npyz::Order::C {
        return Err(Error::invalid(path, format!("`{}` is not in C order", rule.key)));
    }
    let values = bytes(array, rule).map_err(broken)?;
    let values = values.ok_or_else(|| Error::invalid(path, format!("`{}` is {kind}, not of numbers", rule.key)))?;
    let rgb = if channels == 3 { values } else { values.iter().flat_map(|grey| [*grey; 3]).collect() };
    Ok(Pixels { width, height, rgb })
}

/// The values after the rule; nothing for a type that holds no real numbers.
fn bytes<R: io::Read>(array: NpyFile<R>, rule: &ArrayRule) -> io::Result<Option<Vec<u8>>> {
    let npyz::DType::Plain(kind) = array.dtype() else { return Ok(None) };
    let values = match (kind.type_char(), kind.size_field()) {
        (TypeChar::Float, 4) => {
            let (add, divide, times) = (rule.add as f32, rule.divide as f32, rule.times as f32);
            array.into_vec::<f32>()?.iter().map(|x| ((x + add) / divide * times) as u8).collect()
        }
        (TypeChar::Float, 8) => wide::<f64, R>(array, rule, |x| x)?,
        (TypeChar::Uint, 1) => wide::<u8, R>(array, rule, f64::from)?,
        (TypeChar::Uint, 2) => wide::<u16, R>(array, rule, f64::from)?,
        (TypeChar::Int, 1) => wide::<i8, R>(array, rule, f64::from)?,
        (TypeChar::Int, 2) => wide::<i16, R>(array, rule, f64::from)?,
        (TypeChar::Int, 4) => wide::<i32, R>(array, rule, f64::from)?,
        (TypeChar::Int, 8) => wide::<i64, R>(array, rule, |x| x as f64)?,
        _ => return Ok(None),
    };
    Ok(Some(values))
}

fn wide<T: Deserialize, R: io::Read>(
    array: NpyFile<R>,
    rule: &ArrayRule,
    of: impl Fn(T) -> f64,
) -> io::Result<Vec<u8>> {
    let values = array.into_vec::<T>()?;
    Ok(values.into_iter().map(|x| ((of(x) + rule.add) / rule.divide * rule.times) as u8).collect())
}
