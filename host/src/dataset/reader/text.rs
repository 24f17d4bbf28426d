//! Text formats: JSON, JSON lines, CSV and TSV.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use serde_json::{Map, Value};

use super::{Row, Table};
use crate::error::{Error, Result, suggest};

/// An array of objects, or the array that an object holds under `key`.
pub fn json(path: &Path, key: &str) -> Result<Table> {
    let text = read(path)?;
    let value: Value = serde_json::from_str(text.trim_start_matches('\u{feff}'))
        .map_err(|e| Error::invalid(at(path, e.line()), format!("invalid JSON: {e}")))?;
    let list = match value {
        Value::Object(mut members) => match members.remove(key) {
            Some(list) => list,
            None => {
                let hint = suggest(key, members.keys().map(String::as_str));
                return Err(Error::invalid(path, format!("the object has no list `{key}`{hint}")));
            }
        },
        list => list,
    };
    let Value::Array(values) = list else {
        return Err(Error::invalid(path, "expected a list of objects"));
    };
    let objects = values.into_iter().enumerate().map(|(i, value)| object(path, i + 1, value));
    Ok(table(path, objects.collect::<Result<_>>()?))
}

/// One object per line; empty lines are passed over.
pub fn jsonl(path: &Path) -> Result<Table> {
    let text = read(path)?;
    let lines = text.trim_start_matches('\u{feff}').lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let objects = lines.map(|(i, line)| {
        serde_json::from_str(line).map_err(|e| Error::invalid(at(path, i + 1), format!("expected a JSON object: {e}")))
    });
    Ok(table(path, objects.collect::<Result<_>>()?))
}

/// Values with a header line, separated by commas, or by tabs in a `.tsv` or `.tab`.
pub fn csv(path: &Path) -> Result<Table> {
    let text = read(path)?;
    let tab =
        path.extension().is_some_and(|extension| ["tsv", "tab"].iter().any(|tab| extension.eq_ignore_ascii_case(tab)));
    let mut reader = ::csv::ReaderBuilder::new()
        .delimiter(if tab { b'\t' } else { b',' })
        .from_reader(text.trim_start_matches('\u{feff}').as_bytes());
    let broken = |e: ::csv::Error| {
        let line = e.position().map_or(1, |position| position.line());
        Error::invalid(at(path, usize::try_from(line).unwrap_or_default()), format!("invalid table: {e}"))
    };
    let header = column_names(reader.headers().map_err(broken)?.iter());
    let objects = reader.records().map(|record| {
        let record = record.map_err(broken)?;
        Ok(header.iter().cloned().zip(record.iter().map(Value::from)).collect())
    });
    let rows = objects.collect::<Result<_>>()?;
    Ok(Table { columns: header.into_iter().collect(), ..table(path, rows) })
}

/// Names of columns without surrounding space; an empty or repeated one is called after its position, as `#2`.
pub fn column_names<'a>(header: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for (name, number) in header.map(str::trim).zip(1..) {
        let unusable = name.is_empty() || names.iter().any(|known| known == name);
        names.push(if unusable { format!("#{number}") } else { name.to_string() });
    }
    names
}

fn read(path: &Path) -> Result<String> {
    let bytes = std::fs::read(path).map_err(Error::io(path))?;
    String::from_utf8(bytes).map_err(|_| Error::invalid(path, "not UTF-8 text"))
}

fn object(path: &Path, number: usize, value: Value) -> Result<Map<String, Value>> {
    match value {
        Value::Object(object) => Ok(object),
        _ => Err(Error::invalid(path, format!("entry {number} is no object"))),
    }
}

fn table(path: &Path, objects: Vec<Map<String, Value>>) -> Table {
    let columns: BTreeSet<String> = objects.iter().flat_map(Map::keys).cloned().collect();
    let rows = objects.into_iter().map(|cells| Row { cells, ..Row::default() }).collect();
    Table::new(path, columns, rows)
}

fn at(path: &Path, line: usize) -> PathBuf {
    PathBuf::from(format!("{}:{line}", path.display()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(name: &str, content: impl AsRef<[u8]>, read: impl Fn(&Path) -> Result<Table>) -> Result<Table> {
        let dir = tempfile::tempdir().expect("directory");
        let path = dir.path().join(name);
        std::fs::write(&path, content).expect("written");
        read(&path)
    }

    fn broken(name: &str, content: &str, read: impl Fn(&Path) -> Result<Table>) -> String {
        let error = parse(name, content, read).expect_err("broken").to_string();
        error[error.find(name).expect("the file is named")..].to_string()
    }

    #[test]
    fn csv_keeps_quotes_line_breaks_and_tabs() {
        let table = parse("a.csv", "\u{feff}id, answer \n1,\"a, b\nc\"\n2,\n", csv).expect("valid");
        assert_eq!(table.rows[0].cells["answer"], "a, b\nc");
        assert_eq!(table.rows[1].cells["answer"], "");
        let table = parse("a.tsv", "id\tanswer\n1\ta,b\n", csv).expect("valid");
        assert_eq!(table.rows[0].cells["answer"], "a,b");
    }

    #[test]
    fn json_may_hold_its_lists_under_the_names_of_the_splits() {
        let text = r#"{"train": [], "test": [{"id": 7}]}"#;
        let table = parse("a.json", text, |path| json(path, "test")).expect("valid");
        assert_eq!(table.rows[0].cells["id"], 7);
        let error = broken("a.json", text, |path| json(path, "tset"));
        assert_eq!(error, "a.json: the object has no list `tset`; did you mean `test`?");
    }

    #[test]
    fn malformed_text_names_its_line() {
        let error = broken("a.jsonl", "{\"id\": 1}\n\n{\"id\": \n", jsonl);
        assert!(error.starts_with("a.jsonl:3: expected a JSON object: EOF"), "{error}");
        let error = broken("a.csv", "id,answer\n1,2\n1,2,3\n", csv);
        assert!(error.starts_with("a.csv:3: invalid table: "), "{error}");
        assert_eq!(broken("a.json", "[1]", |path| json(path, "test")), "a.json: entry 1 is no object");
    }

    proptest! {
        #[test]
        fn no_text_makes_a_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), text in "[\\[{}\\]\":,\t\n\r a-c0-9]{0,80}") {
            for content in [bytes.as_slice(), text.as_bytes()] {
                let _ = parse("a.csv", content, csv);
                let _ = parse("a.jsonl", content, jsonl);
                let _ = parse("a.json", content, |path| json(path, "test"));
            }
        }
    }
}
