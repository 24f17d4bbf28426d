//! Columns made from others: minijinja templates over the columns of a row, each row by itself.
//!
//! A template sees the file's columns by name, as `row['No Finding']` where the name is no identifier, and as
//! `cells[-2]` by position, and the name of the file without extension as `table`. Further filters: `pad(n)` fills a
//! number with zeros from the left, `stem` cuts folders and extension off a path, `band(20, 40)` names the range that a
//! number lies in: `<20`, `20-39`, `40+`, and `bracketed(0)` gives what the first line with square brackets has in them.

use std::collections::BTreeMap;

use minijinja::{
    Environment, UndefinedBehavior, Value, context,
    value::{Rest, Serde},
};

use super::reader::Table;
use crate::error::{Error, Result};

/// Adds the columns to each row; with `lenient` a column that the file lacks reads as empty.
pub fn add(columns: &BTreeMap<String, String>, table: &mut Table, lenient: bool) -> Result<()> {
    if columns.is_empty() {
        return Ok(());
    }
    let mut environment = environment();
    environment.set_undefined_behavior(if lenient { UndefinedBehavior::Lenient } else { UndefinedBehavior::Strict });
    let file = Value::from(table.file.file_stem().unwrap_or_default().to_string_lossy());
    let broken = |name: &str, e: minijinja::Error| format!("column `{name}` of the manifest: {e}");
    let compiled = columns.iter().map(|(name, source)| {
        let template = environment.template_from_str(source);
        template.map(|template| (name, template)).map_err(|e| Error::invalid(&table.file, broken(name, e)))
    });
    let compiled = compiled.collect::<Result<Vec<_>>>()?;
    for (number, row) in table.rows.iter_mut().enumerate() {
        let by_name = Value::from(Serde(&row.cells));
        let by_position: Value = row.cells.values().map(|cell| Value::from(Serde(cell))).collect();
        let seen = context! { table => file.clone(), row => by_name.clone(), cells => by_position, ..by_name };
        for (name, template) in &compiled {
            let text = template
                .render(&seen)
                .map_err(|e| Error::invalid(&table.file, format!("row {}: {}", number + 1, broken(name, e))))?;
            row.cells.insert((*name).clone(), text.into());
        }
    }
    table.columns.extend(columns.keys().cloned());
    Ok(())
}

/// Whether a template can be read at all.
pub fn check(source: &str) -> std::result::Result<(), minijinja::Error> {
    environment().template_from_str(source).map(|_| ())
}

fn environment<'a>() -> Environment<'a> {
    let mut environment = Environment::new();
    environment.add_filter("pad", |text: String, width: usize| format!("{:0>width$}", text.trim()));
    environment.add_filter("stem", |path: String| stem(&path).to_string());
    environment.add_filter("bracketed", |text: String, number: usize| bracketed(&text, number).to_string());
    environment.add_filter("band", |text: Value, edges: Rest<f64>| band(&text.to_string(), &edges));
    environment
}

fn stem(path: &str) -> &str {
    let file = path.rsplit(['/', '\\']).next().unwrap_or(path);
    file.rsplit_once('.').map_or(file, |(stem, _)| stem)
}

/// What the line of that number, of those with a pair of square brackets, has between its outermost ones.
fn bracketed(text: &str, number: usize) -> &str {
    let between = |line: &'_ str| -> Option<(usize, usize)> {
        let (begin, end) = (line.find('[')? + 1, line.rfind(']')?);
        (begin <= end).then_some((begin, end))
    };
    let mut found = text.lines().filter_map(|line| between(line).map(|(begin, end)| line[begin..end].trim()));
    found.nth(number).unwrap_or_default()
}

/// The range of a number between ascending edges; nothing for what is no number.
fn band(text: &str, edges: &[f64]) -> String {
    let (Some(number), [first, .., last]) = (text.trim().parse::<f64>().ok().filter(|n| n.is_finite()), edges) else {
        return String::new();
    };
    match edges.iter().rposition(|edge| number >= *edge) {
        None => format!("<{first}"),
        Some(position) => match edges.get(position + 1) {
            Some(next) => format!("{}-{}", edges[position], next - 1.0),
            None => format!("{last}+"),
        },
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::dataset::reader::Row;

    fn table(cells: serde_json::Value) -> Table {
        let serde_json::Value::Object(cells) = cells else { panic!("an object") };
        let columns: Vec<String> = cells.keys().cloned().collect();
        Table::new(std::path::Path::new("a.csv"), columns, vec![Row { cells, ..Row::default() }])
    }

    fn one(source: &str, cells: serde_json::Value, lenient: bool) -> Result<String> {
        let mut table = table(cells);
        add(&[("new".to_string(), source.to_string())].into(), &mut table, lenient)?;
        assert!(table.columns.contains("new"));
        Ok(table.rows[0].cells["new"].as_str().expect("text").to_string())
    }

    #[test]
    fn columns_by_name_and_position() {
        let cells = || json!({"patient": "4", "No Finding": "1.0", "last": "drishtiGS_001'"});
        assert_eq!(one("p_{{ patient|pad(3) }}.png", cells(), false).expect("made"), "p_004.png");
        assert_eq!(one("{{ row['No Finding'] }}", cells(), false).expect("made"), "1.0");
        assert_eq!(one("{{ cells[-1][:-1] }} {{ cells[1] }}", cells(), false).expect("made"), "drishtiGS_001 1.0");
        assert_eq!(one("{{ 'a/b.c.jpg'|stem }}", cells(), false).expect("made"), "b.c");
        let error = one("{{ absent|pad(3) }}", cells(), false).expect_err("no such column").to_string();
        assert!(error.starts_with("a.csv: row 1: column `new` of the manifest: undefined"), "{error}");
        assert_eq!(one("{{ absent|band(1, 2) }}{{ absent }}", cells(), true).expect("made"), "");
    }

    #[test]
    fn bracketed_lines_are_found_by_number() {
        let reply = "Sure!\n[What is the cup-to-disc ratio?]\n1. [0.7 [large]]\n\nQ: [ Is it enlarged? ]\n] [\n[]";
        let of = |number: usize| one(&format!("{{{{ reply|bracketed({number}) }}}}"), json!({ "reply": reply }), false);
        let found = [0, 1, 2, 3, 4].map(|number| of(number).expect("made"));
        assert_eq!(found, ["What is the cup-to-disc ratio?", "0.7 [large]", "Is it enlarged?", "", ""]);
    }

    #[test]
    fn bands_name_the_range_of_a_number() {
        let of = |age: &str| one("{{ age|band(18, 40, 60) }}", json!({ "age": age }), false).expect("made");
        let found = ["0", "17.9", "18", " 39.5", "40.0", "59", "60", "101", "", "NaN", "old"].map(of);
        assert_eq!(found, ["<18", "<18", "18-39", "18-39", "40-59", "40-59", "60+", "60+", "", "", ""]);
    }
}
