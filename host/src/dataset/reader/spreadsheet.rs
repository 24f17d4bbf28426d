//! The first sheet of an Excel file, as the table that it would be as CSV.

use std::path::Path;

use calamine::{Data, Reader, Xlsx, open_workbook};

use super::{Row, Table, text::column_names};
use crate::error::{Error, Result};

/// One row per line below the header; whole numbers lose their decimal point.
pub fn rows(path: &Path) -> Result<Table> {
    let broken = |e: calamine::XlsxError| Error::invalid(path, format!("invalid spreadsheet: {e}"));
    let mut workbook: Xlsx<_> = open_workbook(path).map_err(broken)?;
    let sheet = workbook.worksheet_range_at(0).ok_or_else(|| Error::invalid(path, "has no sheet"))?.map_err(broken)?;
    let mut lines = sheet.rows().map(|line| line.iter().map(text).collect::<Vec<String>>());
    let header = column_names(lines.next().unwrap_or_default().iter().map(String::as_str));
    let row = |line: Vec<String>| Row {
        cells: header.iter().cloned().zip(line.into_iter().map(Into::into)).collect(),
        ..Row::default()
    };
    let rows = lines.map(row).collect();
    Ok(Table::new(path, header, rows))
}

fn text(cell: &Data) -> String {
    match cell {
        Data::Float(number) if number.fract() == 0.0 => format!("{number:.0}"),
        cell => cell.to_string(),
    }
}
