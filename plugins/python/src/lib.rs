//! Models in Python: each runs in its own environment, behind the frames of [`plugin_api::frames`].
//!
//! A row of `models.toml` names a script, what it requires and, where the default does not fit, an interpreter (see
//! [`settings`]); the worker kit in `kit/` is the other half of the conversation.

use std::sync::{Mutex, PoisonError};

use plugin_api::{
    Array, Blob, Classes, Decoding, Description, Events, Generation, Image, Inspect, Inspection, Matrix, Model, Open,
    Request, Result, Rows, Sink, client, export_plugin,
    message::{Generate, Log, Progress, Texts, ZeroShot, event},
    register,
};

mod guard;
mod home;
mod interpreter;
mod journal;
mod process;
mod settings;

use process::Process;
use settings::Settings;

export_plugin!();
register!(
    "python",
    "a Python script in an environment of its own",
    [ZeroShot, Features, Generate, Choose, EmbedText],
    Python::open
);

/// A model in a Python process, which is started again when it is needed after it died.
struct Python {
    settings: Settings,
    description: Description,
    process: Mutex<Option<Process>>,
}

impl Python {
    fn open(open: Open) -> Result<Self> {
        let settings = Settings::new(open)?;
        let mut process = Process::start(&settings)?;
        let description = client::describe(&mut process)?;
        Ok(Self { settings, description, process: Mutex::new(Some(process)) })
    }

    /// Performs work in the living process.
    fn with<T>(&self, work: impl FnOnce(&mut Process) -> Result<T>) -> Result<T> {
        let mut held = self.process.lock().unwrap_or_else(PoisonError::into_inner);
        let mut process = match held.take() {
            Some(process) => process,
            None => Process::start(&self.settings)?,
        };
        let done = work(&mut process);
        *held = Some(process).filter(Process::is_alive);
        done
    }
}

impl Model for Python {
    fn describe(&self) -> Description {
        self.description.clone()
    }

    fn encode_classes(&self, prompts: &[Vec<String>]) -> Result<Matrix> {
        self.with(|process| client::classes(process, &ZeroShot { classes: prompts.to_vec() }))
    }

    /// The prompts travel with each batch: the script encodes them again only when they or the process are new.
    fn zero_shot(&self, images: &[Image<'_>], classes: &Classes) -> Result<Rows> {
        self.with(|process| client::zero_shot(process, images, &ZeroShot { classes: classes.prompts.clone() }))
    }

    fn features(&self, images: &[Image<'_>]) -> Result<Rows> {
        self.with(|process| client::features(process, images))
    }

    fn generate(&self, requests: &[Request], images: &[Image<'_>], decoding: &Decoding, sink: &Sink<'_>) -> Result<()> {
        let job = Generate { requests: requests.to_vec(), decoding: decoding.clone() };
        self.with(|process| client::generate(process, &job, images, &Relay(sink)))
    }

    fn choose(&self, requests: &[Request], images: &[Image<'_>]) -> Result<Vec<Vec<f32>>> {
        let job = Generate { requests: requests.to_vec(), ..Generate::default() };
        self.with(|process| client::choose(process, &job, images))
    }

    fn embed_text(&self, texts: &[String]) -> Result<Vec<Matrix>> {
        self.with(|process| client::embed_text(process, &Texts { texts: texts.to_vec() }))
    }

    fn inspect(&self, request: &Inspect, images: &[Image<'_>]) -> Result<Inspection> {
        self.with(|process| client::inspect(process, request, images))
    }
}

/// Hands the events of the script on to the host.
struct Relay<'a, 'b>(&'a Sink<'b>);

impl Events for Relay<'_, '_> {
    fn event(&self, op: &str, header: &str, _: &[Blob<'_>]) -> Result<(String, Vec<Array>)> {
        match op {
            event::FINISHED => self.0.finished(&serde_json::from_str::<Generation>(header)?)?,
            event::PROGRESS => self.0.progress(&serde_json::from_str::<Progress>(header)?)?,
            event::LOG => self.0.log(serde_json::from_str::<Log>(header)?.line)?,
            other => return Err(plugin_api::Error::unsupported(other)),
        }
        Ok(("null".into(), Vec::new()))
    }
}
