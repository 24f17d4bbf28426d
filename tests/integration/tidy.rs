//! Reads the tree and fails when it loses its shape. Every violation is listed, not only the first.

use std::{
    collections::{BTreeMap, BTreeSet},
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use serde_json::Value;

mod imports;
mod invariants;

/// Longest Rust source file, tests included.
const MAX_LINES: usize = 400;
/// Longest plugin contract: it is read by everyone who adds a model.
const MAX_CONTRACT_LINES: usize = 150;

#[test]
fn files_are_short() {
    let mut tree = Tree::read();
    for file in tree.files_with(&["rs"]) {
        let limit = if file.path == "plugin-api/src/model.rs" { MAX_CONTRACT_LINES } else { MAX_LINES };
        let lines = file.text.lines().count();
        tree.check(lines <= limit, || format!("{}: {lines} lines, {limit} at most", file.path));
    }
    tree.verdict();
}

#[test]
fn files_are_named_after_what_they_hold() {
    let mut tree = Tree::read();
    for file in tree.files_with(&["rs"]) {
        let path = Path::new(&file.path);
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        let vague = ["mod", "util", "utils", "common", "misc", "helper", "helpers"];
        tree.check(!vague.contains(&&*stem), || format!("{}: `{stem}` says nothing about what it holds", file.path));
        let lower = stem.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
        tree.check(lower, || format!("{}: file names are snake_case", file.path));
        let Some(folder) = path.parent() else { continue };
        let face = folder.with_extension("rs");
        tree.check(tree.holds_crate_roots(folder) || tree.root.join(&face).exists(), || {
            format!("{}: a folder of modules stands beside {}, which is missing", file.path, face.display())
        });
    }
    tree.verdict();
}

#[test]
fn packages_are_named_after_their_folders() {
    let mut tree = Tree::read();
    for (name, manifest) in packages() {
        let folder = manifest.parent().and_then(Path::file_name).unwrap_or_default().to_string_lossy().into_owned();
        let parent = manifest.parent().and_then(Path::parent).and_then(Path::file_name).unwrap_or_default();
        let expected = match (parent.to_string_lossy().as_ref(), folder.as_str()) {
            (_, "chat") | ("plugins", "blocks" | "bridge") => folder.clone(),
            ("plugins", _) => format!("plugin-{folder}"),
            ("scorers", _) => format!("scorer-{folder}"),
            _ => continue,
        };
        tree.check(name == expected, || format!("{}: package `{name}` should be `{expected}`", manifest.display()));
    }
    tree.verdict();
}

#[test]
fn host_imports_point_down() {
    let mut tree = Tree::read();
    for file in tree.files_below("host/src/") {
        for violation in imports::violations(&file.path, &file.text) {
            tree.check(false, || violation);
        }
    }
    tree.verdict();
}

#[test]
fn only_the_command_line_prints() {
    let mut tree = Tree::read();
    let doors = ["io::stdout", "io::stderr", "clippy::print_stdout", "clippy::print_stderr"];
    for file in tree.files_below("host/src/").into_iter().filter(|f| !f.path.starts_with("host/src/cli")) {
        for door in doors.iter().filter(|door| imports::code(&file.text).contains(**door)) {
            tree.check(false, || format!("{}: `{door}` belongs in cli", file.path));
        }
    }
    tree.verdict();
}

#[test]
fn crates_know_only_what_they_may() {
    let mut tree = Tree::read();
    let model_code = |name: &str| name.starts_with("candle") || ["tokenizers", "blocks", "bridge"].contains(&name);
    let part = |name: &str| name.starts_with("plugin-") || name.starts_with("scorer-") || name == "medvlm";
    for name in packages().into_keys() {
        let forbidden: &dyn Fn(&str) -> bool = match name.as_str() {
            "medvlm" => &|d| model_code(d) || (part(d) && d != "plugin-api"),
            "plugin-api" | "chat" => &|d| model_code(d) || part(d),
            "blocks" => &|d| part(d) || d == "bridge",
            "bridge" => &|d| part(d) && d != "plugin-api",
            n if n.starts_with("plugin-") => &|d| part(d) && d != "plugin-api",
            n if n.starts_with("scorer-") => &|d| model_code(d) || (part(d) && d != "scorer-kit"),
            _ => continue,
        };
        for dependency in dependencies(&name) {
            tree.check(dependency == name || !forbidden(&dependency), || format!("{name} depends on {dependency}"));
        }
    }
    tree.verdict();
}

#[test]
fn datasets_and_models_never_name_each_other() {
    let mut tree = Tree::read();
    let (mut datasets, mut models) = (BTreeMap::new(), BTreeMap::new());
    for file in tree.files_with(&["toml"]) {
        let Some((folder, name)) = file.path.rsplit_once('/') else { continue };
        let document = || file.text.parse::<toml::Table>().unwrap_or_else(|e| panic!("{}: {e}", file.path));
        if folder == "data" {
            datasets.insert(file.path.clone(), document());
        } else if name == "models.toml" {
            models.insert(file.path.clone(), document());
        }
    }
    let dataset_ids: BTreeSet<String> =
        datasets.keys().filter_map(|p| Some(Path::new(p).file_stem()?.to_string_lossy().into_owned())).collect();
    let rows = models.values().filter_map(|m| m.get("model")?.as_array()).flatten();
    let model_ids: BTreeSet<String> = rows.filter_map(|row| Some(row.get("id")?.as_str()?.to_owned())).collect();
    for (documents, others) in [(&datasets, &model_ids), (&models, &dataset_ids)] {
        for (path, document) in documents {
            for name in names_in(&toml::Value::Table(document.clone())) {
                tree.check(!others.contains(&name), || format!("{path}: names `{name}`; only a suite may"));
            }
        }
    }
    tree.verdict();
}

#[test]
fn nothing_is_left_over() {
    let mut tree = Tree::read();
    let words = [["TO", "DO"], ["FIX", "ME"], ["XX", "X"], ["HA", "CK"]].map(|halves| halves.concat());
    let phrases = [["todo", "!("], ["unimplemented", "!("], ["//! Place", "holder"]].map(|halves| halves.concat());
    let paths = [["/wo", "rk/"], ["/ro", "ot/"]].map(|halves| halves.concat());
    for file in tree.files_with(&["rs", "toml", "md", "py", "wit", "html", "js", "css", "sh", "h", "c", "ipynb", "run"])
    {
        for (number, line) in file.text.lines().enumerate() {
            let mut tokens = line.split(|c: char| !(c.is_alphanumeric() || c == '_'));
            let left_over = tokens.any(|t| words.iter().any(|w| w == t)) || phrases.iter().any(|p| line.contains(p));
            tree.check(!left_over, || format!("{}:{}: left over: {line}", file.path, number + 1));
            let local = paths.iter().any(|p| line.contains(p));
            tree.check(!local, || format!("{}:{}: a path of one machine: {line}", file.path, number + 1));
        }
    }
    // Checkpoints and other goldens may hold the path of what made them.
    let local = [["/wo", "rk/"], ["/ro", "ot/"], ["/t", "mp/"]].map(|halves| halves.concat());
    for path in tree.binaries.clone() {
        let bytes = fs::read(tree.root.join(&path)).expect("listed by git");
        let found = local.iter().any(|p| bytes.windows(p.len()).any(|window| window == p.as_bytes()));
        tree.check(!found, || format!("{path}: a path of one machine"));
    }
    tree.verdict();
}

#[test]
fn every_invariant_names_tests_that_exist() {
    let mut tree = Tree::read();
    let Ok(page) = fs::read_to_string(tree.root.join("ARCHITECTURE.md")) else {
        let readme = fs::read_to_string(tree.root.join("README.md")).unwrap_or_default();
        tree.check(!readme.contains("ARCHITECTURE.md"), || {
            "README.md points to ARCHITECTURE.md, which is missing".into()
        });
        return tree.verdict();
    };
    let sources: Vec<(String, String)> = tree.files_with(&["rs"]).into_iter().map(|f| (f.path, f.text)).collect();
    for violation in invariants::violations(&page, &sources) {
        tree.check(false, || violation);
    }
    tree.verdict();
}

#[test]
fn generated_tables_are_fresh() {
    let output = cargo(&["run", "--quiet", "--package", "xtask", "--", "docs", "--check"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// The files of the checkout, and what is wrong with them.
struct Tree {
    root: PathBuf,
    files: Vec<File>,
    /// Paths of the files that are no text.
    binaries: Vec<String>,
    violations: Vec<String>,
}

#[derive(Clone)]
struct File {
    path: String,
    text: String,
}

impl Tree {
    /// Every text file that git tracks or would track.
    fn read() -> Self {
        let root = root();
        let listing = Command::new("git")
            .current_dir(&root)
            .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
            .output()
            .expect("git runs");
        assert!(listing.status.success(), "{}", String::from_utf8_lossy(&listing.stderr));
        let paths = String::from_utf8(listing.stdout).expect("paths are UTF-8");
        let read = |path: &str| Some(File { path: path.into(), text: fs::read_to_string(root.join(path)).ok()? });
        let files: Vec<File> = paths.split_terminator('\0').filter_map(read).collect();
        assert!(files.iter().any(|f| f.path == "Cargo.toml"), "the tree was not read");
        let texts: BTreeSet<&str> = files.iter().map(|file| file.path.as_str()).collect();
        let there = |path: &&str| root.join(path).is_file() && !texts.contains(path);
        let binaries = paths.split_terminator('\0').filter(there).map(String::from).collect();
        Self { root, files, binaries, violations: Vec::new() }
    }

    /// Files with one of these extensions; a file without any counts by its name.
    fn files_with(&self, extensions: &[&str]) -> Vec<File> {
        let kind = |path: &str| path.rsplit(['.', '/']).next().unwrap_or_default().to_owned();
        self.files.iter().filter(|f| extensions.contains(&kind(&f.path).as_str())).cloned().collect()
    }

    fn files_below(&self, folder: &str) -> Vec<File> {
        let files: Vec<File> = self.files.iter().filter(|f| f.path.starts_with(folder)).cloned().collect();
        assert!(!files.is_empty(), "{folder} is empty");
        files
    }

    /// Whether the Rust files of a folder are crates and their roots rather than modules of a file beside the folder.
    fn holds_crate_roots(&self, folder: &Path) -> bool {
        ["bin", "benches", "examples", "tests"].iter().any(|name| folder.ends_with(name))
            || ["Cargo.toml", "lib.rs", "main.rs"].iter().any(|root| self.root.join(folder).join(root).exists())
    }

    fn check(&mut self, holds: bool, otherwise: impl FnOnce() -> String) {
        if !holds {
            self.violations.push(otherwise());
        }
    }

    fn verdict(self) {
        assert!(self.violations.is_empty(), "\n{}\n", self.violations.join("\n"));
    }
}

/// The checkout; asked at run time, for a kept target directory serves several.
fn root() -> PathBuf {
    let crate_folder = env::var_os("CARGO_MANIFEST_DIR").expect("cargo runs the tests");
    Path::new(&crate_folder).parent().expect("the crate lies in the workspace").into()
}

fn cargo(arguments: &[&str]) -> Output {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    Command::new(cargo).current_dir(root()).args(arguments).output().expect("cargo runs")
}

/// The workspace's packages with their manifests.
fn packages() -> BTreeMap<String, PathBuf> {
    let output = cargo(&["metadata", "--no-deps", "--format-version", "1"]);
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo metadata prints JSON");
    let text = |value: &Value| value.as_str().expect("a string").to_owned();
    let packages = metadata["packages"].as_array().expect("a list").iter();
    packages.map(|p| (text(&p["name"]), text(&p["manifest_path"]).into())).collect()
}

/// Everything that a package links or builds with.
fn dependencies(package: &str) -> BTreeSet<String> {
    let tree = ["tree", "--edges", "normal,build", "--prefix", "none", "--format", "{p}", "--package", package];
    let output = cargo(&tree);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let lines = String::from_utf8(output.stdout).expect("names are UTF-8");
    lines.lines().filter_map(|line| Some(line.split_whitespace().next()?.to_owned())).collect()
}

/// What could be an identifier in a TOML value: keys, and the parts of strings that are no prose.
fn names_in(value: &toml::Value) -> Vec<String> {
    match value {
        toml::Value::String(text) if !text.contains(char::is_whitespace) => {
            text.split(['/', ':', '@', '.', ',']).map(String::from).collect()
        }
        toml::Value::Array(values) => values.iter().flat_map(names_in).collect(),
        toml::Value::Table(table) => {
            table.iter().flat_map(|(key, value)| [vec![key.clone()], names_in(value)].concat()).collect()
        }
        _ => Vec::new(),
    }
}
