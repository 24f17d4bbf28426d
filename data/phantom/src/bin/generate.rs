//! Writes the bundled data set: `cargo run --release -p phantom --bin generate [FILE]`.

use std::path::PathBuf;

use anyhow::{Context, Result};

fn main() -> Result<()> {
    let bundled = || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("phantom.parquet");
    let path = std::env::args_os().nth(1).map_or_else(bundled, PathBuf::from);
    std::fs::write(&path, phantom::table()?).with_context(|| format!("cannot write {}", path.display()))
}
