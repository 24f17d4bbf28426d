//! The bundled data set as one Parquet file in the layout of the Hugging Face hub.

use std::sync::Arc;

use anyhow::{Context, Result};
use parquet::basic::Compression;
use parquet::data_type::{ByteArray, ByteArrayType, Int64Type};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::parser::parse_message_type;
use rayon::prelude::*;

use crate::patient::{Modality, Patient, Split};
use crate::phantom::Phantom;
use crate::text::Words;

/// The whole file. It has the same bytes each time.
///
/// # Errors
/// Where a picture or the file cannot be encoded.
pub fn table() -> Result<Vec<u8>> {
    let rows = rows();
    let schema = Arc::new(parse_message_type(&schema())?);
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(Default::default()))
        .set_created_by("phantom".into())
        .set_key_value_metadata(Some(vec![KeyValue::new("huggingface".into(), features())]))
        .set_column_dictionary_enabled("image.bytes".into(), false)
        .build();
    let mut writer = SerializedFileWriter::new(Vec::new(), schema, Arc::new(properties))?;
    for rows in rows.chunks(ROWS_PER_GROUP) {
        let mut group = writer.next_row_group()?;
        write_group(&mut group, rows)?;
        group.close()?;
    }
    Ok(writer.into_inner()?)
}

/// Every bundled picture, in the order of the file: by modality, split, patient and picture.
pub fn rows() -> Vec<(Split, Phantom)> {
    let mut rows = Vec::new();
    for modality in Modality::ALL {
        for split in Split::ALL {
            for number in split.patients() {
                rows.extend(Patient::new(modality, number).phantoms().into_iter().map(|phantom| (split, phantom)));
            }
        }
    }
    rows
}

/// Few enough that a reader need not hold more than some hundred kilobytes to see one picture.
const ROWS_PER_GROUP: usize = 100;

/// One row but for its picture.
struct Row {
    split: Split,
    phantom: Phantom,
    words: Words,
}

/// What a column holds.
enum Column {
    Text(&'static str, fn(&Row) -> String),
    Number(&'static str, fn(&Row) -> i64),
}

/// The columns after the picture, in their order.
const COLUMNS: [Column; 17] = [
    Column::Text("id", |row| row.phantom.name()),
    Column::Text("patient", |row| row.phantom.patient.name()),
    Column::Text("split", |row| row.split.word().into()),
    Column::Text("modality", |row| row.phantom.patient.modality.word().into()),
    Column::Number("finding", |row| row.phantom.finding.is_some().into()),
    Column::Text("finding_name", |row| row.phantom.finding.map_or(NONE, |finding| finding.kind.name).into()),
    Column::Text("location", |row| row.phantom.finding.map_or(NONE, |finding| finding.place.name).into()),
    Column::Text("size", |row| row.phantom.finding.map_or(NONE, |finding| finding.size.word()).into()),
    Column::Number("count", |row| row.phantom.finding.map_or(0, |finding| finding.count as i64)),
    Column::Text("sex", |row| row.phantom.patient.sex.word().into()),
    Column::Number("age", |row| row.phantom.patient.age.into()),
    Column::Text("age_group", |row| row.phantom.patient.age_group().into()),
    Column::Text("closed_question", |row| row.words.closed_question.clone()),
    Column::Text("closed_answer", |row| if row.words.closed_answer { "yes" } else { "no" }.into()),
    Column::Text("open_question", |row| row.words.open_question.clone()),
    Column::Text("open_answer", |row| row.words.open_answer.clone()),
    Column::Text("report", |row| row.words.report.clone()),
];

const NONE: &str = "none";

fn schema() -> String {
    let columns: String = COLUMNS
        .iter()
        .map(|column| match column {
            Column::Text(name, _) => format!("required binary {name} (UTF8); "),
            Column::Number(name, _) => format!("required int64 {name}; "),
        })
        .collect();
    let image = "required group image { required binary bytes; required binary path (UTF8); }";
    format!("message schema {{ {image} {columns} }}")
}

/// Tells the `datasets` library that the first column holds pictures.
fn features() -> String {
    let mut features = serde_json::Map::new();
    features.insert("image".into(), serde_json::json!({ "_type": "Image" }));
    for column in &COLUMNS {
        let (name, kind) = match column {
            Column::Text(name, _) => (name, "string"),
            Column::Number(name, _) => (name, "int64"),
        };
        features.insert((*name).into(), serde_json::json!({ "dtype": kind, "_type": "Value" }));
    }
    serde_json::json!({ "info": { "features": features } }).to_string()
}

fn write_group(group: &mut SerializedRowGroupWriter<Vec<u8>>, rows: &[(Split, Phantom)]) -> Result<()> {
    let pictures = rows.par_iter().map(|(_, phantom)| phantom.jpeg()).collect::<Result<Vec<_>>>()?;
    let rows: Vec<Row> = rows.iter().map(|&(split, phantom)| Row { split, phantom, words: phantom.words() }).collect();
    let pictures: Vec<ByteArray> = pictures.into_iter().map(ByteArray::from).collect();
    write::<ByteArrayType>(group, &pictures)?;
    write::<ByteArrayType>(group, &texts(&rows, |row| format!("{}.jpg", row.phantom.name())))?;
    for column in &COLUMNS {
        match column {
            Column::Text(_, value) => write::<ByteArrayType>(group, &texts(&rows, value))?,
            Column::Number(_, value) => write::<Int64Type>(group, &rows.iter().map(value).collect::<Vec<_>>())?,
        }
    }
    Ok(())
}

fn texts(rows: &[Row], value: impl Fn(&Row) -> String) -> Vec<ByteArray> {
    rows.iter().map(|row| ByteArray::from(value(row).into_bytes())).collect()
}

fn write<T: parquet::data_type::DataType>(
    group: &mut SerializedRowGroupWriter<Vec<u8>>,
    values: &[T::T],
) -> Result<()> {
    let mut column = group.next_column()?.context("the schema has fewer columns than the table")?;
    column.typed::<T>().write_batch(values, None, None)?;
    Ok(column.close()?)
}
