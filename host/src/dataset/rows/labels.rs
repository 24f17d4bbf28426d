//! The label rule: which classes of a diagnosis apply to a row, and of which the truth is unknown.

use std::collections::BTreeSet;

use super::{cell, same};
use crate::dataset::{
    Class, Diagnosis, Manifest, Uncertain,
    reader::{Row, texts_of},
};

/// What a row says of the classes, as ascending indices.
pub struct Labels {
    /// Those that apply.
    pub of: Vec<u32>,
    /// Those of which nobody knows.
    pub unknown: Vec<u32>,
}

/// The labels of a row under the policy for uncertain ones, or what is wrong with the row.
pub fn labels(manifest: &Manifest, rule: &Diagnosis, policy: Uncertain, row: &Row) -> Result<Labels, String> {
    match &rule.label {
        Some(column) => Ok(Labels { of: of_column(manifest, rule, row, column)?, unknown: Vec::new() }),
        None => Ok(of_own_columns(manifest, rule, policy, row)),
    }
}

fn of_column(manifest: &Manifest, rule: &Diagnosis, row: &Row, column: &str) -> Result<Vec<u32>, String> {
    let value = row.cells.get(column);
    let texts = value.map(texts_of).unwrap_or_default();
    if texts.is_empty() && !(rule.multi_label && value.is_some_and(serde_json::Value::is_array)) {
        let empty = manifest.classes.iter().position(|class| class.values.iter().any(|value| value.trim().is_empty()));
        let index = empty.and_then(|index| u32::try_from(index).ok());
        return index.map(|index| vec![index]).ok_or_else(|| format!("column `{column}` has no label"));
    }
    let class = |text: &String| {
        let found = manifest.classes.iter().zip(0u32..).find(|(class, index)| match class.values.is_empty() {
            true => text.parse() == Ok(*index),
            false => class.values.iter().any(|value| same(value, text)),
        });
        found.map(|(_, index)| index).ok_or_else(|| {
            let known = manifest.classes.iter().zip(0..).flat_map(|(class, index)| match class.values.is_empty() {
                true => vec![format!("{index}")],
                false => class.values.clone(),
            });
            let known = known.collect::<Vec<_>>().join(", ");
            format!("column `{column}` has `{text}`, which is no class (known: {known})")
        })
    };
    let indices: BTreeSet<u32> = texts.iter().map(class).collect::<Result<_, _>>()?;
    if indices.len() > 1 && !rule.multi_label {
        return Err(format!("column `{column}` has {} classes where one applies; is it `multi_label`?", indices.len()));
    }
    Ok(indices.into_iter().collect())
}

fn of_own_columns(manifest: &Manifest, rule: &Diagnosis, policy: Uncertain, row: &Row) -> Labels {
    let mut labels = Labels { of: Vec::new(), unknown: Vec::new() };
    for (class, index) in manifest.classes.iter().zip(0u32..) {
        let text = class.column.as_ref().and_then(|column| cell(row, column)).unwrap_or_default();
        let uncertain = rule.uncertain_values.iter().any(|value| same(value, &text));
        match (uncertain, policy) {
            (true, Uncertain::Ones) => labels.of.push(index),
            (true, Uncertain::Ignore) => labels.unknown.push(index),
            (true, Uncertain::Zeros) => {}
            (false, _) if applies(class, &text) => labels.of.push(index),
            (false, _) => {}
        }
    }
    labels
}

fn applies(class: &Class, text: &str) -> bool {
    match class.values.is_empty() {
        true => text.parse() == Ok(1.0),
        false => class.values.iter().any(|value| same(value, text)),
    }
}
