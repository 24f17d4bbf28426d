//! From typed requests to messages: the host's half of every op, whatever door the model stands behind.

use abi_stable::{
    erased_types::TD_Opaque,
    sabi_types::RRef,
    std_types::{RResult, RSlice, RStr},
};
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    Error, ErrorKind, Events, Image, Inspection, Matrix, Result, Rows,
    abi::{self, ModelBox, RawBlob, RawError, RawReply, RawSink, RawSink_TO},
    message::{Description, Generate, Inspect, Inspected, RowsHeader, Texts, Train, Trained, ZeroShot, op},
    tensor::{Array, Blob},
};

/// A door to a model: an object in this process, or a worker.
pub trait Door {
    /// Performs one op; `events` receives what the plugin reports meanwhile.
    fn call(&mut self, op: &str, header: &str, blobs: &[Blob<'_>], events: &dyn Events)
    -> Result<(String, Vec<Array>)>;
}

/// A model behind the library boundary, in this process.
impl Door for ModelBox {
    fn call(
        &mut self,
        op: &str,
        header: &str,
        blobs: &[Blob<'_>],
        events: &dyn Events,
    ) -> Result<(String, Vec<Array>)> {
        let blobs: Vec<RawBlob<'_>> = blobs.iter().map(Into::into).collect();
        let receiver = Receiver(events);
        let sink: RawSink_TO<'_, RRef<'_, ()>> = RawSink_TO::from_ptr(RRef::new(&receiver), TD_Opaque);
        // The boundary's own method of the same name takes the receiver by shared reference.
        abi::from_raw(ModelBox::call(&*self, op.into(), header.into(), blobs.as_slice().into(), &sink))
    }
}

/// Capabilities and sizes of the model.
pub fn describe(door: &mut dyn Door) -> Result<Description> {
    parse(&door.call(op::DESCRIBE, "{}", &[], &NoEvents)?.0)
}

/// Logits `[images, classes]`.
pub fn zero_shot(door: &mut dyn Door, images: &[Image<'_>], classes: &ZeroShot) -> Result<Rows> {
    rows(call_with_images(door, op::ZERO_SHOT, classes, images, &NoEvents)?, images.len())
}

/// Class embeddings `[classes, dim]`; empty where a model has none.
pub fn classes(door: &mut dyn Door, classes: &ZeroShot) -> Result<Matrix> {
    let (_, arrays) = call_with_images(door, op::CLASSES, classes, &[], &NoEvents)?;
    let [array] = <[Array; 1]>::try_from(arrays).map_err(|a| broken(format!("{} arrays instead of one", a.len())))?;
    Matrix::try_from(array)
}

/// Features `[images, dim]`.
pub fn features(door: &mut dyn Door, images: &[Image<'_>]) -> Result<Rows> {
    rows(call_with_images(door, op::FEATURES, &(), images, &NoEvents)?, images.len())
}

/// Generates; answers arrive at `events` as they finish.
pub fn generate(door: &mut dyn Door, job: &Generate, images: &[Image<'_>], events: &dyn Events) -> Result<()> {
    call_with_images(door, op::GENERATE, job, images, events).map(|_| ())
}

/// Log-likelihood of each option of each request.
pub fn choose(door: &mut dyn Door, job: &Generate, images: &[Image<'_>]) -> Result<Vec<Vec<f32>>> {
    parse(&call_with_images(door, op::CHOOSE, job, images, &NoEvents)?.0)
}

/// Token-level embeddings, one matrix a text.
pub fn embed_text(door: &mut dyn Door, texts: &Texts) -> Result<Vec<Matrix>> {
    let (_, arrays) = call_with_images(door, op::EMBED_TEXT, texts, &[], &NoEvents)?;
    arrays.into_iter().map(Matrix::try_from).collect()
}

/// Trains an adapter; `events` serves the samples.
pub fn train(door: &mut dyn Door, job: &Train, events: &dyn Events) -> Result<Trained> {
    parse(&call_with_images(door, op::TRAIN, job, &[], events)?.0)
}

/// Everything that is computed for one ad-hoc input.
pub fn inspect(door: &mut dyn Door, request: &Inspect, images: &[Image<'_>]) -> Result<Inspection> {
    let (header, arrays) = call_with_images(door, op::INSPECT, request, images, &NoEvents)?;
    let seen: Inspected = parse(&header)?;
    if seen.names.len() != arrays.len() {
        return Err(broken(format!("{} names for {} arrays", seen.names.len(), arrays.len())));
    }
    Ok(Inspection { arrays: seen.names.into_iter().zip(arrays).collect(), generation: seen.generation })
}

/// Ignores reports and has no samples.
pub struct NoEvents;

impl Events for NoEvents {
    fn event(&self, op: &str, _: &str, _: &[Blob<'_>]) -> Result<(String, Vec<Array>)> {
        match op {
            crate::message::event::SAMPLE => Err(Error::unsupported("pulling samples outside of training")),
            _ => Ok(("null".into(), Vec::new())),
        }
    }
}

/// Receives the events of a plugin through the boundary.
struct Receiver<'a>(&'a dyn Events);

impl RawSink for Receiver<'_> {
    fn call(&self, op: RStr<'_>, header: RStr<'_>, blobs: RSlice<'_, RawBlob<'_>>) -> RResult<RawReply, RawError> {
        let blobs: Vec<Blob<'_>> = blobs.iter().map(RawBlob::view).collect();
        abi::to_raw(self.0.event(op.as_str(), header.as_str(), &blobs))
    }
}

fn call_with_images(
    door: &mut dyn Door,
    name: &str,
    header: &impl Serialize,
    images: &[Image<'_>],
    events: &dyn Events,
) -> Result<(String, Vec<Array>)> {
    let mut shapes = vec![[0; 3]; images.len()];
    let blobs: Vec<Blob<'_>> = images.iter().zip(&mut shapes).map(|(image, shape)| image.blob(shape)).collect();
    door.call(name, &serde_json::to_string(header)?, &blobs, events)
}

fn rows((header, arrays): (String, Vec<Array>), images: usize) -> Result<Rows> {
    let header: RowsHeader = parse(&header)?;
    let [array] = <[Array; 1]>::try_from(arrays).map_err(|a| broken(format!("{} arrays instead of one", a.len())))?;
    let matrix = Matrix::try_from(array)?;
    if matrix.rows() != images {
        return Err(broken(format!("{} rows for {images} images", matrix.rows())));
    }
    if !header.inputs.is_empty() && header.inputs.len() != images {
        return Err(broken(format!("{} input digests for {images} images", header.inputs.len())));
    }
    Ok(Rows { matrix, inputs: header.inputs })
}

fn parse<T: DeserializeOwned>(header: &str) -> Result<T> {
    serde_json::from_str(header).map_err(|e| broken(e.to_string()))
}

fn broken(what: String) -> Error {
    Error::new(ErrorKind::Other, format!("the plugin broke the contract: {what}"))
}
