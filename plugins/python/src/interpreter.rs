//! Where a script's Python comes from.
//!
//! | option | Python |
//! |---|---|
//! | `python = "PATH"` | this interpreter; a bare name is looked up on `PATH` |
//! | `venv = "DIR"` | `DIR/bin/python` |
//! | `conda = "DIR"` or `"NAME"` | `bin/python` of the environment with this prefix or name |
//! | `uv = true` or `"3.11"` | `uv run` with the row's requirements, in this version |
//!
//! Without any of them: `$MEDVLM_PYTHON`, the active virtual or conda environment, `uv` if the row has requirements
//! and it is installed, `python3`. What an option names is relative to the manifest.

use std::{
    env,
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use plugin_api::{Error, Result};
use serde_json::{Map, Value};

use crate::settings::Requirements;

/// How Python is started.
#[derive(Debug, PartialEq)]
pub enum Interpreter {
    /// An executable of an environment that exists.
    Program(PathBuf),
    /// `uv`, which makes the environment.
    Uv {
        /// The executable of `uv`.
        program: PathBuf,
        /// Version of Python; any when empty.
        version: String,
    },
}

/// What the environment of a process says about Python.
#[derive(Debug, Default)]
pub struct Surroundings {
    /// `PATH`.
    pub path: OsString,
    /// `MEDVLM_PYTHON`.
    pub python: Option<PathBuf>,
    /// `VIRTUAL_ENV`.
    pub venv: Option<PathBuf>,
    /// `CONDA_PREFIX`.
    pub conda: Option<PathBuf>,
    /// `HOME`.
    pub home: Option<PathBuf>,
}

const WAYS: [&str; 4] = ["python", "venv", "conda", "uv"];

impl Interpreter {
    /// Of a row's options, which lose those that were read.
    ///
    /// # Errors
    /// More than one way is given, or what it names is not there; the message says what to do.
    pub fn of(
        home: &Path,
        options: &mut Map<String, Value>,
        requirements: &Requirements,
        surroundings: &Surroundings,
    ) -> Result<Self> {
        let mut given = WAYS.into_iter().filter_map(|way| Some((way, options.remove(way)?)));
        let first = given.next();
        if let (Some((one, _)), Some((other, _))) = (&first, given.next()) {
            return Err(Error::config(format!("options `{one}` and `{other}` both say where Python is: keep one")));
        }
        let install = install_hint(requirements);
        match first {
            Some(("python", Value::String(python))) => surroundings.program(home, &python),
            Some(("venv", Value::String(dir))) => in_prefix(&home.join(&dir)).ok_or_else(|| {
                let dir = home.join(&dir);
                let dir = dir.display();
                Error::config(format!("{dir} holds no bin/python: make it with `python3 -m venv {dir}`{install}"))
            }),
            Some(("conda", Value::String(name))) => surroundings.conda(home, &name).ok_or_else(|| {
                Error::config(format!("no conda environment `{name}`: make it with `conda create -n {name}`{install}"))
            }),
            Some(("uv", Value::Bool(true))) => surroundings.uv(String::new()),
            Some(("uv", Value::String(version))) => surroundings.uv(version),
            Some(("uv", Value::Bool(false))) | None => surroundings.any(requirements),
            Some((way, value)) => Err(Error::config(format!("option `{way}` is {value}; expected a string"))),
        }
    }

    /// A command that runs Python, without arguments to Python itself.
    pub fn command(&self, requirements: &Requirements) -> Command {
        match self {
            Self::Program(program) => Command::new(program),
            Self::Uv { program, version } => {
                let mut command = Command::new(program);
                command.args(["run", "--no-project"]);
                if !version.is_empty() {
                    command.args(["--python", version]);
                }
                match requirements {
                    Requirements::List(list) => list.iter().for_each(|one| {
                        command.args(["--with", one]);
                    }),
                    Requirements::File(file) => {
                        command.arg("--with-requirements").arg(file);
                    }
                }
                command.args(["--", "python"]);
                command
            }
        }
    }
}

impl Surroundings {
    /// Those of this process.
    pub fn of_this_process() -> Self {
        let path = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        Self {
            path: env::var_os("PATH").unwrap_or_default(),
            python: path("MEDVLM_PYTHON"),
            venv: path("VIRTUAL_ENV"),
            conda: path("CONDA_PREFIX"),
            home: path("HOME"),
        }
    }

    fn any(&self, requirements: &Requirements) -> Result<Interpreter> {
        if let Some(python) = &self.python {
            return self.program(Path::new(""), &python.to_string_lossy());
        }
        if let Some(python) = [&self.venv, &self.conda].into_iter().flatten().find_map(|prefix| in_prefix(prefix)) {
            return Ok(python);
        }
        if let Some(uv) = self.find("uv").filter(|_| !requirements.is_empty()) {
            return Ok(Interpreter::Uv { program: uv, version: String::new() });
        }
        self.find("python3").map(Interpreter::Program).ok_or_else(|| {
            Error::config("there is no python3 on PATH: install Python, or name an interpreter in MEDVLM_PYTHON")
        })
    }

    fn program(&self, base: &Path, python: &str) -> Result<Interpreter> {
        let found = if python.contains('/') {
            Some(base.join(python)).filter(|path| path.is_file())
        } else {
            self.find(python)
        };
        found.map(Interpreter::Program).ok_or_else(|| {
            Error::config(format!("there is no Python at `{python}`: correct option `python` or MEDVLM_PYTHON"))
        })
    }

    /// By prefix, or by name in the list that conda keeps.
    fn conda(&self, home: &Path, name: &str) -> Option<Interpreter> {
        if name.contains('/') {
            return in_prefix(&home.join(name));
        }
        let list = fs::read_to_string(self.home.as_ref()?.join(".conda/environments.txt")).ok()?;
        list.lines().map(Path::new).filter(|prefix| prefix.ends_with(name)).find_map(in_prefix)
    }

    fn uv(&self, version: String) -> Result<Interpreter> {
        let program = self.find("uv").ok_or_else(|| {
            Error::config(
                "`uv` is not on PATH: install it (`pip install uv`), or name an environment by `python`, `venv` or \
                 `conda`",
            )
        })?;
        Ok(Interpreter::Uv { program, version })
    }

    fn find(&self, program: &str) -> Option<PathBuf> {
        env::split_paths(&self.path).map(|dir| dir.join(program)).find(|path| path.is_file())
    }
}

fn in_prefix(prefix: &Path) -> Option<Interpreter> {
    let python = prefix.join("bin/python");
    python.is_file().then_some(Interpreter::Program(python))
}

fn install_hint(requirements: &Requirements) -> String {
    match requirements.is_empty() {
        true => String::new(),
        false => format!(" and `pip install {}` in it", requirements.arguments().join(" ")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// A folder with the interpreters `lab/bin/python`, `bin/uv` and `bin/python3`.
    fn tree() -> tempfile::TempDir {
        let tree = tempfile::tempdir().expect("a folder");
        for program in ["lab/bin/python", "bin/uv", "bin/python3"] {
            let path = tree.path().join(program);
            fs::create_dir_all(path.parent().expect("a parent")).expect("made");
            fs::write(path, "").expect("written");
        }
        fs::create_dir(tree.path().join(".conda")).expect("made");
        let list = format!("{}\n", tree.path().join("lab").display());
        fs::write(tree.path().join(".conda/environments.txt"), list).expect("written");
        tree
    }

    fn of(tree: &Path, options: Value, requires: &[&str], change: impl Fn(&mut Surroundings)) -> Result<Interpreter> {
        let requirements = Requirements::List(requires.iter().map(ToString::to_string).collect());
        let home = Some(tree.to_path_buf());
        let mut surroundings = Surroundings { path: tree.join("bin").into(), home, ..Surroundings::default() };
        change(&mut surroundings);
        let mut options = options.as_object().expect("an object").clone();
        Interpreter::of(tree, &mut options, &requirements, &surroundings)
    }

    #[test]
    fn each_way_finds_its_interpreter() {
        let tree = tree();
        let lab = Interpreter::Program(tree.path().join("lab/bin/python"));
        let found = |options: Value| of(tree.path(), options, &[], |_| {}).expect("found");
        assert_eq!(found(json!({ "python": "lab/bin/python" })), lab);
        assert_eq!(found(json!({ "venv": "lab" })), lab);
        assert_eq!(found(json!({ "conda": "lab" })), lab);
        assert_eq!(found(json!({ "conda": "./lab" })), Interpreter::Program(tree.path().join("./lab/bin/python")));
        assert_eq!(found(json!({ "python": "python3" })), found(json!({})));
        let Interpreter::Uv { version, .. } = found(json!({ "uv": "3.11" })) else { panic!("no uv") };
        assert_eq!(version, "3.11");
    }

    #[test]
    fn without_an_option_the_surroundings_decide() {
        let tree = tree();
        let lab = || tree.path().join("lab");
        let found = |requires: &[&str], change: &dyn Fn(&mut Surroundings)| {
            of(tree.path(), json!({}), requires, change).expect("found")
        };
        let python = Interpreter::Program(lab().join("bin/python"));
        assert_eq!(found(&[], &|s| s.python = Some(lab().join("bin/python"))), python);
        assert_eq!(found(&[], &|s| s.venv = Some(lab())), python);
        assert_eq!(found(&["torch"], &|s| s.conda = Some(lab())), python);
        assert_eq!(found(&[], &|_| {}), Interpreter::Program(tree.path().join("bin/python3")));
        let uv = found(&["torch"], &|_| {});
        let command = uv.command(&Requirements::List(vec!["torch".into(), "pillow".into()]));
        let arguments: Vec<_> = command.get_args().map(|a| a.to_string_lossy().into_owned()).collect();
        assert_eq!(arguments.join(" "), "run --no-project --with torch --with pillow -- python");
    }

    #[test]
    fn what_is_missing_says_what_to_do() {
        let tree = tree();
        let refused = |options: Value, path: &str, sentence: &str| {
            let e = of(tree.path(), options, &["torch"], |s| s.path = path.into()).expect_err("refused");
            assert!(e.message.contains(sentence), "{}", e.message);
        };
        refused(json!({ "python": "no/python" }), "", "there is no Python at `no/python`: correct option");
        refused(json!({ "venv": "none" }), "", "none` and `pip install torch` in it");
        refused(json!({ "conda": "none" }), "", "make it with `conda create -n none` and `pip install torch` in it");
        refused(json!({ "uv": true }), "", "`uv` is not on PATH: install it");
        refused(json!({}), "", "there is no python3 on PATH: install Python, or name an interpreter");
        refused(json!({ "uv": true, "venv": "lab" }), "", "options `venv` and `uv` both say where Python is");
        refused(json!({ "venv": 3 }), "", "option `venv` is 3; expected a string");
    }
}
