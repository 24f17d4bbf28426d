//! Builds the scorers of this repository for tests and benches.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

const SCORERS: [&str; 4] = ["accuracy", "auroc", "exact-match", "misbehave"];

/// The component of a scorer in `scorers/`, or of the example `wants_judge`.
pub fn component(name: &str) -> PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    let dir = BUILT.get_or_init(|| build(&SCORERS));
    match name {
        "wants_judge" => dir.join("examples/wants_judge.wasm"),
        _ => dir.join(format!("scorer_{}.wasm", name.replace('-', "_"))),
    }
}

/// Builds scorers by their names; returns the directory of the components.
pub fn build(scorers: &[&str]) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let packages = scorers.iter().flat_map(|name| ["-p".to_string(), format!("scorer-{name}")]);
    let status = Command::new(env::var_os("CARGO").unwrap_or("cargo".into()))
        .args(["build", "--quiet", "--profile", "scorer", "--target", "wasm32-wasip2", "--lib", "--examples"])
        .args(packages)
        .current_dir(&root)
        .status()
        .expect("cargo starts");
    assert!(status.success(), "the scorers do not build");
    let target = env::var_os("CARGO_TARGET_DIR").map_or(root.join("target"), |dir| root.join(dir));
    target.join("wasm32-wasip2/scorer")
}
