//! A safetensors file, of which one tensor is in memory at a time while it is read.

use std::{
    collections::BTreeMap,
    fs::File,
    path::{Path, PathBuf},
};

use candle_core::{Device, Error, Result, Tensor, safetensors::Load};
use memmap2::{Mmap, MmapOptions};
use safetensors::{Dtype, SafeTensors, tensor::TensorView};

/// The file; a mapping of all of it would count as memory of the process as far as it was read, beside the tensors.
pub struct Mapped {
    path: PathBuf,
    file: File,
    tensors: BTreeMap<String, Place>,
}

/// Where a tensor lies.
struct Place {
    dtype: Dtype,
    shape: Vec<usize>,
    /// First byte.
    start: usize,
    bytes: usize,
}

impl Mapped {
    /// Reads what the file says of its tensors.
    pub fn open(path: &Path) -> Result<Self> {
        let file = File::open(path)?;
        let all = map(&MmapOptions::new(), &file)?;
        let place = |(name, view): (String, TensorView<'_>)| {
            let start = view.data().as_ptr() as usize - all.as_ptr() as usize;
            let place = Place { dtype: view.dtype(), shape: view.shape().to_vec(), start, bytes: view.data().len() };
            (name, place)
        };
        let tensors = SafeTensors::deserialize(&all)?.tensors().into_iter().map(place).collect();
        Ok(Self { path: path.to_path_buf(), file, tensors })
    }

    /// Names and shapes of all tensors.
    pub fn shapes(&self) -> Vec<(String, Vec<usize>)> {
        self.tensors.iter().map(|(name, place)| (name.clone(), place.shape.clone())).collect()
    }

    /// Reads a tensor, in the number format of the file.
    pub fn load(&self, name: &str, device: &Device) -> Result<Tensor> {
        let missing = || Error::msg(format!("`{name}` is not in `{}`", self.path.display()));
        let Place { dtype, shape, start, bytes } = self.tensors.get(name).ok_or_else(missing)?;
        let part = map(MmapOptions::new().offset(*start as u64).len(*bytes), &self.file)?;
        TensorView::new(*dtype, shape.clone(), &part)?.load(device)
    }
}

#[allow(unsafe_code, reason = "a checkpoint is larger than what should be copied, so it is mapped")]
fn map(options: &MmapOptions, file: &File) -> Result<Mmap> {
    // SAFETY: the mapping is read only; as with any mapped file, nobody may shorten it while it is open.
    Ok(unsafe { options.map(file) }?)
}
