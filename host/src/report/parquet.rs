//! The predictions of a run as one Parquet file, a row each, for notebooks and databases.

use std::{io::Write, sync::Arc};

use ::parquet::{
    basic::{Compression, ConvertedType, Repetition, Type as Physical},
    data_type::{BoolType, ByteArray, ByteArrayType, DataType, DoubleType, Int64Type},
    errors::ParquetError,
    file::{properties::WriterProperties, writer::SerializedFileWriter},
    schema::types::Type,
};

use super::{CellReport, SampleReport};
use crate::error::{Error, Result};

/// Rows of a row group, which is what is held in memory.
const ROWS: usize = 10_000;

/// Writes the table.
///
/// Columns: `cell model dataset split task usage seed specialist in_domain index sample patient withheld question target
/// prediction confidence correct error probabilities`, then `score.<scorer>.<value>` and `group.<column>`.
pub struct SampleTable<W: Write + Send> {
    writer: SerializedFileWriter<W>,
    columns: Vec<Column>,
    scores: Vec<String>,
    groups: Vec<String>,
    rows: usize,
}

struct Column {
    name: String,
    values: Values,
    /// Definition levels; of an optional value 1, of an element of a list 2.
    defined: Vec<i16>,
    /// Repetition levels of a list.
    repeated: Vec<i16>,
}

enum Values {
    Text(Vec<ByteArray>),
    Integer(Vec<i64>),
    Number(Vec<f64>),
    Flag(Vec<bool>),
    List(Vec<f64>),
}

/// What one row has in one column.
enum Entry<'a> {
    Text(Option<&'a str>),
    Integer(i64),
    Number(Option<f64>),
    Flag(Option<bool>),
    List(&'a [f64]),
}

const TEXTS: [&str; 6] = ["cell", "model", "dataset", "split", "task", "usage"];

impl<W: Write + Send> SampleTable<W> {
    /// A table with a column for each score, named `scorer.value`, and for each group column, of which any cell has some.
    pub fn new(out: W, scores: Vec<String>, groups: Vec<String>) -> Result<Self> {
        let text = |name: &str| Column::new(name, Values::Text(Vec::new()));
        let number = |name: String| Column::new(&name, Values::Number(Vec::new()));
        let flag = |name: &str| Column::new(name, Values::Flag(Vec::new()));
        let integer = |name: &str| Column::new(name, Values::Integer(Vec::new()));
        let mut columns: Vec<Column> = TEXTS.map(text).into();
        columns.extend([integer("seed"), flag("specialist"), flag("in_domain"), integer("index")]);
        columns.extend([text("sample"), text("patient"), flag("withheld")]);
        columns.extend(["question", "target", "prediction"].map(text));
        columns.extend([number("confidence".into()), flag("correct"), text("error")]);
        columns.push(Column::new("probabilities", Values::List(Vec::new())));
        columns.extend(scores.iter().map(|score| number(format!("score.{score}"))));
        columns.extend(groups.iter().map(|group| text(&format!("group.{group}"))));
        let fields = columns.iter().map(Column::field).collect::<std::result::Result<Vec<_>, _>>().map_err(broken)?;
        let schema = Type::group_type_builder("samples").with_fields(fields).build().map_err(broken)?;
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(Default::default()))
            .set_created_by(concat!("medvlm ", env!("CARGO_PKG_VERSION")).into())
            .build();
        let writer = SerializedFileWriter::new(out, Arc::new(schema), Arc::new(properties)).map_err(broken)?;
        Ok(Self { writer, columns, scores, groups, rows: 0 })
    }

    /// Takes the next prediction of a cell.
    pub fn push(&mut self, cell: &CellReport, sample: &SampleReport) -> Result<()> {
        let (task, usage) = (cell.task.to_string(), cell.usage.to_string());
        let shown = |text: &'_ str| !sample.withheld || !text.is_empty();
        let confidence = sample.probabilities.iter().copied().reduce(f64::max);
        let mut entries = [&cell.id, &cell.model, &cell.dataset, &cell.split, &task, &usage]
            .map(|text| Entry::Text(Some(text.as_str())))
            .into_iter()
            .collect::<Vec<_>>();
        entries.extend([
            Entry::Integer(cell.seed as i64),
            Entry::Flag(Some(cell.specialist)),
            Entry::Flag(Some(cell.in_domain)),
            Entry::Integer(i64::from(sample.index)),
            Entry::Text(Some(&sample.id)),
            Entry::Text(sample.patient.as_deref()),
            Entry::Flag(Some(sample.withheld)),
            Entry::Text(sample.question.as_deref()),
            Entry::Text(Some(sample.target.as_str()).filter(|text| shown(text))),
            Entry::Text(Some(sample.prediction.as_str()).filter(|text| sample.error.is_none() && shown(text))),
            Entry::Number(confidence),
            Entry::Flag(sample.correct),
            Entry::Text(sample.error.as_deref()),
            Entry::List(&sample.probabilities),
        ]);
        let score = |name: &String| sample.scores.iter().find(|(known, _)| known == name).and_then(|(_, value)| *value);
        let group =
            |name: &String| sample.groups.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
        entries.extend(self.scores.iter().map(|name| Entry::Number(score(name))));
        entries.extend(self.groups.iter().map(|name| Entry::Text(group(name))));
        self.columns.iter_mut().zip(entries).for_each(|(column, entry)| column.push(entry));
        self.rows += 1;
        if self.rows == ROWS { self.flush() } else { Ok(()) }
    }

    /// Writes what is left, and the footer.
    pub fn finish(mut self) -> Result<W> {
        self.flush()?;
        self.writer.into_inner().map_err(broken)
    }

    fn flush(&mut self) -> Result<()> {
        if self.rows == 0 {
            return Ok(());
        }
        self.rows = 0;
        let mut group = self.writer.next_row_group().map_err(broken)?;
        for column in &mut self.columns {
            let mut writer =
                group.next_column().map_err(broken)?.ok_or_else(|| broken(ParquetError::EOF("column".into())))?;
            let (defined, repeated) = (std::mem::take(&mut column.defined), std::mem::take(&mut column.repeated));
            fn write<T: DataType>(
                writer: &mut ::parquet::file::writer::SerializedColumnWriter<'_>,
                values: &mut Vec<T::T>,
                defined: &[i16],
                repeated: Option<&[i16]>,
            ) -> Result<()> {
                writer.typed::<T>().write_batch(values, Some(defined), repeated).map_err(broken)?;
                values.clear();
                Ok(())
            }
            match &mut column.values {
                Values::Text(values) => write::<ByteArrayType>(&mut writer, values, &defined, None)?,
                Values::Integer(values) => write::<Int64Type>(&mut writer, values, &defined, None)?,
                Values::Number(values) => write::<DoubleType>(&mut writer, values, &defined, None)?,
                Values::Flag(values) => write::<BoolType>(&mut writer, values, &defined, None)?,
                Values::List(values) => write::<DoubleType>(&mut writer, values, &defined, Some(&repeated))?,
            }
            writer.close().map_err(broken)?;
        }
        group.close().map_err(broken)?;
        Ok(())
    }
}

impl Column {
    fn new(name: &str, values: Values) -> Self {
        Self { name: name.into(), values, defined: Vec::new(), repeated: Vec::new() }
    }

    /// Every column is optional, so that all are written alike.
    fn field(&self) -> std::result::Result<Arc<Type>, ParquetError> {
        let leaf = |name: &str, physical: Physical, converted: ConvertedType, repetition: Repetition| {
            let builder = Type::primitive_type_builder(name, physical).with_converted_type(converted);
            builder.with_repetition(repetition).build().map(Arc::new)
        };
        let plain = |physical| leaf(&self.name, physical, ConvertedType::NONE, Repetition::OPTIONAL);
        match self.values {
            Values::Text(_) => leaf(&self.name, Physical::BYTE_ARRAY, ConvertedType::UTF8, Repetition::OPTIONAL),
            Values::Integer(_) => plain(Physical::INT64),
            Values::Number(_) => plain(Physical::DOUBLE),
            Values::Flag(_) => plain(Physical::BOOLEAN),
            Values::List(_) => {
                let element = leaf("element", Physical::DOUBLE, ConvertedType::NONE, Repetition::REQUIRED)?;
                let list = Type::group_type_builder("list").with_repetition(Repetition::REPEATED);
                let list = Arc::new(list.with_fields(vec![element]).build()?);
                let outer = Type::group_type_builder(&self.name).with_repetition(Repetition::OPTIONAL);
                outer.with_converted_type(ConvertedType::LIST).with_fields(vec![list]).build().map(Arc::new)
            }
        }
    }

    fn push(&mut self, entry: Entry<'_>) {
        match (&mut self.values, entry) {
            (Values::Text(values), Entry::Text(text)) => {
                self.defined.push(i16::from(text.is_some()));
                values.extend(text.map(ByteArray::from));
            }
            (Values::Integer(values), Entry::Integer(value)) => {
                self.defined.push(1);
                values.push(value);
            }
            (Values::Number(values), Entry::Number(value)) => {
                self.defined.push(i16::from(value.is_some()));
                values.extend(value);
            }
            (Values::Flag(values), Entry::Flag(value)) => {
                self.defined.push(i16::from(value.is_some()));
                values.extend(value);
            }
            (Values::List(values), Entry::List(list)) => {
                let levels = if list.is_empty() { 1 } else { list.len() };
                self.defined.extend(std::iter::repeat_n(if list.is_empty() { 0 } else { 2 }, levels));
                self.repeated.extend((0..levels).map(|i| i16::from(i > 0)));
                values.extend_from_slice(list);
            }
            // The entries of a row are listed in the order of the columns.
            _ => debug_assert!(false, "column {} is given another kind of entry", self.name),
        }
    }
}

fn broken(e: ParquetError) -> Error {
    Error::failed(format!("the table of samples: {e}"))
}

#[cfg(test)]
mod tests {
    use ::parquet::{
        file::reader::{FileReader, SerializedFileReader},
        record::RowAccessor,
    };

    use super::*;
    use crate::report::example;

    fn table(rows: usize) -> Vec<u8> {
        let report = example::report();
        let mut table =
            SampleTable::new(Vec::new(), vec!["accuracy.accuracy".into()], vec!["sex".into()]).expect("a table");
        let samples = example::samples(true);
        (0..rows).for_each(|row| table.push(&report.cells[1], &samples[row % samples.len()]).expect("taken"));
        table.finish().expect("written")
    }

    fn opened(bytes: &[u8]) -> SerializedFileReader<std::fs::File> {
        let mut file = tempfile::tempfile().expect("a file");
        file.write_all(bytes).expect("written");
        SerializedFileReader::new(file).expect("a table")
    }

    #[test]
    fn a_row_holds_what_is_known_of_a_prediction() {
        let bytes = table(3);
        assert_eq!(bytes, table(3), "the same bytes each time");
        let reader = opened(&bytes);
        let rows: Vec<_> = reader.get_row_iter(None).expect("rows").map(|row| row.expect("a row")).collect();
        let text: Vec<String> = rows.iter().map(ToString::to_string).collect();
        insta::assert_snapshot!(text.join("\n"));
        assert_eq!(rows[0].get_string(1).expect("text"), "clip-vit-b32");
    }

    #[test]
    fn rows_are_written_in_groups() {
        let reader = opened(&table(2 * ROWS + 1));
        let groups: Vec<i64> = reader.metadata().row_groups().iter().map(|group| group.num_rows()).collect();
        assert_eq!(groups, [ROWS as i64, ROWS as i64, 1]);
    }
}
