//! `medvlm list`.

use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use crate::{
    config::SearchPath,
    error::{COMPLETE, Result},
    run::{Catalogs, cache_dir},
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
            Kind::Models => (vec!["id", "architecture", "plugin", "weights", "title"], models(&catalogs)),
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

fn models(catalogs: &Catalogs) -> Vec<Vec<String>> {
    let row = |(row, plugin): (&crate::model::Row, &crate::model::PluginFile)| {
        let weights =
            row.weights.clone().unwrap_or_else(|| if row.obtain.is_empty() { "none" } else { "by hand" }.into());
        vec![row.id.clone(), row.architecture.clone(), plugin.name.clone(), weights, row.title.clone()]
    };
    catalogs.models.models().map(row).collect()
}

fn datasets(catalogs: &Catalogs) -> Vec<Vec<String>> {
    let row = |m: &crate::dataset::Manifest| {
        let tasks: Vec<String> = m.tasks().iter().map(ToString::to_string).collect();
        let splits: Vec<&str> = m.splits.keys().map(String::as_str).collect();
        let access = serde_json::to_value(m.access).ok().and_then(|v| v.as_str().map(String::from)).unwrap_or_default();
        vec![m.id.clone(), tasks.join(" "), splits.join(" "), access, m.licence.clone(), m.title.clone()]
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
    let row = |plugin: &crate::model::PluginFile| {
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
