//! A small file in the layout of the Hugging Face hub, with several row groups.

use std::sync::Arc;

use ::parquet::{
    data_type::{ByteArrayType, Int64Type},
    file::{properties::WriterProperties, writer::SerializedFileWriter},
    schema::parser::parse_message_type,
};

use super::*;

const HUB: &str = "message m { optional group image { optional binary bytes; optional binary path (UTF8); } \
                   required binary id (UTF8); required int64 finding; }";
const PLAIN: &str = "message m { optional binary image; required binary id (UTF8); required int64 finding; }";

/// Two row groups of two rows; the image of the last row is missing.
fn write(path: &Path, schema: &str) {
    let hub = schema == HUB;
    let schema = Arc::new(parse_message_type(schema).expect("schema"));
    let file = File::create(path).expect("created");
    let mut writer =
        SerializedFileWriter::new(file, schema, Arc::new(WriterProperties::builder().build())).expect("writer");
    let bytes = |text: String| ByteArray::from(text.into_bytes());
    for group in 0..2u8 {
        let rows = [2 * group, 2 * group + 1];
        let levels: &[i16] = match (hub, group) {
            (true, 0) => &[2, 2],
            (true, _) => &[2, 0],
            (false, 0) => &[1, 1],
            (false, _) => &[1, 0],
        };
        let there = if group == 0 { &rows[..] } else { &rows[..1] };
        let mut writing = writer.next_row_group().expect("row group");
        let columns = if hub { &["bytes", "path", "id"][..] } else { &["bytes", "id"] };
        for column in columns {
            let mut column_writer = writing.next_column().expect("column").expect("column");
            let optional = *column != "id";
            let values: Vec<ByteArray> =
                if optional { there } else { &rows[..] }.iter().map(|row| bytes(format!("{column}-{row}"))).collect();
            let levels = optional.then_some(levels);
            column_writer.typed::<ByteArrayType>().write_batch(&values, levels, None).expect("written");
            column_writer.close().expect("closed");
        }
        let mut column_writer = writing.next_column().expect("column").expect("column");
        column_writer.typed::<Int64Type>().write_batch(&rows.map(i64::from), None, None).expect("written");
        column_writer.close().expect("closed");
        writing.close().expect("closed");
    }
    writer.close().expect("closed");
}

#[test]
fn rows_come_without_their_images_and_images_by_row_group() {
    for schema in [HUB, PLAIN] {
        let dir = tempfile::tempdir().expect("directory");
        let path = dir.path().join("a.parquet");
        write(&path, schema);
        let table = rows(&path, Some("image")).expect("rows");
        assert_eq!(table.columns, ["finding".to_string(), "id".to_string()].into());
        let ids: Vec<&Value> = table.rows.iter().map(|row| &row.cells["id"]).collect();
        assert_eq!(ids, ["id-0", "id-1", "id-2", "id-3"]);
        assert_eq!(table.rows[3].cells["finding"], 3);

        let images = ImageColumns::default();
        let (file, column): (Arc<Path>, Arc<str>) = (path.as_path().into(), "image".into());
        for row in [2, 0, 1, 2] {
            let bytes = images.bytes(&file, &column, row).expect("image");
            assert_eq!(bytes.data(), format!("bytes-{row}").as_bytes());
        }
        assert_eq!(images.groups.lock().expect("unlocked").len(), 2);
        let error = images.bytes(&file, &column, 3).expect_err("no image").to_string();
        assert!(error.ends_with("a.parquet: row 4: column `image` holds no image"), "{error}");
        let error = images.bytes(&file, &column, 4).expect_err("no row").to_string();
        assert!(error.ends_with("a.parquet: has 4 rows, not 5"), "{error}");
    }
}

#[test]
fn a_missing_column_and_a_damaged_file_are_named() {
    let dir = tempfile::tempdir().expect("directory");
    let path = dir.path().join("a.parquet");
    write(&path, HUB);
    let error = rows(&path, Some("imag")).expect_err("no column").to_string();
    assert!(error.ends_with("a.parquet: has no column `imag`; did you mean `image`?"), "{error}");
    let whole = std::fs::read(&path).expect("read");
    for length in [0, 3, whole.len() / 2, whole.len() - 1] {
        std::fs::write(&path, &whole[..length]).expect("written");
        let error = rows(&path, Some("image")).expect_err("truncated").to_string();
        assert!(error.contains("a.parquet: invalid parquet file: "), "{error}");
    }
}
