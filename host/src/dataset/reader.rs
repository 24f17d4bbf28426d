//! Readers: files of any format become tables of rows, and image references become pixels.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::Arc,
};

use serde_json::{Map, Value};

use super::{ArrayRule, DicomRule, Manifest, Pixels, Reader, Split, Views, columns, image, partition};
use crate::error::{Error, Result, suggest};

mod folder;
mod npz;
mod npz_image;
mod parquet;
mod spreadsheet;
mod text;

pub use text::csv;

/// What pandas reads as a missing value.
const MISSING: [&str; 19] = [
    "", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>", "N/A", "NA",
    "NULL", "NaN", "None", "n/a", "nan", "null",
];

/// The rows of one file.
#[derive(Debug)]
pub struct Table {
    /// The file, for error messages.
    pub file: PathBuf,
    /// Names that a manifest may use.
    pub columns: BTreeSet<String>,
    /// Rows in the order of the file.
    pub rows: Vec<Row>,
    /// Number of further rows, which name an image file that is not there, where the manifest leaves such rows out.
    pub skipped: usize,
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
    Array(PathBuf),
}

/// Decodes images; keeps what neighbouring images share.
#[derive(Debug, Default)]
pub struct Images {
    parquet: parquet::ImageColumns,
    npz: npz::ImageArrays,
    dicom: DicomRule,
    array: Option<ArrayRule>,
}

/// Reads the tables of a split from its data files, with the columns that the manifest makes.
pub fn read(manifest: &Manifest, root: &Path, name: &str, files: &[PathBuf]) -> Result<Vec<Table>> {
    let split = manifest.split(name)?;
    let key = split.key.as_deref().unwrap_or(name);
    let read = |file: &PathBuf| {
        let mut table = match manifest.reader {
            Reader::Json => text::json(file, key),
            Reader::Jsonl => text::jsonl(file),
            Reader::Csv | Reader::NpzPerImage => table_of(file),
            Reader::Parquet => parquet::rows(file, manifest.fields.image.as_deref()),
            Reader::Npz => npz::rows(file, key),
            Reader::ImageFolder => folder::rows(file, root),
        }?;
        if manifest.complete {
            table.rows.retain(|row| !row.cells.values().any(is_missing));
        }
        let columns = manifest.columns.iter().chain(&split.columns).map(|(name, text)| (name.clone(), text.clone()));
        columns::add(&columns.collect(), &mut table, split.optional)?;
        attach_image_files(&mut table, manifest, split, root)?;
        Ok(table)
    };
    let mut tables = files.iter().map(read).collect::<Result<Vec<_>>>()?;
    if !split.has_files() {
        partition::add(manifest, root, &mut tables)?;
    }
    Ok(tables)
}

fn table_of(file: &Path) -> Result<Table> {
    match file.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("xlsx")) {
        true => spreadsheet::rows(file),
        false => text::csv(file),
    }
}

/// Refuses a table that lacks one of the columns.
pub fn require<'a>(table: &Table, columns: impl IntoIterator<Item = &'a String>) -> Result<()> {
    match columns.into_iter().find(|column| !table.columns.contains(*column)) {
        Some(missing) => {
            let hint = suggest(missing, table.columns.iter().map(String::as_str));
            Err(Error::invalid(&table.file, format!("has no column `{missing}`{hint}")))
        }
        None => Ok(()),
    }
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

fn is_missing(value: &Value) -> bool {
    value.as_str().map_or(value.is_null(), |text| MISSING.contains(&text))
}

/// Rows whose format holds no images get them from the paths in the image column. Where the split has folders of its
/// own, rows without an image there are dropped; where the manifest skips missing images, rows that lack one are.
fn attach_image_files(table: &mut Table, manifest: &Manifest, split: &Split, root: &Path) -> Result<()> {
    let Some(column) = &manifest.fields.image else { return Ok(()) };
    let own = !split.image_folders.is_empty();
    let folders = if own { &split.image_folders } else { &manifest.fields.image_folders };
    let folders: Vec<PathBuf> = folders.iter().map(|folder| root.join(folder)).collect();
    if table.rows.iter().any(|row| row.images.is_empty()) {
        require(table, [column])?;
    }
    let first_only = split.images.unwrap_or(manifest.fields.images) == Views::First;
    for row in table.rows.iter_mut().filter(|row| row.images.is_empty()) {
        let mut paths = row.cells.get(column).map(texts_of).unwrap_or_default();
        paths.truncate(if first_only { 1 } else { usize::MAX });
        let place = |path: &String| {
            let file = in_folder(root, &folders, path);
            if manifest.array.is_some() { Place::Array(file) } else { Place::File(file) }
        };
        row.images = paths.iter().map(place).map(ImageRef).collect();
    }
    let files = |row: &Row| row.images.iter().filter_map(ImageRef::file).map(Path::is_file).collect::<Vec<_>>();
    if own {
        table.rows.retain(|row| files(row).contains(&true));
    }
    if manifest.fields.skip_missing {
        let before = table.rows.len();
        table.rows.retain(|row| !files(row).contains(&false));
        table.skipped = before - table.rows.len();
    }
    Ok(())
}

/// The path in the first folder that holds it; in the first of all where none does.
fn in_folder(root: &Path, folders: &[PathBuf], path: &str) -> PathBuf {
    match folders {
        [] => root.join(path),
        [only] => only.join(path),
        [first, ..] => {
            let found = folders.iter().map(|folder| folder.join(path)).find(|path| path.is_file());
            found.unwrap_or_else(|| first.join(path))
        }
    }
}

impl Table {
    /// A table of all rows of a file.
    pub fn new(file: &Path, columns: impl IntoIterator<Item = String>, rows: Vec<Row>) -> Self {
        Self { file: file.into(), columns: columns.into_iter().collect(), rows, skipped: 0 }
    }
}

impl ImageRef {
    /// The path of an image that is a file of its own.
    pub fn file(&self) -> Option<&Path> {
        match &self.0 {
            Place::File(path) | Place::Array(path) => Some(path),
            Place::Parquet { .. } | Place::Npz { .. } => None,
        }
    }
}

impl std::fmt::Display for ImageRef {
    /// The path, or the file with the position inside it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.0 {
            Place::File(path) | Place::Array(path) => write!(f, "{}", path.display()),
            Place::Parquet { file, column, row } => write!(f, "{}[{column}][{row}]", file.display()),
            Place::Npz { file, array, index } => write!(f, "{}[{array}][{index}]", file.display()),
        }
    }
}

impl Images {
    /// For the images of a dataset.
    pub fn new(manifest: &Manifest) -> Self {
        Self { dicom: manifest.dicom, array: manifest.array.clone(), ..Self::default() }
    }

    /// Decodes one image.
    pub fn pixels(&self, image: &ImageRef) -> Result<Pixels> {
        match &image.0 {
            Place::File(path) => {
                self.decode(&std::fs::read(path).map_err(Error::io(path))?, &path.display().to_string())
            }
            Place::Parquet { file, column, row } => {
                self.decode(self.parquet.bytes(file, column, *row)?.data(), &image.to_string())
            }
            Place::Npz { file, array, index } => self.npz.pixels(file, array, *index),
            Place::Array(path) => match &self.array {
                Some(rule) => npz_image::pixels(path, rule),
                None => Err(Error::invalid(path, "the manifest names no array for it")),
            },
        }
    }

    fn decode(&self, bytes: &[u8], name: &str) -> Result<Pixels> {
        image::decode_with(bytes, name, &self.dicom)
    }
}
