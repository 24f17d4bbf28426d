//! The door for plugins in C and C++: a table of functions, declared in `plugin-api/c/medvlm_plugin.h`.
//!
//! No layout report vouches for such a library, so that all it says is checked before it is used: the version and
//! the size of its table before any function is called, strings before they are text, arrays before they are copied.

#![allow(unsafe_code, reason = "functions and memory of a C library are out of reach of safe code")]

use std::{
    ffi::{CString, c_char, c_void},
    path::Path,
    ptr,
    sync::{Mutex, PoisonError},
};

use libloading::Library;
use plugin_api::{Array, Blob, Error, ErrorKind, Events, Result, client::Door};

pub use layout::ABI_VERSION;
use layout::{CBlob, Functions, Reply, Sink, Table, text};

mod layout;

/// Name of the symbol that a plugin defines.
pub const SYMBOL: &str = "medvlm_plugin_v1";

/// `MEDVLM_MESSAGE_BYTES` of the header.
const MESSAGE_BYTES: usize = 1024;

/// A mapped library with a complete table of functions.
#[derive(Clone, Copy)]
pub struct CPlugin(Functions);

/// An opened model of a plugin in C.
pub struct CModel {
    functions: Functions,
    model: *mut c_void,
}

// SAFETY: the header allows calls from changing threads, one at a time, which `&mut self` ensures.
unsafe impl Send for CModel {}

/// Maps a library and checks its table; none when it has no such symbol. The library stays mapped for ever.
pub fn load(path: &Path) -> Result<Option<CPlugin>> {
    // SAFETY: mapping runs initialisers of the library, which nothing can vouch for; a worker goes first.
    let library = unsafe { Library::new(path) }.map_err(|e| Error::config(format!("not a loadable library: {e}")))?;
    // SAFETY: only the address is taken here.
    let Ok(table) = (unsafe { library.get::<*const Table>(SYMBOL) }).map(|symbol| *symbol) else { return Ok(None) };
    // Threads and exit handlers of the plugin may outlive its models; abi_stable keeps its libraries, too.
    std::mem::forget(library);
    // SAFETY: the symbol's name promises the header's table at this address, and the library stays mapped.
    unsafe { Table::read(table) }.map(|functions| Some(CPlugin(functions)))
}

impl CPlugin {
    /// JSON of what the plugin offers.
    pub fn info_json(&self) -> Result<String> {
        // SAFETY: the header's contract: it takes nothing and returns a string that lives as long as the library.
        let info = unsafe { text((self.0.info_json)(), "what `info_json` returns") };
        Ok(info.map_err(|e| Error::config(e.message))?.to_string())
    }

    /// Opens an architecture with the JSON of [`plugin_api::Open`].
    pub fn open(&self, architecture: &str, config: &str) -> Result<CModel> {
        let (architecture, config) = (CString::new(architecture)?, CString::new(config)?);
        let mut model = ptr::null_mut();
        let mut message = [0; MESSAGE_BYTES];
        // SAFETY: all pointers are valid during the call, and `message` has the size of the header.
        let code = unsafe { (self.0.open)(architecture.as_ptr(), config.as_ptr(), &mut model, message.as_mut_ptr()) };
        match code {
            0 => Ok(CModel { functions: self.0, model }),
            code => Err(failure(code, &message, None)),
        }
    }
}

impl Door for CModel {
    fn call(
        &mut self,
        op: &str,
        header: &str,
        blobs: &[Blob<'_>],
        events: &dyn Events,
    ) -> Result<(String, Vec<Array>)> {
        let (op, header) = (CString::new(op)?, CString::new(header)?);
        let blobs: Vec<CBlob> = blobs.iter().map(CBlob::from).collect();
        let receiver = Receiver { events, refusal: Mutex::new(None) };
        let sink = Sink { emit, host: (&raw const receiver).cast_mut().cast() };
        let mut reply = Reply { header: ptr::null(), arrays: ptr::null(), count: 0, owner: ptr::null_mut() };
        let mut message = [0; MESSAGE_BYTES];
        // SAFETY: `model` is what `open` stored; all other pointers are valid during the call, `blobs` for their
        // number; the plugin may use the sink until the call returns, and `receiver` lives longer.
        let code = unsafe {
            (self.functions.call)(
                self.model,
                op.as_ptr(),
                header.as_ptr(),
                blobs.as_ptr(),
                blobs.len() as u64,
                &sink,
                &mut reply,
                message.as_mut_ptr(),
            )
        };
        let answer = match code {
            // SAFETY: the plugin filled the reply, and keeps it until `free_reply`.
            0 => unsafe { reply.copy() },
            code => Err(failure(code, &message, receiver.refusal())),
        };
        // SAFETY: nothing of the reply is used from here on; the one call for this reply.
        unsafe { (self.functions.free_reply)(&mut reply) };
        answer
    }
}

impl Drop for CModel {
    fn drop(&mut self) {
        // SAFETY: `model` is what `open` stored, and is not used after this.
        unsafe { (self.functions.close)(self.model) }
    }
}

/// Receives the events of one call, and keeps the error with which it asked to stop.
struct Receiver<'a> {
    events: &'a dyn Events,
    refusal: Mutex<Option<Error>>,
}

impl Receiver<'_> {
    fn refusal(&self) -> Option<Error> {
        self.refusal.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// `emit` of the header: hands an event to the host; a code other than 0 asks the plugin to stop.
unsafe extern "C" fn emit(host: *mut c_void, op: *const c_char, header: *const c_char) -> i32 {
    // SAFETY: the header tells to pass `sink->host`, which is the receiver of the running call.
    let Some(receiver) = (unsafe { host.cast::<Receiver<'_>>().as_ref() }) else { return ErrorKind::Input as i32 };
    // SAFETY: the header tells to pass strings, which stay as they are during this call.
    let event = unsafe { text(op, "the op of an event").and_then(|op| Ok((op, text(header, "an event's header")?))) };
    match event.and_then(|(op, header)| receiver.events.event(op, header, &[])) {
        Ok(_) => 0,
        Err(e) => {
            let code = e.kind as i32;
            receiver.refusal.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(e);
            code
        }
    }
}

/// The error behind a code. When the host itself asked to stop, that is the reason; a plugin that claims so without
/// having been asked must not stop a run.
fn failure(code: i32, message: &[c_char], refusal: Option<Error>) -> Error {
    if let Some(refusal) = refusal.filter(|e| e.kind as i32 == code) {
        return refusal;
    }
    let kind = match ErrorKind::from_code(code as u32) {
        ErrorKind::Cancelled => ErrorKind::Other,
        kind => kind,
    };
    let message: Vec<u8> = message.iter().map(|c| *c as u8).take_while(|c| *c != 0).collect();
    match String::from_utf8_lossy(&message) {
        empty if empty.is_empty() => Error::new(kind, format!("the plugin failed with code {code} and said nothing")),
        message => Error::new(kind, message),
    }
}
