//! `medvlm list`.

use std::{collections::BTreeMap, path::Path};

use clap::{Args, ValueEnum};
use plugin_api::PluginInfo;
use rayon::prelude::*;
use serde_json::{Value, json};

use super::{TIMEOUT, worker_place};
use crate::{
    config::SearchPath,
    error::{COMPLETE, Result},
    model::{PluginFile, Row},
    run::{Catalogs, cache_dir, plan},
    scorer::{Engine, Grants, Scorer},
};

/// Arguments of `medvlm list`.
#[derive(Args)]
pub struct ListArgs {
    /// What to list
    kind: Kind,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Kind {
    Models,
    Datasets,
    Scorers,
    Plugins,
}

impl ListArgs {
    /// `medvlm data list` is `medvlm list datasets`.
    pub fn datasets(json: bool) -> Self {
        Self { kind: Kind::Datasets, json }
    }

    /// Prints the list.
    pub fn run(self, search: &SearchPath) -> Result<u8> {
        let catalogs = Catalogs::load(search)?;
        let (columns, rows) = match self.kind {
            Kind::Models => (MODEL.to_vec(), models(&catalogs)?),
            Kind::Datasets => (vec!["id", "tasks", "splits", "access", "licence", "title"], datasets(&catalogs)),
            Kind::Scorers => (vec!["id", "version", "tasks", "metrics", "file"], scorers(&catalogs)?),
            Kind::Plugins => (vec!["id", "models", "file"], plugins(&catalogs)),
        };
        if self.json {
            let objects: Vec<Value> = rows
                .iter()
                .map(|row| columns.iter().zip(row).map(|(c, v)| (c.to_string(), json!(v))).collect())
                .collect();
            println!("{}", Value::Array(objects));
        } else {
            print_table(&columns, &rows);
        }
        Ok(COMPLETE)
    }
}

const MODEL: [&str; 12] = [
    "id",
    "medvlmbench",
    "plugin",
    "architecture",
    "tasks",
    "usages",
    "parameters",
    "parity",
    "licence",
    "weights",
    "file",
    "title",
];

/// What the plugins' manifests say of their models, and what their libraries say that these can do.
fn models(catalogs: &Catalogs) -> Result<Vec<Vec<String>>> {
    let place = worker_place(TIMEOUT)?;
    let infos: BTreeMap<&Path, PluginInfo> = catalogs
        .models
        .plugins()
        .par_iter()
        .filter_map(|plugin| match plan::probe(plugin, &place) {
            Ok(info) => Some((plugin.library.as_path(), info)),
            Err(error) => {
                eprintln!("note: {error}");
                None
            }
        })
        .collect();
    let row = |(row, plugin): (&Row, &PluginFile)| {
        let weights = match &row.weights {
            Some(weights) => weights.clone(),
            None if row.obtain.is_empty() => "none".into(),
            None => "by hand".into(),
        };
        let architectures = infos.get(plugin.library.as_path()).map_or(&[][..], |info| &info.architectures);
        let offered = architectures.iter().find(|a| a.id == row.architecture).map_or(&[][..], |a| &a.capabilities);
        vec![
            row.id.clone(),
            row.medvlmbench.clone(),
            plugin.name.clone(),
            row.architecture.clone(),
            words(&row.tasks),
            words(&plan::usages(&row.tasks, offered)),
            parameters(row.parameters),
            plugin.parity.get(&row.architecture).cloned().unwrap_or_else(|| "not compared".into()),
            row.licence.clone(),
            weights,
            plugin.library.display().to_string(),
            row.title.clone(),
        ]
    };
    Ok(catalogs.models.models().map(row).collect())
}

fn words(words: &[impl ToString]) -> String {
    words.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}

/// `151M`, `4.3B`.
fn parameters(count: u64) -> String {
    match count {
        0 => String::new(),
        1_000_000_000.. => format!("{}B", count as f64 / 1e9),
        _ => format!("{}M", count as f64 / 1e6),
    }
}

fn datasets(catalogs: &Catalogs) -> Vec<Vec<String>> {
    let row = |m: &crate::dataset::Manifest| {
        let splits: Vec<&str> = m.splits.keys().map(String::as_str).collect();
        let access = serde_json::to_value(m.access).ok().and_then(|v| v.as_str().map(String::from)).unwrap_or_default();
        vec![m.id.clone(), words(&m.tasks()), splits.join(" "), access, m.licence.clone(), m.title.clone()]
    };
    catalogs.datasets.iter().map(row).collect()
}

fn scorers(catalogs: &Catalogs) -> Result<Vec<Vec<String>>> {
    let engine = Engine::new(cache_dir().map(|dir| dir.join("scorers")))?;
    let row = |(id, path): (&str, &std::path::Path)| {
        let scorer = Scorer::load_with(&engine, path, "{}", &Grants::idle(true, true))?;
        let about = scorer.metadata();
        let metrics: Vec<&str> = about.metrics.iter().map(|m| m.name.as_str()).collect();
        Ok(vec![id.into(), about.version.clone(), about.tasks.join(" "), metrics.join(" "), path.display().to_string()])
    };
    catalogs.scorers.iter().map(row).collect()
}

fn plugins(catalogs: &Catalogs) -> Vec<Vec<String>> {
    let row = |plugin: &PluginFile| {
        let of_plugin = catalogs.models.models().filter(|(_, p)| p.name == plugin.name);
        let models: Vec<&str> = of_plugin.map(|(row, _)| row.id.as_str()).collect();
        vec![plugin.name.clone(), models.join(" "), plugin.library.display().to_string()]
    };
    catalogs.models.plugins().iter().map(row).collect()
}

/// Aligned columns with a heading.
pub(super) fn print_table(columns: &[&str], rows: &[Vec<String>]) {
    let width = |i: usize| rows.iter().map(|r| r[i].chars().count()).chain([columns[i].len()]).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns.len()).map(width).collect();
    let line = |cells: Vec<&str>| {
        let padded: Vec<String> = cells.iter().zip(&widths).map(|(c, w)| format!("{c:w$}")).collect();
        println!("{}", padded.join("  ").trim_end());
    };
    line(columns.to_vec());
    for row in rows {
        line(row.iter().map(String::as_str).collect());
    }
}
