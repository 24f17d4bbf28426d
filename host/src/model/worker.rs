//! The host's side of a worker process: a plugin can end its worker, never the host.

use std::{
    io,
    net::Shutdown,
    os::{
        fd::OwnedFd,
        unix::{
            net::UnixStream,
            process::{CommandExt, ExitStatusExt},
        },
    },
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use plugin_api::{
    Array, Blob, Error, ErrorKind, Events, Open, PluginInfo, Result,
    client::Door,
    frames::{ArrayMeta, Frame, Kind, Meta},
    tensor::View,
};

use crate::model::{
    PluginFile, loader,
    serve::{error_frame, error_of},
    shared::Writer,
};

/// `detail` of an error after which the worker is gone.
pub const DEAD: &str = "the worker is gone";

/// How workers are started.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The `medvlm` executable.
    pub program: PathBuf,
    /// Longest time without a word from the worker, per call.
    pub timeout: Duration,
}

/// Longest time that a plugin may take to be mapped and described.
const PROBE_TIMEOUT: Duration = Duration::from_secs(60);

/// Longest time that a worker without a task may take to end.
const FAREWELL: Duration = Duration::from_secs(1);

/// Shared memory at the start; it grows with the largest batch.
const SHARED_BYTES: u64 = 64 << 20;

/// Arrays start at multiples of a cache line.
const ALIGNMENT: usize = 64;

/// A running worker.
pub struct Worker {
    child: Child,
    socket: UnixStream,
    shared: Writer,
    timeout: Duration,
}

/// Checks a library against its manifest and lets a child map it first: a truncated library kills the
/// process that maps it.
pub fn probe(plugin: &PluginFile, settings: &Settings) -> Result<PluginInfo> {
    loader::check_file(plugin)?;
    let settings = Settings { program: settings.program.clone(), timeout: settings.timeout.min(PROBE_TIMEOUT) };
    let arguments = ["worker".into(), plugin.library.as_os_str().to_owned()];
    let (_worker, info) =
        Worker::spawn(&arguments, &settings, Some(settings.timeout)).map_err(|e| match e.detail.as_str() {
            DEAD => Error::config(format!(
                "cannot be mapped ({}): the file is truncated or corrupt, or breaks down at once",
                e.message
            )),
            _ => e,
        })?;
    serde_json::from_str(&info).map_err(|e| Error::config(format!("the plugin describes itself in broken JSON: {e}")))
}

impl Worker {
    /// Starts a worker and waits until its model is open.
    pub fn start(library: &Path, architecture: &str, open: &Open, settings: &Settings) -> Result<Self> {
        let config = serde_json::to_string(open)?;
        let arguments = ["worker".into(), library.into(), architecture.into(), config.into()];
        // Opening may read many gigabytes of weights; only a call is expected to answer in time.
        Ok(Self::spawn(&arguments, settings, None)?.0)
    }

    /// `patience` is the longest time until the worker says that it is ready.
    fn spawn(
        arguments: &[std::ffi::OsString],
        settings: &Settings,
        patience: Option<Duration>,
    ) -> Result<(Self, String)> {
        let (socket, theirs) = UnixStream::pair()?;
        let shared = Writer::new(SHARED_BYTES)?;
        let child = Command::new(&settings.program)
            .args(arguments)
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::from(shared.fd().try_clone_to_owned()?))
            // A terminal's Ctrl-C is for the host, which ends its workers itself.
            .process_group(0)
            .spawn()
            .map_err(|e| Error::config(format!("cannot start a worker ({}): {e}", settings.program.display())))?;
        socket.set_read_timeout(patience)?;
        let mut worker = Self { child, socket, shared, timeout: settings.timeout };
        let hello = Frame::read(&mut worker.socket).map_err(|e| worker.gone(&e))?;
        if hello.kind == Kind::Error {
            return Err(error_of(&hello));
        }
        worker.socket.set_read_timeout(Some(settings.timeout))?;
        Ok((worker, hello.header))
    }

    fn place(&mut self, blobs: &[Blob<'_>]) -> io::Result<Vec<ArrayMeta>> {
        let bytes_of = |blob: &Blob<'_>| match blob.data {
            View::U8(v) => v.len(),
            View::I64(v) => size_of_val(v),
            View::F32(v) => size_of_val(v),
        };
        let total = blobs.iter().map(|b| bytes_of(b).next_multiple_of(ALIGNMENT)).sum();
        let memory = self.shared.reserve(total)?;
        let mut at = 0;
        Ok(blobs
            .iter()
            .map(|blob| {
                let (dtype, bytes): (&str, &[u8]) = match blob.data {
                    View::U8(v) => ("u8", v),
                    View::I64(v) => ("i64", bytemuck::cast_slice(v)),
                    View::F32(v) => ("f32", bytemuck::cast_slice(v)),
                };
                memory[at..at + bytes.len()].copy_from_slice(bytes);
                let meta = ArrayMeta { dtype: dtype.into(), shape: blob.shape.to_vec(), at: Some(at as u64) };
                at += bytes.len().next_multiple_of(ALIGNMENT);
                meta
            })
            .collect())
    }

    fn converse(&mut self, call: &Frame, events: &dyn Events) -> io::Result<Frame> {
        call.write(&mut self.socket)?;
        loop {
            let frame = Frame::read(&mut self.socket)?;
            if frame.kind != Kind::Event {
                return Ok(frame);
            }
            let answer = match events.event(&frame.meta.op, &frame.header, &views(&frame.arrays()?)) {
                Ok((header, arrays)) => Frame::inline(Kind::Reply, "", header, &arrays),
                Err(e) => error_frame(&e),
            };
            answer.write(&mut self.socket)?;
        }
    }

    /// Ends what is left of the worker and says how it ended.
    fn gone(&mut self, cause: &io::Error) -> Error {
        let hung = matches!(cause.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut);
        if hung {
            // A worker that hangs does not react to anything but a kill.
            let _ = self.child.kill();
        }
        let _ = self.socket.shutdown(Shutdown::Both);
        let status = self.child.wait();
        let how = match status {
            _ if hung => format!("the worker did not answer within {} s and was ended", self.timeout.as_secs_f64()),
            Ok(status) => match (status.signal(), status.code()) {
                (Some(signal), _) => format!("the worker died of {}", signal_name(signal)),
                (None, Some(0)) => format!("the worker ended early: {cause}"),
                (None, code) => format!("the worker exited with code {}", code.unwrap_or(-1)),
            },
            Err(e) => format!("the worker is lost: {e}"),
        };
        Error { kind: ErrorKind::Other, message: how, detail: DEAD.into() }
    }
}

impl Door for Worker {
    fn call(
        &mut self,
        op: &str,
        header: &str,
        blobs: &[Blob<'_>],
        events: &dyn Events,
    ) -> Result<(String, Vec<Array>)> {
        let arrays = self.place(blobs)?;
        let meta = Meta { op: op.into(), arrays, shared: self.shared.len() };
        let call = Frame { kind: Kind::Call, meta, header: header.into(), body: Vec::new() };
        let frame = self.converse(&call, events).map_err(|e| self.gone(&e))?;
        match frame.kind {
            Kind::Error => Err(error_of(&frame)),
            _ => {
                let arrays = frame.arrays().map_err(|e| self.gone(&e))?;
                Ok((frame.header, arrays))
            }
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // Hanging up ends a healthy worker, which may still have something to say to the log; the kill is for one that is busy.
        let _ = self.socket.shutdown(Shutdown::Both);
        let patience = Instant::now() + FAREWELL;
        while matches!(self.child.try_wait(), Ok(None)) && Instant::now() < patience {
            thread::sleep(Duration::from_millis(2));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn views(arrays: &[Array]) -> Vec<Blob<'_>> {
    arrays.iter().map(Array::blob).collect()
}

fn signal_name(signal: i32) -> String {
    let name = match signal {
        4 => "an illegal instruction",
        6 => "an abort",
        7 => "a bus error",
        8 => "an arithmetic error",
        9 => "a kill (out of memory, or by hand)",
        11 => "a segmentation fault",
        15 => "a termination by hand",
        other => return format!("signal {other}"),
    };
    format!("{name} (signal {signal})")
}
