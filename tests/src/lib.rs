//! What the integration tests share: a temporary workplace in which the real executable runs.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "support of tests")]

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use tempfile::TempDir;

/// A temporary directory with a dataset of small pictures, and the laid-out host beside it.
pub struct Bench {
    dir: TempDir,
}

/// What a command said.
#[derive(Debug)]
pub struct Said {
    /// Exit code; none after a signal.
    pub code: Option<i32>,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

/// `dist/`, as `cargo xtask build --with-test-parts` lays it out.
pub fn dist() -> PathBuf {
    let dist = env::var_os("MEDVLM_DIST").map_or_else(|| root().join("dist"), PathBuf::from);
    assert!(dist.join("medvlm").exists(), "{} is not laid out: run `cargo xtask test`", dist.display());
    dist
}

/// The root of the repository.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().expect("the repository")
}

impl Bench {
    /// An empty workplace.
    #[expect(clippy::new_without_default, reason = "it makes a directory")]
    pub fn new() -> Self {
        Self { dir: TempDir::new().expect("a temporary directory") }
    }

    /// A file or directory of the workplace.
    pub fn path(&self, path: &str) -> PathBuf {
        self.dir.path().join(path)
    }

    /// Writes a file.
    pub fn write(&self, path: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(path);
        fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
        fs::write(&path, content).expect("writable");
        path
    }

    /// Reads a text file.
    pub fn read(&self, path: &str) -> String {
        fs::read_to_string(self.path(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
    }

    /// The mock plugin under `plugins/`, with these rows: `(id, options)`, options as TOML lines.
    pub fn mock(&self, rows: &[(&str, &str)]) -> PathBuf {
        let rows: String = rows
            .iter()
            .map(|(id, options)| {
                format!("[[model]]\nid = \"{id}\"\narchitecture = \"mock\"\n[model.options]\n{options}\n")
            })
            .collect();
        self.write("plugins/mock.toml", rows);
        let library = self.path("plugins/mock.so");
        fs::copy(dist().join("plugins/mock.so"), &library).expect("the mock plugin");
        library
    }

    /// A dataset `dots` of `count` pictures with a diagnosis, a question each, and two pictures a patient. The red
    /// value of every pixel of picture `i` is `i`.
    pub fn dots(&self, count: u32) {
        let mut table = String::from("file,label,patient,part,question,answer\n");
        for i in 0..count {
            let picture = image::RgbImage::from_fn(9, 7, |x, y| image::Rgb([i as u8, (x * 20) as u8, (y * 30) as u8]));
            let file = self.path(&format!("data/dots/{i}.png"));
            fs::create_dir_all(file.parent().expect("a parent")).expect("a directory");
            picture.save(&file).expect("a picture");
            let (label, answer) = if i % 3 == 0 { ("ill", "yes") } else { ("well", "no") };
            let part = if i % 8 < 4 { "a" } else { "b" };
            table.push_str(&format!("{i}.png,{label},p{},{part},Is picture {i} of an ill patient?,{answer}\n", i / 2));
        }
        self.write("data/dots/table.csv", table);
        self.write("data/dots.toml", DOTS);
    }

    /// A suite of mock models on `dots`.
    pub fn suite(&self, models: &[&str], task: &str) -> PathBuf {
        let models = models.iter().map(|m| format!("\"{m}\"")).collect::<Vec<_>>().join(", ");
        let text = format!(
            "models = [{models}]\nbootstrap = {{ resamples = 50 }}\n\n[[dataset]]\nid = \"dots\"\ntask = \"{task}\"\n"
        );
        self.write("suite.toml", text)
    }

    /// The program with the workplace as current directory and search path.
    pub fn command(&self) -> Command {
        let mut command = Command::new(dist().join("medvlm"));
        command.current_dir(self.dir.path()).stdin(Stdio::null());
        for name in ["MEDVLM_PLUGIN_PATH", "MEDVLM_SCORER_PATH", "MEDVLM_DATASET_PATH", "MEDVLM_DATA", "MEDVLM_LOG"] {
            command.env_remove(name);
        }
        command.env("MEDVLM_PLUGIN_PATH", self.path("plugins")).env("MEDVLM_DATASET_PATH", self.path("data"));
        command
    }

    /// Runs the program to its end.
    pub fn medvlm(&self, arguments: &[&str]) -> Said {
        self.command().args(arguments).output().expect("the program starts").into()
    }

    /// Bytes of every file below a directory but logs, by path.
    pub fn files(&self, dir: &str) -> std::collections::BTreeMap<String, Vec<u8>> {
        let mut files = std::collections::BTreeMap::new();
        let base = self.path(dir);
        let mut open = vec![base.clone()];
        while let Some(dir) = open.pop() {
            for entry in fs::read_dir(&dir).unwrap_or_else(|e| panic!("{}: {e}", dir.display())).flatten() {
                let path = entry.path();
                if path.is_dir() {
                    open.push(path);
                } else {
                    let name = path.strip_prefix(&base).expect("below").to_string_lossy().into_owned();
                    files.insert(name, fs::read(&path).expect("readable"));
                }
            }
        }
        files
    }
}

impl Said {
    /// Fails unless the program ended with this code and said this on standard error.
    pub fn refused(&self, code: i32, sentence: &str) {
        assert_eq!(self.code, Some(code), "{self:#?}");
        assert!(self.err.contains(sentence), "`{sentence}` is not in {self:#?}");
    }

    /// Fails unless the program ended well.
    pub fn well(self) -> Self {
        assert_eq!(self.code, Some(0), "{self:#?}");
        self
    }
}

impl From<Output> for Said {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

const DOTS: &str = r#"
title = "pictures of the integration tests"
citation = "none"
licence = "CC0 1.0"
access = "open"
obtain = "the tests make it"
bundled = "dots"
reader = "csv"
files = ["table.csv"]

[fields]
id = "file"
image = "file"

[[patient]]
column = "patient"

[diagnosis]
label = "label"

[[class]]
name = "well"
values = ["well"]
prompts.published = ["a well patient"]

[[class]]
name = "ill"
values = ["ill"]
prompts.published = ["an ill patient"]

[[question]]
question = "question"
answer = "answer"
closed = true

[templates]
yes-no = "Answer with yes or no. {{ question }}"

[splits.train]
where = [{ column = "part", equals = "a" }]

[splits.validation]
where = [{ column = "part", equals = "b" }]

[splits.test]

[scorers]
diagnosis = ["accuracy", "auroc"]
vqa = ["exact-match"]
"#;
