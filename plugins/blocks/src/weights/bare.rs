//! A pickle that holds one tensor rather than a dictionary, as `torch.save(tensor, path)` writes it.

use std::{
    fs::File,
    io::{BufReader, Read},
    path::{Path, PathBuf},
};

use candle_core::{
    Device, Error, Result, Tensor,
    pickle::{Object, Stack, TensorInfo},
};
use zip::{
    ZipArchive,
    read::{ArchiveOffset, Config},
};

pub struct Bare {
    path: PathBuf,
    info: TensorInfo,
}

impl Bare {
    /// `None` if the file holds something else, which may still be a dictionary.
    pub fn open(path: &Path) -> Result<Option<Self>> {
        let mut zip = archive(path)?;
        let Some(name) = zip.file_names().flatten().find(|name| name.ends_with("data.pkl")).map(|n| n.into_owned())
        else {
            return Ok(None);
        };
        let mut stack = Stack::empty();
        stack.read_loop(&mut BufReader::new(zip.by_name(&name).map_err(Error::wrap)?))?;
        let folder = PathBuf::from(name.trim_end_matches(".pkl"));
        let info = stack.finalize()?.into_tensor_info(Object::Unicode(String::new()), &folder)?;
        Ok(info.map(|info| Self { path: path.to_path_buf(), info }))
    }

    pub fn shape(&self) -> Vec<usize> {
        self.info.layout.dims().to_vec()
    }

    pub fn load(&self) -> Result<Tensor> {
        let (layout, dtype) = (&self.info.layout, self.info.dtype);
        let mut zip = archive(&self.path)?;
        let mut bytes = Vec::new();
        zip.by_name(&self.info.path).map_err(Error::wrap)?.read_to_end(&mut bytes)?;
        let size = dtype.size_in_bytes();
        let storage = Tensor::from_raw_buffer(&bytes, dtype, &[bytes.len() / size], &Device::Cpu)?;
        // `start_offset` counts bytes here.
        let (start, length) = (layout.start_offset() / size, layout.shape().elem_count());
        let values = storage.narrow(0, start, length)?;
        if layout.is_contiguous() {
            return values.reshape(layout.dims());
        }
        match *layout.dims() {
            [rows, columns] if layout.is_fortran_contiguous() => values.reshape((columns, rows))?.t(),
            _ => Err(Error::msg("its values are stored in an unknown order")),
        }
    }
}

/// PyTorch puts nothing before its archives. Where the first name in one has 30 letters, as in
/// `text_projection_layer.pth`, the library would otherwise take the size of the last records for something there.
fn archive(path: &Path) -> Result<ZipArchive<BufReader<File>>> {
    let config = Config { archive_offset: ArchiveOffset::Known(0) };
    ZipArchive::with_config(config, BufReader::new(File::open(path)?)).map_err(Error::wrap)
}
