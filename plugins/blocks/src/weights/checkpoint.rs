//! A strict view of a checkpoint directory: every tensor is used once it is there, and has the shape expected.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use candle_core::{DType, Device, Tensor, pickle::PthTensors};

use super::{Names, Part, bare::Bare, mapped::Mapped};
use crate::{Error, Result, error::read_json, sentence};

/// The files that may hold a checkpoint, in the order in which they are preferred.
const FILES: [&str; 4] =
    ["model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json"];

pub struct Checkpoint {
    names: Names,
    /// The file, or the index of the shards.
    path: PathBuf,
    shards: Vec<Shard>,
    /// By public name.
    tensors: BTreeMap<String, Entry>,
    used: Mutex<BTreeSet<String>>,
    parameters: AtomicUsize,
}

struct Entry {
    shard: usize,
    /// The name in the file.
    name: String,
    shape: Vec<usize>,
}

struct Shard {
    path: PathBuf,
    data: ShardData,
}

enum ShardData {
    Safetensors(Mapped),
    Pickle(PthTensors),
    Bare(Bare),
}

#[derive(serde::Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

impl Checkpoint {
    pub fn open(dir: &Path, names: Names) -> Result<Self> {
        let path = FILES.iter().map(|name| dir.join(name)).find(|path| path.is_file()).ok_or_else(|| {
            Error::invalid(
                dir,
                format!("no weights here; expected one of {}", FILES.map(|f| format!("`{f}`")).join(", ")),
            )
        })?;
        let files = match path.extension().is_some_and(|e| e == "json") {
            true => read_json::<Index>(&path)?.weight_map.into_values().collect(),
            false => BTreeSet::from([path.file_name().unwrap_or_default().to_string_lossy().into_owned()]),
        };
        let shards = files.iter().map(|file| Shard::open(dir.join(file), None)).collect::<Result<Vec<_>>>()?;
        Ok(Self::new(names, path, shards, |_, name| Some(name.to_string())))
    }

    pub fn open_parts(dir: &Path, parts: &[Part], names: Names) -> Result<Self> {
        let shards = parts.iter().map(|part| Shard::open(part.path.clone(), part.key)).collect::<Result<Vec<_>>>()?;
        Ok(Self::new(names, dir.to_path_buf(), shards, |shard, name| {
            let Part { strip, prefix, keep, .. } = parts[shard];
            let public = format!("{prefix}{}", name.strip_prefix(strip).unwrap_or(name));
            (keep.is_empty() || keep.iter().any(|start| public.starts_with(start))).then_some(public)
        }))
    }

    /// `public` tells the public name of a shard's tensor, or that it does not count.
    fn new(names: Names, path: PathBuf, shards: Vec<Shard>, public: impl Fn(usize, &str) -> Option<String>) -> Self {
        let mut tensors = BTreeMap::new();
        for (index, shard) in shards.iter().enumerate() {
            for (name, shape) in shard.shapes() {
                if let Some(public) = public(index, &name) {
                    tensors.insert(public, Entry { shard: index, name, shape });
                }
            }
        }
        Self { names, path, shards, tensors, used: Mutex::default(), parameters: AtomicUsize::new(0) }
    }

    pub fn shape(&self, name: &str) -> Option<Vec<usize>> {
        Some(self.tensors.get(&self.names.public(name))?.shape.clone())
    }

    pub fn get(&self, name: &str, expected: &[usize], dtype: DType, device: &Device) -> Result<Tensor> {
        let public = self.names.public(name);
        let Entry { shard, name, shape: found } = self
            .tensors
            .get(&public)
            .ok_or_else(|| Error::invalid(&self.path, format!("tensor `{public}` of shape {expected:?} is missing")))?;
        let shard = &self.shards[*shard];
        if without_leading_ones(found) != without_leading_ones(expected) {
            let reason = format!("tensor `{public}` has shape {found:?}, expected {expected:?}");
            return Err(Error::invalid(&shard.path, reason));
        }
        let tensor = shard
            .load(name, device)
            .and_then(|tensor| tensor.to_device(device)?.to_dtype(dtype)?.contiguous()?.reshape(expected))
            .map_err(|e| Error::invalid(&shard.path, format!("cannot read tensor `{public}`: {}", sentence(&e))))?;
        if self.used.lock().unwrap_or_else(PoisonError::into_inner).insert(public) {
            self.parameters.fetch_add(tensor.elem_count(), Ordering::Relaxed);
        }
        Ok(tensor)
    }

    pub fn parameters(&self) -> usize {
        self.parameters.load(Ordering::Relaxed)
    }

    pub fn finish(&self) -> Result<()> {
        let used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        let unused: Vec<_> =
            self.tensors.iter().filter(|(name, _)| !used.contains(*name) && !self.names.ignores(name)).collect();
        match unused.as_slice() {
            [] => Ok(()),
            [(name, Entry { shard, shape, .. }), rest @ ..] => {
                let others = if rest.is_empty() { String::new() } else { format!(", nor do {} others", rest.len()) };
                let reason = format!("tensor `{name}` of shape {shape:?} does not belong to this model{others}");
                Err(Error::invalid(&self.shards[*shard].path, reason))
            }
        }
    }
}

/// Libraries differ in whether a table or vector that is added to a batch has an axis of length 1 for it.
fn without_leading_ones(shape: &[usize]) -> &[usize] {
    let axes = shape.iter().take_while(|&&length| length == 1).count();
    &shape[axes..]
}

impl Shard {
    fn open(path: PathBuf, key: Option<&str>) -> Result<Self> {
        std::fs::File::open(&path).map_err(|source| Error::Read { path: path.clone(), source })?;
        let pickle = path.extension().is_some_and(|e| e == "bin" || e == "pt" || e == "pth");
        let opened = match pickle {
            true => Bare::open(&path).and_then(|bare| match bare {
                Some(bare) => Ok(ShardData::Bare(bare)),
                None => PthTensors::new(&path, key).map(ShardData::Pickle),
            }),
            false => Mapped::open(&path).map(ShardData::Safetensors),
        };
        match opened {
            Ok(data) => Ok(Self { path, data }),
            Err(e) => {
                let kind = if pickle { "PyTorch (zip format)" } else { "safetensors" };
                Err(Error::invalid(&path, format!("truncated, corrupt or not a {kind} file: {}", sentence(&e))))
            }
        }
    }

    fn shapes(&self) -> Vec<(String, Vec<usize>)> {
        match &self.data {
            ShardData::Safetensors(file) => file.shapes(),
            ShardData::Pickle(file) => {
                file.tensor_infos().values().map(|t| (t.name.clone(), t.layout.dims().to_vec())).collect()
            }
            ShardData::Bare(tensor) => vec![(String::new(), tensor.shape())],
        }
    }

    fn load(&self, name: &str, device: &Device) -> candle_core::Result<Tensor> {
        match &self.data {
            ShardData::Safetensors(file) => file.load(name, device),
            ShardData::Pickle(file) => {
                file.get(name)?.ok_or_else(|| candle_core::Error::msg(format!("`{name}` is not in the file")))
            }
            ShardData::Bare(tensor) => tensor.load(),
        }
    }
}
