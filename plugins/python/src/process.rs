//! One Python process: started, asked over a socket, ended together with everything that it started.

use std::{
    io,
    os::{
        fd::OwnedFd,
        unix::{net::UnixStream, process::ExitStatusExt},
    },
    process::{Child, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use plugin_api::{
    Array, Blob, Error, ErrorKind, Events, Result,
    client::Door,
    frames::{Frame, Kind, Meta, push_inline},
};

use crate::{guard::Guard, journal::Journal, settings::Settings};

/// Longest time that a process which hung up may take to end.
const FAREWELL: Duration = Duration::from_secs(1);

/// A running Python process with its model open.
pub struct Process {
    child: Child,
    guard: Guard,
    socket: UnixStream,
    journal: Journal,
    alive: bool,
}

impl Process {
    /// Starts Python and waits until its model is open, which may take as long as reading the weights takes.
    ///
    /// # Errors
    /// The interpreter cannot be started, or the script cannot open the model; the message says what to do.
    pub fn start(settings: &Settings) -> Result<Self> {
        let (socket, theirs) = UnixStream::pair()?;
        let (printed, printer) = io::pipe()?;
        let guard = Guard::new().map_err(|e| Error::config(format!("cannot start `sh`, which guards Python: {e}")))?;
        let mut command = settings.command()?;
        // The socket is standard input; whatever is printed reaches the log and cannot break a frame.
        command.stdin(Stdio::from(OwnedFd::from(theirs))).stdout(printer.try_clone()?).stderr(printer);
        let child = guard
            .spawn(&mut command)
            .map_err(|e| Error::config(format!("cannot start Python as `{}`: {e}", command.get_program().display())))?;
        // The command holds the other ends of the socket and of the pipe, which would never close.
        drop(command);
        let mut process = Self { child, guard, socket, journal: Journal::new(printed), alive: true };
        match Frame::read(&mut process.socket) {
            Ok(hello) if hello.kind == Kind::Hello => Ok(process),
            Ok(frame) if frame.kind == Kind::Error => Err(error_of(&frame)),
            Ok(frame) => Err(process.gone(&invalid(format!("{:?} where a greeting is expected", frame.kind)))),
            Err(e) => Err(process.never_opened(&e)),
        }
    }

    /// Whether it can be asked again.
    pub fn is_alive(&self) -> bool {
        self.alive
    }

    fn converse(&mut self, call: &Frame, events: &dyn Events) -> io::Result<Frame> {
        call.write(&mut self.socket)?;
        loop {
            let frame = Frame::read(&mut self.socket)?;
            match frame.kind {
                Kind::Reply | Kind::Error => return Ok(frame),
                Kind::Event => {
                    let arrays = frame.arrays()?;
                    let views: Vec<Blob<'_>> = arrays.iter().map(Array::blob).collect();
                    let answer = match events.event(&frame.meta.op, &frame.header, &views) {
                        Ok((header, arrays)) => Frame::inline(Kind::Reply, "", header, &arrays),
                        Err(e) => error_frame(&e),
                    };
                    answer.write(&mut self.socket)?;
                }
                Kind::Hello | Kind::Call => return Err(invalid(format!("{:?} while a call runs", frame.kind))),
            }
        }
    }

    /// An error of the start, with the words that explain it.
    fn never_opened(&mut self, cause: &io::Error) -> Error {
        let gone = self.gone(cause);
        let said = self.journal.last_lines();
        let why = match said.last() {
            Some(line) if line.contains("No module named medvlm_worker") => {
                ": the worker kit is missing, install it with `pip install` from the folder plugins/python/kit".into()
            }
            Some(line) => format!(": {line}"),
            None => String::new(),
        };
        Error { kind: ErrorKind::Config, message: format!("{}{why}", gone.message), detail: said.join("\n") }
    }

    /// Ends what is left and says how it ended.
    fn gone(&mut self, cause: &io::Error) -> Error {
        self.alive = false;
        let broken = cause.kind() == io::ErrorKind::InvalidData;
        let patience = if broken { Duration::ZERO } else { FAREWELL };
        let status = farewell(&mut self.child, patience);
        self.guard.end();
        let _ = self.child.wait();
        let message = match status {
            _ if broken => format!("the Python process broke the frame protocol and was ended: {cause}"),
            None => "the Python process hung up and was ended".into(),
            Some(status) => match (status.signal(), status.code()) {
                (Some(signal), _) => format!("the Python process died of signal {signal}"),
                (None, code) => format!("the Python process exited with code {}", code.unwrap_or(-1)),
            },
        };
        Error { kind: ErrorKind::Other, message, detail: self.journal.last_lines().join("\n") }
    }
}

impl Door for Process {
    fn call(
        &mut self,
        op: &str,
        header: &str,
        blobs: &[Blob<'_>],
        events: &dyn Events,
    ) -> Result<(String, Vec<Array>)> {
        let mut call = Frame { kind: Kind::Call, meta: Meta::default(), header: header.into(), body: Vec::new() };
        call.meta.op = op.into();
        call.meta.arrays = blobs.iter().map(|blob| push_inline(blob, &mut call.body)).collect();
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

impl Drop for Process {
    fn drop(&mut self) {
        self.guard.end();
        let _ = self.child.wait();
        self.journal.settle();
    }
}

/// The status of a process that ends within this time.
fn farewell(child: &mut Child, patience: Duration) -> Option<ExitStatus> {
    let end = Instant::now() + patience;
    loop {
        match child.try_wait() {
            Ok(None) if Instant::now() < end => thread::sleep(Duration::from_millis(2)),
            status => return status.ok().flatten(),
        }
    }
}

/// An error as a frame: kind in the op, message in the header, detail in the body.
fn error_frame(error: &Error) -> Frame {
    let mut frame = Frame::inline(Kind::Error, &(error.kind as u32).to_string(), error.message.clone(), &[]);
    frame.body = error.detail.clone().into_bytes();
    frame
}

fn error_of(frame: &Frame) -> Error {
    let kind = ErrorKind::from_code(frame.meta.op.parse().unwrap_or_default());
    let detail = String::from_utf8_lossy(&frame.body).into_owned();
    Error { kind, message: frame.header.clone(), detail }
}

fn invalid(what: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}
