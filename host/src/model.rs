//! Models: the rows that plugins bring, and a safe handle to an opened one.

use std::path::{Path, PathBuf};

use plugin_api::{
    Description, Error as PluginError, ErrorKind, Events, Open,
    client::{self, Door},
};

use crate::error::{Error, Result};

mod c_door;
pub mod catalog;
pub mod loader;
mod serve;
mod shared;
pub mod weights;
pub mod worker;

pub use catalog::{Catalog, PluginFile, Row};
pub use serve::serve;

/// Where a model runs.
#[derive(Debug, Clone)]
pub enum Place {
    /// In a worker process, so that no crash of a plugin reaches the host.
    Worker(worker::Settings),
    /// In this process, for profiling.
    InProcess,
}

/// An opened model. A dead worker is started anew by [`Model::revive`].
pub struct Model {
    library: PathBuf,
    architecture: String,
    open: Open,
    place: Place,
    door: Box<dyn Door + Send>,
    description: Description,
    dead: bool,
}

impl Model {
    /// Opens an architecture of a plugin library.
    pub fn open(plugin: &PluginFile, architecture: &str, open: Open, place: Place) -> Result<Self> {
        let library = plugin.library.clone();
        let mut door = open_door(&library, architecture, &open, &place)
            .map_err(|e| cannot_open(open.weights.as_ref().unwrap_or(&library), &e.message))?;
        let description = client::describe(door.as_mut()).map_err(|e| Error::invalid(&library, e.message))?;
        Ok(Self { library, architecture: architecture.into(), open, place, door, description, dead: false })
    }

    /// What the model says of itself.
    pub fn description(&self) -> &Description {
        &self.description
    }

    /// Performs typed requests; see [`plugin_api::client`].
    pub fn door(&mut self) -> &mut dyn Door {
        self
    }

    /// Starts a dead worker anew; does nothing for a living one.
    pub fn revive(&mut self) -> Result<()> {
        if self.dead {
            self.door = open_door(&self.library, &self.architecture, &self.open, &self.place)
                .map_err(|e| Error::failed(format!("the worker died and cannot be started again: {e}")))?;
            self.dead = false;
        }
        Ok(())
    }
}

impl Door for Model {
    fn call(
        &mut self,
        op: &str,
        header: &str,
        blobs: &[plugin_api::Blob<'_>],
        events: &dyn Events,
    ) -> plugin_api::Result<(String, Vec<plugin_api::Array>)> {
        if self.dead {
            return Err(PluginError::new(ErrorKind::Other, "the worker is dead"));
        }
        let answer = self.door.call(op, header, blobs, events);
        self.dead = matches!(&answer, Err(e) if e.detail == worker::DEAD);
        answer
    }
}

/// A plugin names the file of the checkpoint that is wrong, often below the path that the host knows.
fn cannot_open(path: &Path, message: &str) -> Error {
    let named = message.strip_prefix(&format!("{}: ", path.display()));
    Error::invalid(path, named.unwrap_or(message))
}

fn open_door(
    library: &Path,
    architecture: &str,
    open: &Open,
    place: &Place,
) -> plugin_api::Result<Box<dyn Door + Send>> {
    match place {
        Place::Worker(settings) => Ok(Box::new(worker::Worker::start(library, architecture, open, settings)?)),
        Place::InProcess => loader::open(library, architecture, open),
    }
}
