//! The worker process: one model behind frames (see [`plugin_api::frames`]).

use std::{
    io,
    os::{
        fd::{AsFd, OwnedFd},
        unix::net::UnixStream,
    },
    path::Path,
    sync::Mutex,
};

use plugin_api::{
    Array, Blob, Error as PluginError, ErrorKind, Events, Open,
    client::Door,
    frames::{Frame, Kind, Meta, byte_length},
    tensor::View,
};
use rustix::stdio::{dup2_stdout, stderr, stdin, stdout};

use crate::{
    error::{Error, Result},
    model::{loader, shared::Reader},
};

/// Serves one model until the host hangs up. Without an architecture it only says what the plugin offers.
/// Standard input is the socket and standard output the shared memory, as the host set them up.
pub fn serve(library: &Path, architecture: Option<&str>, config: &str) -> Result<()> {
    let worker = |e: io::Error| Error::failed(format!("a worker is started by the host only: {e}"));
    let mut socket = UnixStream::from(take(stdin()).map_err(worker)?);
    let mut reader = Reader::new(take(stdout()).map_err(worker)?);
    // What a plugin prints must not reach the shared memory, and a worker must not outlive its host.
    dup2_stdout(stderr()).map_err(|e| worker(e.into()))?;
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))
        .map_err(|e| worker(e.into()))?;

    let opened = match architecture {
        None => loader::load(library).and_then(loader::info).and_then(|info| Ok((None, serde_json::to_string(&info)?))),
        Some(name) => serde_json::from_str::<Open>(config)
            .map_err(PluginError::from)
            .and_then(|open| loader::open(library, name, &open))
            .map(|model| (Some(model), String::new())),
    };
    match opened {
        Ok((model, info)) => {
            Frame::inline(Kind::Hello, "", info, &[]).write(&mut socket).map_err(worker)?;
            match model {
                Some(mut model) => answer_calls(model.as_mut(), &mut socket, &mut reader).map_err(worker),
                None => Ok(()),
            }
        }
        Err(e) => error_frame(&e).write(&mut socket).map_err(worker),
    }
}

fn answer_calls(model: &mut dyn Door, socket: &mut UnixStream, reader: &mut Reader) -> io::Result<()> {
    let events = Relay(Mutex::new(socket.try_clone()?));
    loop {
        let call = match Frame::read(socket) {
            Ok(call) => call,
            Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
            Err(e) => return Err(e),
        };
        let shared = reader.bytes(call.meta.shared)?;
        let blobs = shared_blobs(&call.meta, shared)?;
        let answer = match model.call(&call.meta.op, &call.header, &blobs, &events) {
            Ok((header, arrays)) => Frame::inline(Kind::Reply, "", header, &arrays),
            Err(e) => error_frame(&e),
        };
        answer.write(socket)?;
    }
}

/// Sends events to the host and waits for its answer.
struct Relay(Mutex<UnixStream>);

impl Events for Relay {
    fn event(&self, op: &str, header: &str, blobs: &[Blob<'_>]) -> plugin_api::Result<(String, Vec<Array>)> {
        let mut socket = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let mut frame = Frame { kind: Kind::Event, meta: Meta::default(), header: header.into(), body: Vec::new() };
        frame.meta.op = op.into();
        frame.meta.arrays = blobs.iter().map(|b| plugin_api::frames::push_inline(b, &mut frame.body)).collect();
        frame.write(&mut *socket)?;
        read_answer(&mut *socket)
    }
}

/// The reply or error that answers a call or an event.
pub fn read_answer(socket: &mut impl io::Read) -> plugin_api::Result<(String, Vec<Array>)> {
    let frame = Frame::read(socket)?;
    match frame.kind {
        Kind::Error => Err(error_of(&frame)),
        _ => {
            let arrays = frame.arrays()?;
            Ok((frame.header, arrays))
        }
    }
}

/// An error as a frame: kind in the op, message in the header, detail in the body.
pub fn error_frame(error: &PluginError) -> Frame {
    let mut frame = Frame::inline(Kind::Error, &(error.kind as u32).to_string(), error.message.clone(), &[]);
    frame.body = error.detail.clone().into_bytes();
    frame
}

/// The error that a frame carries.
pub fn error_of(frame: &Frame) -> PluginError {
    let kind = ErrorKind::from_code(frame.meta.op.parse().unwrap_or_default());
    let detail = String::from_utf8_lossy(&frame.body).into_owned();
    PluginError { kind, message: frame.header.clone(), detail }
}

fn shared_blobs<'a>(meta: &'a Meta, shared: &'a [u8]) -> io::Result<Vec<Blob<'a>>> {
    let invalid = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_string());
    meta.arrays
        .iter()
        .map(|array| {
            let at = array.at.ok_or_else(|| invalid("an array of a call that is not in shared memory"))? as usize;
            let end = at.checked_add(byte_length(array)?).ok_or_else(|| invalid("an array beyond shared memory"))?;
            let bytes = shared.get(at..end).ok_or_else(|| invalid("an array beyond shared memory"))?;
            let data = match array.dtype.as_str() {
                "u8" => View::U8(bytes),
                "f32" => View::F32(bytemuck::try_cast_slice(bytes).map_err(|_| invalid("a misaligned array"))?),
                _ => View::I64(bytemuck::try_cast_slice(bytes).map_err(|_| invalid("a misaligned array"))?),
            };
            Ok(Blob { shape: &array.shape, data })
        })
        .collect()
}

fn take(fd: impl AsFd) -> io::Result<OwnedFd> {
    fd.as_fd().try_clone_to_owned()
}
