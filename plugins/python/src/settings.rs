//! `[model.options]` of a row, as far as they concern the plugin; all others are the script's own.
//!
//! | option | meaning |
//! |---|---|
//! | `script` | a `.py` file, relative to the manifest, or the name of an importable module; it defines `class Model` |
//! | `requirements` | a list as for `pip install`, or a file of them, relative to the manifest |
//! | `python`, `venv`, `conda`, `uv` | where Python is found, see [`crate::interpreter`] |

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use plugin_api::{Error, Open, Result};
use serde_json::{Map, Value, json};

use crate::{
    home,
    interpreter::{Interpreter, Surroundings},
};

/// How to start the Python process of a model.
#[derive(Debug)]
pub struct Settings {
    interpreter: Interpreter,
    requirements: Requirements,
    script: String,
    /// What the script is given, as JSON.
    open: String,
    /// Folder of the worker kit beside this library; none where it has to be installed.
    kit: Option<PathBuf>,
}

/// What a script needs installed.
#[derive(Debug, Clone, PartialEq)]
pub enum Requirements {
    /// As one would name them to `pip install`.
    List(Vec<String>),
    /// A `requirements.txt`.
    File(PathBuf),
}

impl Settings {
    /// Of a request to open a model.
    ///
    /// # Errors
    /// An option is missing or makes no sense, or a file or interpreter is not there.
    pub fn new(open: Open) -> Result<Self> {
        let home = home::home().unwrap_or_default();
        Self::at(&home, open, &Surroundings::of_this_process())
    }

    fn at(home: &Path, open: Open, surroundings: &Surroundings) -> Result<Self> {
        let mut options = open.options;
        let script = script(home, &mut options)?;
        let requirements = requirements(home, &mut options)?;
        let interpreter = Interpreter::of(home, &mut options, &requirements, surroundings)?;
        let install = requirements.arguments().join(" ");
        let open = json!({
            "weights": open.weights, "device": open.device, "dtype": open.dtype, "options": options, "install": install,
        });
        let kit = home.join("python/kit");
        let kit = kit.join("medvlm_worker").is_dir().then_some(kit);
        Ok(Self { interpreter, requirements, script, open: open.to_string(), kit })
    }

    /// The command that starts the process.
    ///
    /// # Errors
    /// `PYTHONPATH` cannot be extended.
    pub fn command(&self) -> Result<Command> {
        let mut command = self.interpreter.command(&self.requirements);
        command.args(["-m", "medvlm_worker", &self.script, &self.open]).env("PYTHONUNBUFFERED", "1");
        if let Some(kit) = &self.kit {
            let inherited = std::env::var_os("PYTHONPATH").unwrap_or_default();
            let paths = [kit.clone()].into_iter().chain(std::env::split_paths(&inherited));
            command.env("PYTHONPATH", std::env::join_paths(paths)?);
        }
        Ok(command)
    }
}

impl Requirements {
    /// Whether anything is required.
    pub fn is_empty(&self) -> bool {
        *self == Self::List(Vec::new())
    }

    /// What follows `pip install`.
    pub fn arguments(&self) -> Vec<String> {
        match self {
            Self::List(list) => list.iter().map(|r| quoted(r)).collect(),
            Self::File(file) => vec!["-r".into(), quoted(&file.to_string_lossy())],
        }
    }
}

fn script(home: &Path, options: &mut Map<String, Value>) -> Result<String> {
    let script = match options.remove("script") {
        Some(Value::String(script)) if !script.is_empty() => script,
        Some(other) => return Err(Error::config(format!("option `script` is {other}; expected a file or a module"))),
        None => {
            return Err(Error::config("option `script` is missing: name the Python file that defines `class Model`"));
        }
    };
    if !script.ends_with(".py") && !script.contains('/') {
        return Ok(script);
    }
    let path = home.join(&script);
    match path.is_file() {
        true => Ok(path.to_string_lossy().into_owned()),
        false => Err(Error::config(format!(
            "{}: no such script; option `script` is relative to the plugin's manifest",
            path.display()
        ))),
    }
}

fn requirements(home: &Path, options: &mut Map<String, Value>) -> Result<Requirements> {
    let wrong = |value: &Value| {
        Error::config(format!("option `requirements` is {value}; expected a list of packages or a file of them"))
    };
    match options.remove("requirements") {
        None => Ok(Requirements::List(Vec::new())),
        Some(Value::String(file)) => {
            let path = home.join(file);
            match path.is_file() {
                true => Ok(Requirements::File(path)),
                false => Err(Error::config(format!("{}: no such file of requirements", path.display()))),
            }
        }
        Some(value) => {
            let names = value.as_array().ok_or_else(|| wrong(&value))?.iter();
            let names: Option<Vec<String>> = names.map(|name| name.as_str().map(String::from)).collect();
            names.map(Requirements::List).ok_or_else(|| wrong(&value))
        }
    }
}

/// A word as a shell takes it.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=,[]+".contains(c);
    if word.chars().all(plain) { word.into() } else { format!("'{word}'") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(options: Value) -> Open {
        Open { options: options.as_object().expect("an object").clone(), ..Open::default() }
    }

    fn home() -> tempfile::TempDir {
        let home = tempfile::tempdir().expect("a folder");
        std::fs::write(home.path().join("model.py"), "").expect("written");
        std::fs::write(home.path().join("needs.txt"), "torch\n").expect("written");
        home
    }

    fn settings(home: &Path, options: Value) -> Result<Settings> {
        let surroundings = Surroundings { path: "/bin:/usr/bin".into(), ..Surroundings::default() };
        Settings::at(home, open(options), &surroundings)
    }

    #[test]
    fn a_script_gets_its_own_options_and_what_to_install() {
        let home = home();
        let options = json!({ "script": "model.py", "python": "sh", "requirements": ["torch>=2", "numpy"], "own": 3 });
        let settings = settings(home.path(), options).expect("valid");
        let given: Value = serde_json::from_str(&settings.open).expect("JSON");
        assert_eq!(given["options"], json!({ "own": 3 }));
        assert_eq!(given["install"], "'torch>=2' numpy");
        let command = settings.command().expect("a command");
        let arguments: Vec<_> = command.get_args().map(|a| a.to_string_lossy().into_owned()).collect();
        let script = home.path().join("model.py").to_string_lossy().into_owned();
        assert_eq!(arguments[..3], ["-m".to_string(), "medvlm_worker".into(), script]);
    }

    #[test]
    fn every_missing_piece_is_named() {
        let home = home();
        let refused = |options: Value, sentence: &str| {
            let e = settings(home.path(), options).expect_err("refused");
            assert!(e.message.contains(sentence), "{}", e.message);
        };
        refused(json!({}), "option `script` is missing: name the Python file");
        refused(json!({ "script": 3 }), "option `script` is 3; expected a file or a module");
        refused(json!({ "script": "other.py" }), "other.py: no such script");
        refused(json!({ "script": "model.py", "requirements": "no.txt" }), "no.txt: no such file of requirements");
        refused(json!({ "script": "model.py", "requirements": [1] }), "expected a list of packages");
    }

    #[test]
    fn modules_and_files_of_requirements_are_taken() {
        let home = home();
        let options = json!({ "script": "lab.model", "python": "sh", "requirements": "needs.txt" });
        let settings = settings(home.path(), options).expect("valid");
        assert_eq!(settings.script, "lab.model");
        assert_eq!(settings.requirements, Requirements::File(home.path().join("needs.txt")));
    }
}
