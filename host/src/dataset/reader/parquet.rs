//! Parquet through its record interface: rows without their images, and images by row group.

use std::{
    collections::VecDeque,
    fs::File,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use ::parquet::{
    data_type::ByteArray,
    errors::ParquetError,
    file::reader::{FileReader, SerializedFileReader},
    record::{Field, Row as Record},
    schema::types::{Type, TypePtr},
};
use serde_json::{Map, Value};

use super::{ImageRef, Place, Row, Table};
use crate::error::{Error, Result, suggest};

/// Row groups of images that stay in memory.
const KEPT_GROUPS: usize = 4;

/// Every column but the image's; an image column with text keeps its paths.
pub fn rows(path: &Path, image_column: Option<&str>) -> Result<Table> {
    let reader = open(path)?;
    let schema = reader.metadata().file_metadata().schema();
    let held = match image_column {
        Some(name) => holds_bytes(column(path, schema, name)?).then_some(name),
        None => None,
    };
    let kept: Vec<TypePtr> = schema.get_fields().iter().filter(|field| Some(field.name()) != held).cloned().collect();
    let columns: Vec<String> = kept.iter().map(|field| field.name().to_string()).collect();
    let rows = match kept.is_empty() {
        true => vec![Row::default(); usize::try_from(reader.metadata().file_metadata().num_rows()).unwrap_or_default()],
        false => records(path, &reader, None, kept)?.into_iter().map(cells).collect(),
    };
    let mut table = Table::new(path, columns, rows);
    if let Some(held) = held {
        let (file, column): (Arc<Path>, Arc<str>) = (path.into(), held.into());
        for (row, number) in table.rows.iter_mut().zip(0..) {
            let place = Place::Parquet { file: file.clone(), column: column.clone(), row: number };
            row.images = vec![ImageRef(place)];
        }
    }
    Ok(table)
}

/// The encoded images of the row groups used last.
#[derive(Debug, Default)]
pub struct ImageColumns {
    groups: Mutex<VecDeque<Arc<Group>>>,
}

#[derive(Debug)]
struct Group {
    file: Arc<Path>,
    column: Arc<str>,
    first_row: u64,
    images: Vec<Option<ByteArray>>,
}

impl ImageColumns {
    /// The encoded image of one row. Readers of one row group wait for a single load of it.
    pub fn bytes(&self, file: &Arc<Path>, column: &Arc<str>, row: u64) -> Result<ByteArray> {
        let mut groups = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
        let group = match groups.iter().find(|group| group.image(file, column, row).is_some()) {
            Some(group) => group.clone(),
            None => {
                let group = Arc::new(Group::load(file, column, row)?);
                groups.truncate(KEPT_GROUPS - 1);
                groups.push_front(group.clone());
                group
            }
        };
        drop(groups);
        let image = group.image(file, column, row).cloned().flatten();
        image.ok_or_else(|| Error::invalid(file, format!("row {}: column `{column}` holds no image", row + 1)))
    }
}

impl Group {
    fn load(file: &Arc<Path>, column_name: &Arc<str>, row: u64) -> Result<Self> {
        let reader = open(file)?;
        let schema = reader.metadata().file_metadata().schema();
        let projection = vec![only_bytes(column(file, schema, column_name)?)];
        let mut first_row = 0;
        for (group, metadata) in reader.metadata().row_groups().iter().enumerate() {
            let rows = u64::try_from(metadata.num_rows()).unwrap_or_default();
            if row < first_row + rows {
                let records = records(file, &reader, Some(group), projection)?;
                let images = records.into_iter().map(image_bytes).collect();
                return Ok(Self { file: file.clone(), column: column_name.clone(), first_row, images });
            }
            first_row += rows;
        }
        Err(Error::invalid(file, format!("has {first_row} rows, not {}", row + 1)))
    }

    fn image(&self, file: &Arc<Path>, column: &Arc<str>, row: u64) -> Option<&Option<ByteArray>> {
        let held = &self.file == file && &self.column == column;
        let position = usize::try_from(row.checked_sub(self.first_row)?).ok()?;
        self.images.get(position).filter(|_| held)
    }
}

fn open(path: &Path) -> Result<SerializedFileReader<File>> {
    let file = File::open(path).map_err(Error::io(path))?;
    SerializedFileReader::new(file).map_err(broken(path))
}

fn broken(path: &Path) -> impl Fn(ParquetError) -> Error {
    move |e| Error::invalid(path, format!("invalid parquet file: {e}"))
}

fn column<'a>(path: &Path, schema: &'a Type, name: &str) -> Result<&'a TypePtr> {
    schema.get_fields().iter().find(|field| field.name() == name).ok_or_else(|| {
        let hint = suggest(name, schema.get_fields().iter().map(|field| field.name()));
        Error::invalid(path, format!("has no column `{name}`{hint}"))
    })
}

/// Whether the column is `struct<bytes, …>` or plain bytes, not text.
fn holds_bytes(field: &Type) -> bool {
    use ::parquet::basic::{ConvertedType, LogicalType};
    let info = field.get_basic_info();
    let text =
        info.converted_type() == ConvertedType::UTF8 || matches!(info.logical_type_ref(), Some(LogicalType::String));
    field.is_group() || !text
}

/// The column reduced to its `bytes` member where it is a struct.
fn only_bytes(field: &TypePtr) -> TypePtr {
    if !field.is_group() {
        return field.clone();
    }
    let bytes = field.get_fields().iter().filter(|member| member.name() == "bytes").cloned().collect();
    let mut group = Type::group_type_builder(field.name()).with_fields(bytes);
    if field.get_basic_info().has_repetition() {
        group = group.with_repetition(field.get_basic_info().repetition());
    }
    group.build().map_or_else(|_| field.clone(), Arc::new)
}

fn records(
    path: &Path,
    reader: &SerializedFileReader<File>,
    group: Option<usize>,
    fields: Vec<TypePtr>,
) -> Result<Vec<Record>> {
    let name = reader.metadata().file_metadata().schema().name();
    let projection = Type::group_type_builder(name).with_fields(fields).build().map_err(broken(path))?;
    let records: std::result::Result<Vec<Record>, ParquetError> = match group {
        None => reader.get_row_iter(Some(projection)).map_err(broken(path))?.collect(),
        Some(group) => {
            let group = reader.get_row_group(group).map_err(broken(path))?;
            group.get_row_iter(Some(projection)).map_err(broken(path))?.collect()
        }
    };
    records.map_err(broken(path))
}

fn cells(record: Record) -> Row {
    Row { cells: object(record), ..Row::default() }
}

fn object(record: Record) -> Map<String, Value> {
    record.into_columns().into_iter().map(|(name, field)| (name, value(field))).collect()
}

fn value(field: Field) -> Value {
    match field {
        Field::Null | Field::Bytes(_) => Value::Null,
        Field::Bool(flag) => flag.into(),
        Field::Byte(n) => n.into(),
        Field::Short(n) => n.into(),
        Field::Int(n) => n.into(),
        Field::Long(n) => n.into(),
        Field::UByte(n) => n.into(),
        Field::UShort(n) => n.into(),
        Field::UInt(n) => n.into(),
        Field::ULong(n) => n.into(),
        Field::Float(x) => x.into(),
        Field::Double(x) => x.into(),
        Field::Str(text) => text.into(),
        Field::Group(record) => object(record).into(),
        Field::ListInternal(list) => list.elements().iter().cloned().map(value).collect::<Vec<_>>().into(),
        other => other.to_string().into(),
    }
}

fn image_bytes(record: Record) -> Option<ByteArray> {
    match record.into_columns().into_iter().next()?.1 {
        Field::Bytes(bytes) => Some(bytes),
        Field::Group(inner) => image_bytes(inner),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
