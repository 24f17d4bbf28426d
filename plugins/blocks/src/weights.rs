//! Where a model's tensors come from: a checkpoint, read strictly, or fresh trainable variables.

mod bare;
mod checkpoint;
mod fresh;
mod mapped;
mod names;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use candle_core::{DType, Device, Tensor, Var};

use crate::{Error, Result, sentence};
use checkpoint::Checkpoint;
use fresh::Fresh;
pub use names::Names;

/// How a fresh tensor is filled.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Init {
    /// One value throughout.
    Constant(f64),
    /// Normally distributed around zero with this standard deviation.
    Normal(f64),
}

/// A source of tensors, seen from one place in the hierarchy of names.
///
/// Names are those of this crate (`vision.layers.0.attention.query.weight`); [`Names`] translates them to those of
/// the checkpoint.
#[derive(Clone)]
pub struct Weights {
    source: Arc<Source>,
    prefix: String,
    dtype: DType,
    device: Device,
}

/// One of several files that make up a checkpoint, where it is not laid out as `transformers` does.
#[derive(Debug, Clone)]
pub struct Part {
    /// A `.safetensors` file, or a pickle: `.bin`, `.pt` or `.pth`.
    pub path: PathBuf,
    /// The key of a pickled dictionary that holds the tensors, where they are not at the top.
    pub key: Option<&'static str>,
    /// Beginning of the tensors' names that is cut off.
    pub strip: &'static str,
    /// What then precedes their names. It is the whole name of a pickled tensor without a dictionary.
    pub prefix: &'static str,
    /// Beginnings of the names, then, of what the model may need; nothing else counts. Empty if all does.
    pub keep: &'static [&'static str],
}

enum Source {
    Checkpoint(Checkpoint),
    Fresh(Box<Fresh>),
}

impl Part {
    /// All of a file, under the names that it gives.
    pub fn of(path: PathBuf) -> Self {
        Self { path, key: None, strip: "", prefix: "", keep: &[] }
    }
}

impl Weights {
    /// Opens the checkpoint in `dir`, laid out as on the Hugging Face hub: `model.safetensors` or `pytorch_model.bin`,
    /// whole or in shards with an index. Tensors are converted to `dtype` on `device`.
    ///
    /// # Errors
    /// No such file, or one that is truncated or corrupt.
    pub fn open(dir: &Path, names: &Names, dtype: DType, device: &Device) -> Result<Self> {
        let source = Source::Checkpoint(Checkpoint::open(dir, *names)?);
        Ok(Self { source: Arc::new(source), prefix: String::new(), dtype, device: device.clone() })
    }

    /// As [`Weights::open`], for a checkpoint in `dir` that consists of `parts`.
    ///
    /// # Errors
    /// A file is missing, truncated or corrupt.
    pub fn open_parts(dir: &Path, parts: &[Part], names: &Names, dtype: DType, device: &Device) -> Result<Self> {
        let source = Source::Checkpoint(Checkpoint::open_parts(dir, parts, *names)?);
        Ok(Self { source: Arc::new(source), prefix: String::new(), dtype, device: device.clone() })
    }

    /// Fresh trainable variables in f32. The same seed and the same order of [`Weights::get`] give the same values.
    pub fn fresh(seed: u64, device: &Device) -> Self {
        let source = Arc::new(Source::Fresh(Box::new(Fresh::new(seed))));
        Self { source, prefix: String::new(), dtype: DType::F32, device: device.clone() }
    }

    /// The same source, one level further down.
    pub fn at(&self, segment: impl std::fmt::Display) -> Self {
        Self { prefix: self.full(&segment.to_string()), ..self.clone() }
    }

    /// The tensor `name` of this `shape`; `init` fills it where the source is fresh.
    ///
    /// # Errors
    /// The tensor is missing or has another shape.
    pub fn get(&self, name: &str, shape: impl Into<candle_core::Shape>, init: Init) -> Result<Tensor> {
        let (name, shape) = (self.full(name), shape.into());
        match &*self.source {
            Source::Checkpoint(checkpoint) => checkpoint.get(&name, shape.dims(), self.dtype, &self.device),
            Source::Fresh(fresh) => fresh.get(name, shape, init, &self.device),
        }
    }

    /// Shape of the checkpoint's tensor `name`, if there is one.
    pub fn shape(&self, name: &str) -> Option<Vec<usize>> {
        match &*self.source {
            Source::Checkpoint(checkpoint) => checkpoint.shape(&self.full(name)),
            Source::Fresh(_) => None,
        }
    }

    /// How many of `0.name`, `1.name` and so on the checkpoint has, up to the first that is missing.
    pub fn count(&self, name: &str) -> usize {
        (0..).take_while(|n| self.shape(&format!("{n}.{name}")).is_some()).count()
    }

    /// Whether tensors are trainable variables.
    pub fn trainable(&self) -> bool {
        matches!(*self.source, Source::Fresh(_))
    }

    /// Number of values handed out so far.
    pub fn parameters(&self) -> usize {
        match &*self.source {
            Source::Checkpoint(checkpoint) => checkpoint.parameters(),
            Source::Fresh(fresh) => fresh.vars().iter().map(|(_, var)| var.elem_count()).sum(),
        }
    }

    /// Call when the model is complete.
    ///
    /// # Errors
    /// The checkpoint holds a tensor that was neither asked for nor listed in [`Names::ignore`].
    pub fn finish(&self) -> Result<()> {
        match &*self.source {
            Source::Checkpoint(checkpoint) => checkpoint.finish(),
            Source::Fresh(_) => Ok(()),
        }
    }

    /// The variables created so far, sorted by name; empty for a checkpoint.
    pub fn vars(&self) -> Vec<(String, Var)> {
        match &*self.source {
            Source::Checkpoint(_) => Vec::new(),
            Source::Fresh(fresh) => fresh.vars(),
        }
    }

    /// Writes the variables to a safetensors file in `dtype`, under the checkpoint's names.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn save(&self, path: &Path, names: &Names, dtype: DType) -> Result<()> {
        let tensors: std::collections::HashMap<String, Tensor> = self
            .vars()
            .iter()
            .map(|(name, var)| Ok((names.public(name), var.to_dtype(dtype)?.to_device(&Device::Cpu)?)))
            .collect::<Result<_>>()?;
        candle_core::safetensors::save(&tensors, path)
            .map_err(|e| Error::invalid(path, format!("cannot write the weights: {}", sentence(&e))))
    }

    fn full(&self, name: &str) -> String {
        if self.prefix.is_empty() { name.to_string() } else { format!("{}.{name}", self.prefix) }
    }
}
