//! Readers: files of any format become tables of rows, and image references become pixels.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::Arc,
};

use serde_json::{Map, Value};

use super::{Manifest, Pixels, Reader, decode_image};
use crate::error::{Error, Result, suggest};

mod folder;
mod npz;
mod parquet;
mod text;

/// The rows of one file.
#[derive(Debug)]
pub struct Table {
    /// The file, for error messages.
    pub file: PathBuf,
    /// Names that a manifest may use.
    pub columns: BTreeSet<String>,
    /// Rows in the order of the file.
    pub rows: Vec<Row>,
}

/// One row.
#[derive(Debug, Clone, Default)]
pub struct Row {
    /// Name by which the format itself knows the row.
    pub name: Option<String>,
    /// Values by column.
    pub cells: Map<String, Value>,
    /// The images.
    pub images: Vec<ImageRef>,
}

/// Where one image is; [`super::Dataset::pixels`] decodes it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ImageRef(Place);

#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Place {
    File(PathBuf),
    Parquet { file: Arc<Path>, column: Arc<str>, row: u64 },
    Npz { file: Arc<Path>, array: Arc<str>, index: u64 },
}

/// Decodes images; keeps what neighbouring images share.
#[derive(Debug, Default)]
pub struct Images {
    parquet: parquet::ImageColumns,
    npz: npz::ImageArrays,
}

/// Reads the tables of a split from its data files.
pub fn read(manifest: &Manifest, root: &Path, name: &str, files: &[PathBuf]) -> Result<Vec<Table>> {
    let key = manifest.split(name)?.key.as_deref().unwrap_or(name);
    let read = |file: &PathBuf| {
        let image_column = manifest.fields.image.as_deref();
        let mut table = match manifest.reader {
            Reader::Json => text::json(file, key),
            Reader::Jsonl => text::jsonl(file),
            Reader::Csv => text::csv(file),
            Reader::Parquet => parquet::rows(file, image_column),
            Reader::Npz => npz::rows(file, key),
            Reader::ImageFolder => folder::rows(file, root),
        }?;
        attach_image_files(&mut table, image_column, &root.join(&manifest.fields.image_folder))?;
        Ok(table)
    };
    files.iter().map(read).collect()
}

/// The text of a value without surrounding space; nothing for an empty one, `null`, a list or an object.
pub fn text_of(value: &Value) -> Option<String> {
    let text = match value {
        Value::String(text) => text.trim().to_string(),
        Value::Number(number) => number.to_string(),
        Value::Bool(flag) => flag.to_string(),
        Value::Null | Value::Array(_) | Value::Object(_) => String::new(),
    };
    Some(text).filter(|text| !text.is_empty())
}

/// The texts of a list, or of a single value.
pub fn texts_of(value: &Value) -> Vec<String> {
    match value {
        Value::Array(values) => values.iter().filter_map(text_of).collect(),
        value => text_of(value).into_iter().collect(),
    }
}

/// Rows whose format holds no images get them from the paths in the image column.
fn attach_image_files(table: &mut Table, column: Option<&str>, folder: &Path) -> Result<()> {
    let Some(column) = column else { return Ok(()) };
    for (number, row) in table.rows.iter_mut().enumerate().filter(|(_, row)| row.images.is_empty()) {
        if !table.columns.contains(column) {
            let hint = suggest(column, table.columns.iter().map(String::as_str));
            return Err(Error::invalid(&table.file, format!("has no column `{column}`{hint}")));
        }
        let paths = row.cells.get(column).map(texts_of).unwrap_or_default();
        if paths.is_empty() {
            return Err(Error::invalid(&table.file, format!("row {}: column `{column}` names no image", number + 1)));
        }
        row.images = paths.iter().map(|path| ImageRef(Place::File(folder.join(path)))).collect();
    }
    Ok(())
}

impl ImageRef {
    /// The path of an image that is a file of its own.
    pub fn file(&self) -> Option<&Path> {
        match &self.0 {
            Place::File(path) => Some(path),
            Place::Parquet { .. } | Place::Npz { .. } => None,
        }
    }
}

impl std::fmt::Display for ImageRef {
    /// The path, or the file with the position inside it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.0 {
            Place::File(path) => write!(f, "{}", path.display()),
            Place::Parquet { file, column, row } => write!(f, "{}[{column}][{row}]", file.display()),
            Place::Npz { file, array, index } => write!(f, "{}[{array}][{index}]", file.display()),
        }
    }
}

impl Images {
    /// Decodes one image.
    pub fn pixels(&self, image: &ImageRef) -> Result<Pixels> {
        match &image.0 {
            Place::File(path) => {
                decode_image(&std::fs::read(path).map_err(Error::io(path))?, &path.display().to_string())
            }
            Place::Parquet { file, column, row } => {
                decode_image(self.parquet.bytes(file, column, *row)?.data(), &image.to_string())
            }
            Place::Npz { file, array, index } => self.npz.pixels(file, array, *index),
        }
    }
}
