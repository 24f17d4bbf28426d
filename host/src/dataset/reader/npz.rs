//! NumPy archives as MedMNIST publishes them: `<key>_images` [N, H, W] or [N, H, W, 3] and `<key>_labels` [N, K],
//! both of uint8.
//!
//! The archive is compressed, hence has no random access. An image array is unpacked once into a temporary file
//! without a name, from which single images are read; 89,996 images of 224 pixels take 13.5 GB there, not in memory.

use std::{
    collections::HashMap,
    fs::File,
    io::{self, BufReader, Read, Write},
    os::unix::fs::FileExt,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use npyz::{NpyHeader, npz::NpzArchive};
use serde_json::Value;

use super::{ImageRef, Place, Row, Table};
use crate::{
    dataset::Pixels,
    error::{Error, Result, suggest},
};

/// One row per image, with the column `label`: a class index where K is 1, else the list of the indices set.
pub fn rows(path: &Path, key: &str) -> Result<Table> {
    let array = format!("{key}_images");
    let images = shape(path, &array, read_array(path, &array, &mut io::sink(), 0)?)?;
    let mut labels = Vec::new();
    let label_shape = read_array(path, &format!("{key}_labels"), &mut labels, u64::MAX)?;
    let (count, width) = match label_shape[..] {
        [count] => (count, 1),
        [count, width] => (count, width),
        _ => return Err(Error::invalid(path, format!("`{key}_labels` has shape {label_shape:?}, not [N, K]"))),
    };
    if count != images.count || width == 0 {
        return Err(Error::invalid(path, format!("{} images have labels of shape {label_shape:?}", images.count)));
    }
    let label = |row: &[u8]| match row {
        [index] => Value::from(*index),
        flags => {
            flags.iter().zip(0u32..).filter(|(flag, _)| **flag != 0).map(|(_, index)| Value::from(index)).collect()
        }
    };
    let (file, array): (Arc<Path>, Arc<str>) = (path.into(), array.into());
    let rows = labels.chunks_exact(usize::try_from(width).unwrap_or(usize::MAX)).zip(0..).map(|(flags, index)| {
        let image = ImageRef(Place::Npz { file: file.clone(), array: array.clone(), index });
        Row { name: None, cells: [("label".to_string(), label(flags))].into_iter().collect(), images: vec![image] }
    });
    Ok(Table::new(path, ["label".to_string()], rows.collect()))
}

/// An archive and the name of an array in it.
type ArrayName = (Arc<Path>, Arc<str>);

/// The unpacked image arrays.
#[derive(Debug, Default)]
pub struct ImageArrays {
    arrays: Mutex<HashMap<ArrayName, Arc<Unpacked>>>,
}

#[derive(Debug)]
struct Unpacked {
    data: File,
    shape: Shape,
}

#[derive(Debug, Clone, Copy)]
struct Shape {
    count: u64,
    height: u32,
    width: u32,
    channels: u64,
}

impl ImageArrays {
    /// One image; grey becomes RGB.
    pub fn pixels(&self, file: &Arc<Path>, array: &Arc<str>, index: u64) -> Result<Pixels> {
        let unpacked = self.unpacked(file, array)?;
        let Shape { count, height, width, channels } = unpacked.shape;
        if index >= count {
            return Err(Error::invalid(file, format!("`{array}` has {count} images, not {}", index + 1)));
        }
        let size = u64::from(height) * u64::from(width) * channels;
        let mut raw = vec![0; usize::try_from(size).unwrap_or_default()];
        unpacked.data.read_exact_at(&mut raw, index * size).map_err(Error::io(file))?;
        let rgb = if channels == 1 { raw.iter().flat_map(|grey| [*grey; 3]).collect() } else { raw };
        Ok(Pixels { width, height, rgb })
    }

    fn unpacked(&self, file: &Arc<Path>, array: &Arc<str>) -> Result<Arc<Unpacked>> {
        let mut arrays = self.arrays.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (file.clone(), array.clone());
        if let Some(unpacked) = arrays.get(&key) {
            return Ok(unpacked.clone());
        }
        let mut data = tempfile::tempfile().map_err(Error::io(file))?;
        let shape = shape(file, array, read_array(file, array, &mut data, u64::MAX)?)?;
        data.flush().map_err(Error::io(file))?;
        let unpacked = Arc::new(Unpacked { data, shape });
        arrays.insert(key, unpacked.clone());
        Ok(unpacked)
    }
}

/// Copies at most `limit` bytes of an array's elements to the sink and gives its shape.
fn read_array(path: &Path, name: &str, sink: &mut impl Write, limit: u64) -> Result<Vec<u64>> {
    let file = BufReader::new(File::open(path).map_err(Error::io(path))?);
    let broken = |e: io::Error| Error::invalid(path, format!("invalid NumPy archive: {e}"));
    let mut archive = NpzArchive::new(file).map_err(broken)?;
    let names: Vec<String> = archive.array_names().map(String::from).collect();
    let file_name = npyz::npz::file_name_from_array_name(name);
    let mut entry = archive.zip_archive().by_name(&file_name).map_err(|_| {
        Error::invalid(path, format!("has no array `{name}`{}", suggest(name, names.iter().map(String::as_str))))
    })?;
    let header = NpyHeader::from_reader(&mut entry).map_err(broken)?;
    let kind = header.dtype().descr();
    if !kind.contains("u1") || header.order() != npyz::Order::C {
        return Err(Error::invalid(path, format!("`{name}` is {kind}, not uint8 in C order")));
    }
    let size = header.len().min(limit);
    let copied = io::copy(&mut entry.take(size), sink).map_err(broken)?;
    if copied < size {
        return Err(Error::invalid(path, format!("`{name}` is truncated: {copied} of {size} bytes")));
    }
    Ok(header.shape().to_vec())
}

fn shape(path: &Path, array: &str, shape: Vec<u64>) -> Result<Shape> {
    let (count, height, width, channels) = match shape[..] {
        [count, height, width] => (count, height, width, 1),
        [count, height, width, channels @ (1 | 3)] => (count, height, width, channels),
        _ => return Err(Error::invalid(path, format!("`{array}` has shape {shape:?}, not [N, H, W] or [N, H, W, 3]"))),
    };
    match (u32::try_from(height), u32::try_from(width)) {
        (Ok(height @ 1..), Ok(width @ 1..)) => Ok(Shape { count, height, width, channels }),
        _ => Err(Error::invalid(path, format!("`{array}` holds images of {width} x {height} pixels"))),
    }
}

#[cfg(test)]
mod tests {
    use npyz::WriterBuilder;

    use super::*;

    fn write(path: &Path, arrays: &[(&str, &[u64], &[u8])]) {
        let mut archive = npyz::npz::NpzWriter::create(path).expect("created");
        for (name, shape, values) in arrays {
            let writer = archive.array(name, Default::default()).expect("array");
            let mut writer = writer.default_dtype().shape(shape).begin_nd().expect("begun");
            writer.extend(values.iter().copied()).expect("written");
            writer.finish().expect("finished");
        }
    }

    fn failure(arrays: &[(&str, &[u64], &[u8])]) -> String {
        let dir = tempfile::tempdir().expect("directory");
        let path = dir.path().join("a.npz");
        write(&path, arrays);
        let error = rows(&path, "test").expect_err("refused").to_string();
        error[error.find("a.npz").expect("the file is named")..].to_string()
    }

    #[test]
    fn grey_and_colour_images_of_any_position() {
        let dir = tempfile::tempdir().expect("directory");
        let path = dir.path().join("a.npz");
        let values: Vec<u8> = (0..36).collect();
        write(
            &path,
            &[
                ("test_images", &[6, 2, 3], &values),
                ("test_labels", &[6, 1], &[0, 1, 1, 0, 0, 1]),
                ("val_images", &[2, 2, 3, 3], &values),
                ("val_labels", &[2, 3], &[0, 0, 0, 1, 0, 1]),
            ],
        );
        let arrays = ImageArrays::default();
        let file: Arc<Path> = path.as_path().into();
        let grey = arrays.pixels(&file, &"test_images".into(), 5).expect("decoded");
        assert_eq!((grey.width, grey.height), (3, 2));
        assert_eq!(grey.rgb, (30..36).flat_map(|value| [value; 3]).collect::<Vec<u8>>());
        let color = arrays.pixels(&file, &"val_images".into(), 1).expect("decoded");
        assert_eq!((color.width, color.height, color.rgb), (3, 2, (18..36).collect()));
        let error = arrays.pixels(&file, &"val_images".into(), 2).expect_err("no such image").to_string();
        assert!(error.ends_with("a.npz: `val_images` has 2 images, not 3"), "{error}");

        let labels = |key: &str| -> Vec<Value> {
            rows(&path, key).expect("rows").rows.into_iter().map(|row| row.cells["label"].clone()).collect()
        };
        assert_eq!(labels("test"), [0, 1, 1, 0, 0, 1]);
        assert_eq!(labels("val"), [serde_json::json!([]), serde_json::json!([0, 2])]);
    }

    #[test]
    fn arrays_that_do_not_fit_are_refused() {
        let error = failure(&[("tset_images", &[1, 1, 1], &[0]), ("test_labels", &[1, 1], &[0])]);
        assert_eq!(error, "a.npz: has no array `test_images`; did you mean `tset_images`?");
        let error = failure(&[("test_images", &[1, 2], &[0, 0]), ("test_labels", &[1, 1], &[0])]);
        assert_eq!(error, "a.npz: `test_images` has shape [1, 2], not [N, H, W] or [N, H, W, 3]");
        let error = failure(&[("test_images", &[1, 1, 1], &[0]), ("test_labels", &[2, 1], &[0, 0])]);
        assert_eq!(error, "a.npz: 1 images have labels of shape [2, 1]");
        let error = failure(&[("test_images", &[1, 0, 4], &[]), ("test_labels", &[1, 1], &[0])]);
        assert_eq!(error, "a.npz: `test_images` holds images of 4 x 0 pixels");
    }

    #[test]
    fn what_is_no_archive_is_refused() {
        let dir = tempfile::tempdir().expect("directory");
        let path = dir.path().join("a.npz");
        std::fs::write(&path, "no archive").expect("written");
        let error = rows(&path, "test").expect_err("refused").to_string();
        assert!(error.contains("a.npz: invalid NumPy archive: "), "{error}");
    }
}
