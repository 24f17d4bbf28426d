//! Names of devices and number formats.

use candle_core::{DType, Device};

use crate::{Error, Result, sentence};

/// The device called `cpu` or `cuda:N`; an empty name is `cpu`.
///
/// # Errors
/// The name is unknown, or that device is absent, or this build lacks CUDA.
pub fn device(name: &str) -> Result<Device> {
    let unknown = || Error::Setting(format!("unknown device `{name}`; known are `cpu` and `cuda:N`"));
    match name {
        "" | "cpu" => Ok(Device::Cpu),
        "cuda" => cuda(0),
        _ => cuda(name.strip_prefix("cuda:").and_then(|n| n.parse().ok()).ok_or_else(unknown)?),
    }
}

/// The number format called `f32`, `bf16` or `f16`; an empty name is `f32`.
///
/// # Errors
/// The name is unknown.
pub fn dtype(name: &str) -> Result<DType> {
    match name {
        "" | "f32" => Ok(DType::F32),
        "bf16" => Ok(DType::BF16),
        "f16" => Ok(DType::F16),
        _ => Err(Error::Setting(format!("unknown dtype `{name}`; known are `f32`, `bf16` and `f16`"))),
    }
}

fn cuda(ordinal: usize) -> Result<Device> {
    Device::new_cuda(ordinal)
        .map_err(|e| Error::Setting(format!("cannot use device `cuda:{ordinal}`: {}", sentence(&e))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        assert!(matches!(device("cpu"), Ok(Device::Cpu)));
        assert_eq!(dtype("bf16").unwrap(), DType::BF16);
        let message = device("gpu").unwrap_err().to_string();
        assert_eq!(message, "unknown device `gpu`; known are `cpu` and `cuda:N`");
        assert!(dtype("f8").unwrap_err().to_string().contains("`f8`"));
        if cfg!(not(feature = "cuda")) {
            assert!(device("cuda:0").unwrap_err().to_string().starts_with("cannot use device `cuda:0`"));
        }
    }
}
