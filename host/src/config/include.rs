//! Suites that build on others, and values that a command line replaces.
//!
//! `include = ["base.toml"]` reads those files first, in order; what a file says itself counts more. Tables are joined
//! key by key, a `[[dataset]]` of the same `id` and `task` (and `split`, where both name one) is changed and any other is
//! added, an `[[exclude]]` or `[[allow_leak]]` is added, and every other list replaces the one before.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use toml::{Table, Value};

use super::Suite;
use crate::error::{Error, Result, read_toml};

/// The suite of a file with what it includes, changed by `KEY=VALUE` overrides. Its paths lead from the working directory.
pub(super) fn read(path: &Path, overrides: &[String]) -> Result<Suite> {
    let mut table = with_included(path, &mut Vec::new())?;
    for text in overrides {
        join(&mut table, parse_override(text)?);
    }
    Suite::deserialize(table).map_err(|e| Error::invalid(path, e.message().trim().replace('\n', " ")))
}

fn with_included(path: &Path, above: &mut Vec<PathBuf>) -> Result<Table> {
    let here = path.canonicalize().map_err(Error::io(path))?;
    if above.contains(&here) {
        return Err(Error::invalid(path, "includes itself"));
    }
    // Read once as a suite, because that names the line of a wrong key.
    let suite: Suite = read_toml(path)?;
    let mut own: Table = read_toml(path)?;
    own.remove("include");
    let base = path.parent().unwrap_or(Path::new("."));
    localize(&mut own, base);
    above.push(here);
    let mut table = Table::new();
    for included in &suite.include {
        join(&mut table, with_included(&base.join(included), above)?);
    }
    above.pop();
    // A suite that builds on another is another suite.
    table.remove("name");
    join(&mut table, own);
    Ok(table)
}

/// Makes the paths of a table relative to the working directory rather than to the file's own.
fn localize(table: &mut Table, base: &Path) {
    let local = |value: &mut Value| {
        if let Value::String(path) = value {
            *path = base.join(&*path).to_string_lossy().into_owned();
        }
    };
    table.get_mut("published").into_iter().for_each(local);
    table.get_mut("weights").and_then(Value::as_table_mut).into_iter().flatten().for_each(|(_, dir)| local(dir));
    let datasets = table.get_mut("dataset").and_then(Value::as_array_mut).into_iter().flatten();
    datasets.filter_map(|dataset| dataset.get_mut("root")).for_each(local);
}

/// Joins what counts more to a table.
fn join(table: &mut Table, more: Table) {
    for (key, value) in more {
        match (table.get_mut(&key), value) {
            (Some(Value::Table(old)), Value::Table(new)) => join(old, new),
            (Some(Value::Array(old)), Value::Array(new)) if key == "exclude" || key == "allow_leak" => old.extend(new),
            (Some(Value::Array(old)), Value::Array(new)) if key == "dataset" => {
                for dataset in new {
                    join_dataset(old, dataset);
                }
            }
            (_, value) => {
                table.insert(key, value);
            }
        }
    }
}

fn join_dataset(datasets: &mut Vec<Value>, new: Value) {
    let other_split = |old: &Value| matches!((old.get("split"), new.get("split")), (Some(a), Some(b)) if a != b);
    let same = |old: &&mut Value| ["id", "task"].iter().all(|key| old.get(*key) == new.get(*key)) && !other_split(old);
    match (datasets.iter_mut().find(same), new) {
        (Some(Value::Table(old)), Value::Table(new)) => join(old, new),
        (_, new) => datasets.push(new),
    }
}

/// `bootstrap.resamples=200` as a table; what is no TOML value is a string.
fn parse_override(text: &str) -> Result<Table> {
    let wrong = || Error::usage(format!("--set {text}: expected KEY=VALUE, such as limit=100 or 'seeds=[0, 1]'"));
    let (key, value) = text.split_once('=').ok_or_else(wrong)?;
    let quoted = Value::String(value.into());
    let parse = |value: &str| format!("{key} = {value}").parse::<Table>();
    parse(value).or_else(|_| parse(&quoted.to_string())).map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(files: &[(&str, &str)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().expect("temporary directory");
        for (name, text) in files {
            std::fs::create_dir_all(dir.path().join(name).parent().expect("below")).expect("created");
            std::fs::write(dir.path().join(name), text).expect("written");
        }
        dir
    }

    #[test]
    fn a_suite_changes_what_it_includes() {
        let base = "models = ['a', 'b']\nseeds = [0, 1]\nweights.a = 'w'\n[[dataset]]\nid = 'x'\nroot = 'r'\nsplit = 'test'\n\
                    [[exclude]]\nmodels = ['a']\nreason = 'too large'\n";
        let own = "include = ['sub/base.toml']\nseeds = [7]\n[[dataset]]\nid = 'x'\ntrain = 'all'\n\
                   [[dataset]]\nid = 'x'\nsplit = 'other'\nlabels = 'no'\n";
        let own = own.replace("labels = 'no'", "usages = ['linear-probe']");
        let dir = files(&[("sub/base.toml", base), ("own.toml", &own)]);
        let suite =
            Suite::read_with(&dir.path().join("own.toml"), &["bootstrap.resamples=5".into(), "title=A b".into()]);
        let suite = suite.expect("valid");
        assert_eq!((suite.name.as_str(), suite.title.as_str()), ("own", "A b"));
        assert_eq!((suite.models.len(), suite.seeds.as_slice(), suite.bootstrap.resamples), (2, &[7][..], 5));
        assert_eq!(suite.weights["a"], dir.path().join("sub/w"));
        let datasets: Vec<(Option<PathBuf>, usize)> =
            suite.datasets.iter().map(|d| (d.root.clone(), d.usages.len())).collect();
        assert_eq!(datasets, [(Some(dir.path().join("sub/r")), 0), (None, 1)]);
        assert_eq!(suite.exclusions.len(), 1);
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        let dir = files(&[
            ("loop.toml", "include = ['loop.toml']\nmodels = ['a']\n"),
            ("base.toml", "modells = ['a']\n"),
            ("own.toml", "include = ['base.toml']\n"),
            ("good.toml", "models = ['a']\n[[dataset]]\nid = 'x'\n"),
        ]);
        let read = |name: &str, set: &str| {
            let set: Vec<String> = set.split_terminator(';').map(String::from).collect();
            Suite::read_with(&dir.path().join(name), &set).expect_err("refused").to_string()
        };
        assert!(read("loop.toml", "").ends_with("loop.toml: includes itself"));
        assert!(read("own.toml", "").ends_with("base.toml:1: unknown key `modells`; did you mean `models`?"));
        assert!(read("good.toml", "seeds").starts_with("--set seeds: expected KEY=VALUE"));
        assert!(read("good.toml", "sedes=[1]").contains("unknown field `sedes`"));
    }
}
