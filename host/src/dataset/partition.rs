//! Splits of datasets whose publisher gives none: by a rule of the manifest, or by a file that the user lays beside
//! the data. Both end as the column [`PART`] of each row.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use super::{
    Manifest, Partition, Rule,
    reader::{self, Row, Table},
    rows::cell,
};
use crate::error::{Error, Result};

mod mt19937;

use mt19937::{PythonRandom, RandomState};

/// The column with the part that a row belongs to.
pub const PART: &str = "part";

/// A file of this name in the root takes the place of the rule: columns `split`, and `id` or `path`.
const USER_FILE: &str = "splits.csv";

/// The units of each group, in the order of the rows.
type Groups = BTreeMap<String, Vec<String>>;

/// The user's own split of a copy, where there is one.
pub fn user_file(manifest: &Manifest, root: &Path) -> Option<PathBuf> {
    Some(root.join(USER_FILE)).filter(|file| manifest.partition.is_some() && file.is_file())
}

/// Adds the column `part` to the rows of a manifest with a partition. Rows that fail its conditions are in no part.
pub fn add(manifest: &Manifest, root: &Path, tables: &mut [Table]) -> Result<()> {
    let Some(partition) = &manifest.partition else { return Ok(()) };
    let parts = match user_file(manifest, root) {
        Some(file) => of_user(manifest, root, &file, tables)?,
        None => of_rule(manifest, partition, tables)?,
    };
    let rows = tables.iter_mut().flat_map(|table| {
        table.columns.insert(PART.into());
        &mut table.rows
    });
    for (row, part) in rows.zip(parts) {
        row.cells.insert(PART.into(), part.into());
    }
    Ok(())
}

fn of_rule(manifest: &Manifest, partition: &Partition, tables: &[Table]) -> Result<Vec<String>> {
    let wanted = [Some(&partition.unit), partition.group.as_ref()];
    for table in tables {
        reader::require(table, wanted.into_iter().flatten())?;
    }
    let rows: Vec<&Row> = tables.iter().flat_map(|table| &table.rows).collect();
    let kept = |row: &Row| manifest.filters.iter().all(|filter| filter.accepts(row));
    let mut groups: Groups = BTreeMap::new();
    let mut placed = BTreeSet::new();
    for row in rows.iter().filter(|row| kept(row)) {
        let Some(unit) = cell(row, &partition.unit) else { continue };
        let group = partition.group.as_ref().map_or(Some(String::new()), |column| cell(row, column));
        if let Some(group) = group.filter(|_| placed.insert(unit.clone())) {
            groups.entry(group).or_default().push(unit);
        }
    }
    let part_of = match partition.rule {
        Rule::FairMedFm => fair_med_fm(partition, groups),
        Rule::Python => python(partition, &groups),
        Rule::Seeded => seeded(partition, &groups),
    };
    let part = |row: &&Row| {
        let unit = cell(row, &partition.unit).filter(|_| kept(row))?;
        part_of.get(&unit).cloned()
    };
    Ok(rows.iter().map(|row| part(row).unwrap_or_default()).collect())
}

/// FairMedFM's rule: of each group the same number of units is held out, namely the test share of the smallest group,
/// by scikit-learn's `train_test_split(numpy.unique(units), test_size=n, random_state=seed)`.
fn fair_med_fm(partition: &Partition, mut groups: Groups) -> BTreeMap<String, String> {
    let smallest = groups.values().map(Vec::len).min().unwrap_or_default();
    let held_out = (test_share(partition) * smallest as f64).floor() as usize;
    let mut parts = BTreeMap::new();
    for units in groups.values_mut() {
        units.sort();
        let order = RandomState::new(partition.seed).permutation(units.len());
        parts.extend(hold_out(units, &order[..held_out]));
    }
    parts
}

/// The first units after Python's shuffle are the test part.
fn python(partition: &Partition, groups: &Groups) -> BTreeMap<String, String> {
    let units = groups.values().next().map(Vec::as_slice).unwrap_or_default();
    let held_out = (test_share(partition) * units.len() as f64).round() as usize;
    let order = PythonRandom::new(partition.seed).permutation(units.len());
    hold_out(units, &order[..held_out]).collect()
}

fn test_share(partition: &Partition) -> f64 {
    partition.parts.get("test").copied().unwrap_or_default()
}

/// Each unit with its part: those at the positions are the test part.
fn hold_out(units: &[String], positions: &[usize]) -> impl Iterator<Item = (String, String)> {
    let mut names = vec!["train"; units.len()];
    positions.iter().for_each(|position| names[*position] = "test");
    units.iter().cloned().zip(names.into_iter().map(String::from))
}

/// Units in the order of a digest of seed and name; each part takes its share. A further unit moves no other one far.
fn seeded(partition: &Partition, groups: &Groups) -> BTreeMap<String, String> {
    let mut parts = BTreeMap::new();
    for units in groups.values() {
        let digest = |unit: &&String| *blake3::hash(format!("{}\0{unit}", partition.seed).as_bytes()).as_bytes();
        let mut order: Vec<&String> = units.iter().collect();
        order.sort_by_cached_key(digest);
        let (mut share, mut begin) = (0.0, 0);
        for (part, size) in &partition.parts {
            share += size;
            let end = ((share * units.len() as f64).round() as usize).min(units.len());
            parts.extend(order[begin..end].iter().map(|unit| ((*unit).clone(), part.clone())));
            begin = end;
        }
    }
    parts
}

fn of_user(manifest: &Manifest, root: &Path, file: &Path, tables: &[Table]) -> Result<Vec<String>> {
    let given = reader::csv(file)?;
    let by_path = !given.columns.contains("id");
    let key = if by_path { "path" } else { "id" };
    reader::require(&given, [&key.to_string(), &"split".to_string()])?;
    let mut part_of: BTreeMap<String, (String, bool)> = BTreeMap::new();
    for row in &given.rows {
        if let (Some(name), Some(part)) = (cell(row, key), cell(row, "split")) {
            part_of.insert(name.replace('\\', "/"), (part, false));
        }
    }
    let names = |row: &Row| -> Vec<String> {
        if !by_path {
            return manifest.fields.id.as_ref().map_or(row.name.clone(), |id| cell(row, id)).into_iter().collect();
        }
        let path = row.images.first().and_then(|image| image.file());
        let inside = path.map(|path| path.strip_prefix(root).unwrap_or(path).to_string_lossy().replace('\\', "/"));
        let name = path.and_then(Path::file_name).map(|name| name.to_string_lossy().into_owned());
        inside.into_iter().chain(name).collect()
    };
    let parts: Vec<String> = tables
        .iter()
        .flat_map(|table| &table.rows)
        .map(|row| {
            let known = names(row).into_iter().find(|name| part_of.contains_key(name));
            let Some((part, used)) = known.and_then(|name| part_of.get_mut(&name)) else { return String::new() };
            *used = true;
            part.clone()
        })
        .collect();
    let mut unused = part_of.iter().filter(|(_, (_, used))| !used);
    match unused.next() {
        Some((name, _)) => Err(Error::invalid(
            file,
            format!("{} of its rows name no sample, the first is `{name}`", unused.count() + 1),
        )),
        None => Ok(parts),
    }
}

#[cfg(test)]
mod tests;
