//! `medvlm doctor`: what could keep this machine from working, and what to do about it.

use std::{path::Path, process::Command};

use clap::Args;

use super::ModelArgs;
use crate::{
    config::SearchPath,
    dataset,
    error::{COMPLETE, INCOMPLETE, Result},
    model,
    run::{cache_dir, plan},
    scorer::{self, Engine, Grants, Scorer},
};

/// Arguments of `medvlm doctor`.
#[derive(Args)]
pub struct DoctorArgs {
    #[command(flatten)]
    place: ModelArgs,
}

/// One finding: `Err` says what is wrong and what to do.
type Finding = std::result::Result<String, String>;

impl DoctorArgs {
    /// Prints one line a finding.
    pub fn run(self, search: &SearchPath) -> Result<u8> {
        let mut findings: Vec<(&str, Finding)> = vec![
            ("program", Ok(format!("medvlm {} on {}", env!("CARGO_PKG_VERSION"), std::env::consts::ARCH))),
            ("threads", Ok(std::thread::available_parallelism().map_or(1, Into::into).to_string())),
            ("gpu", Ok(gpus())),
            ("cache", cache()),
        ];
        findings.extend(self.plugins(search)?);
        findings.extend(scorers(search)?);
        let datasets = dataset::Catalog::load(&search.datasets).map(|c| format!("{} manifests", c.iter().count()));
        findings.push(("datasets", datasets.map_err(|e| e.to_string())));
        let mut broken = 0;
        for (name, finding) in &findings {
            match finding {
                Ok(text) => println!("ok       {name}: {text}"),
                Err(text) => {
                    broken += 1;
                    println!("problem  {name}: {text}");
                }
            }
        }
        Ok(if broken == 0 { COMPLETE } else { INCOMPLETE })
    }

    fn plugins(&self, search: &SearchPath) -> Result<Vec<(&'static str, Finding)>> {
        let place = self.place.place()?;
        let catalog = match model::Catalog::load(&search.plugins) {
            Ok(catalog) => catalog,
            Err(e) => return Ok(vec![("plugin", Err(e.to_string()))]),
        };
        if catalog.plugins().is_empty() {
            return Ok(vec![("plugin", Err(nothing("plugin library", &search.plugins, "MEDVLM_PLUGIN_PATH")))]);
        }
        let finding = |plugin: &model::PluginFile| {
            let info = plan::probe(plugin, &place).map_err(|e| e.to_string())?;
            Ok(format!("{} {}, {} architectures", info.name, info.version, info.architectures.len()))
        };
        Ok(catalog.plugins().iter().map(|plugin| ("plugin", finding(plugin))).collect())
    }
}

fn scorers(search: &SearchPath) -> Result<Vec<(&'static str, Finding)>> {
    let engine = Engine::new(cache_dir().map(|dir| dir.join("scorers")))?;
    let catalog = match scorer::Catalog::load(&search.scorers) {
        Ok(catalog) => catalog,
        Err(e) => return Ok(vec![("scorer", Err(e.to_string()))]),
    };
    let finding = |path: &Path| {
        let scorer = Scorer::load_with(&engine, path, "{}", &Grants::idle(true, true)).map_err(|e| e.to_string())?;
        Ok(format!("{} {}", scorer.metadata().id, scorer.metadata().version))
    };
    let found: Vec<_> = catalog.iter().map(|(_, path)| ("scorer", finding(path))).collect();
    if found.is_empty() {
        return Ok(vec![("scorer", Err(nothing("scorer component", &search.scorers, "MEDVLM_SCORER_PATH")))]);
    }
    Ok(found)
}

fn nothing(what: &str, dirs: &[std::path::PathBuf], variable: &str) -> String {
    let dirs: Vec<String> = dirs.iter().map(|d| d.display().to_string()).collect();
    format!("no {what} in {}: run `cargo xtask build`, or set {variable}", dirs.join(", "))
}

fn gpus() -> String {
    match Command::new("nvidia-smi").args(["--query-gpu=name", "--format=csv,noheader"]).output() {
        Ok(output) if output.status.success() => {
            let names = String::from_utf8_lossy(&output.stdout);
            format!("{} (used by plugins that are built with CUDA)", names.trim().replace('\n', ", "))
        }
        _ => "none found; models run on the CPU".into(),
    }
}

fn cache() -> Finding {
    let dir =
        cache_dir().ok_or("no cache directory: set XDG_CACHE_HOME or HOME, or scorers are compiled every time")?;
    std::fs::create_dir_all(&dir).and_then(|()| tempfile::NamedTempFile::new_in(&dir)).map_err(|e| {
        format!("{} is not writable ({e}): scorers are compiled every time; set XDG_CACHE_HOME", dir.display())
    })?;
    Ok(dir.display().to_string())
}
