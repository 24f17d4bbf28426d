//! The third door: the same messages as frames between the host and a worker process, in any language.
//!
//! A worker finds a stream socket as file descriptor 0 and shared memory as file descriptor 1. It sends
//! [`Kind::Hello`] once the model is open, then answers each [`Kind::Call`] with [`Kind::Reply`] or
//! [`Kind::Error`]; while a call runs it may send any number of [`Kind::Event`], each of which the host
//! answers with a reply or an error. A frame is 16 bytes, four little-endian `u32`: kind, and the
//! lengths of three parts that follow: [`Meta`] as JSON, the message's own JSON, and inline array bytes.

use std::io::{self, Read, Write};

use serde::{Deserialize, Serialize};

use crate::tensor::{Array, Blob, Data, View};

/// What a frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Kind {
    /// The worker is ready.
    Hello = 0,
    /// Host to worker: perform an op.
    Call = 1,
    /// Answer to a call or an event.
    Reply = 2,
    /// Failure of a call or an event; `meta.op` is the number of the error kind, the message is the header.
    Error = 3,
    /// Worker to host, while a call runs.
    Event = 4,
}

/// First part of a frame.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Meta {
    /// Name of the op or event.
    pub op: String,
    /// The arrays, in order.
    pub arrays: Vec<ArrayMeta>,
    /// Bytes of shared memory that must be mapped to read this frame's arrays.
    pub shared: u64,
}

/// Where an array lies.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ArrayMeta {
    /// `u8`, `i64` or `f32`.
    pub dtype: String,
    /// Extents, slowest first.
    pub shape: Vec<u64>,
    /// Byte offset in shared memory; none when the bytes are inline.
    pub at: Option<u64>,
}

/// A whole frame.
#[derive(Debug, PartialEq)]
pub struct Frame {
    /// What it is.
    pub kind: Kind,
    /// Op and arrays.
    pub meta: Meta,
    /// JSON of the message.
    pub header: String,
    /// Bytes of the inline arrays, one after the other.
    pub body: Vec<u8>,
}

/// Largest part that is accepted: a corrupt length must not become a huge allocation.
const MAX_PART: u32 = 1 << 30;

impl Frame {
    /// A frame with inline arrays.
    pub fn inline(kind: Kind, op: &str, header: String, arrays: &[Array]) -> Self {
        let mut body = Vec::new();
        let metas = arrays.iter().map(|array| push_inline(&array.blob(), &mut body)).collect();
        Self { kind, meta: Meta { op: op.into(), arrays: metas, shared: 0 }, header, body }
    }

    /// Writes the frame and flushes.
    pub fn write(&self, out: &mut impl Write) -> io::Result<()> {
        let meta = serde_json::to_vec(&self.meta)?;
        let mut head = [0; 16];
        let lengths = [self.kind as u32, length(meta.len())?, length(self.header.len())?, length(self.body.len())?];
        for (slot, value) in head.chunks_exact_mut(4).zip(lengths) {
            slot.copy_from_slice(&value.to_le_bytes());
        }
        let mut bytes = Vec::with_capacity(16 + meta.len() + self.header.len());
        bytes.extend_from_slice(&head);
        bytes.extend_from_slice(&meta);
        bytes.extend_from_slice(self.header.as_bytes());
        out.write_all(&bytes)?;
        out.write_all(&self.body)?;
        out.flush()
    }

    /// Reads one frame.
    pub fn read(input: &mut impl Read) -> io::Result<Self> {
        let mut head = [0; 16];
        input.read_exact(&mut head)?;
        let mut parts = head.chunks_exact(4).map(|c| u32::from_le_bytes([c[0], c[1], c[2], c[3]]));
        let mut next = || parts.next().unwrap_or_default();
        let kind = match next() {
            0 => Kind::Hello,
            1 => Kind::Call,
            2 => Kind::Reply,
            3 => Kind::Error,
            4 => Kind::Event,
            other => return Err(invalid(format!("unknown frame kind {other}"))),
        };
        let mut read = |length: u32| {
            if length > MAX_PART {
                return Err(invalid(format!("a frame part of {length} bytes")));
            }
            let mut bytes = vec![0; length as usize];
            input.read_exact(&mut bytes).map(|()| bytes)
        };
        let meta = serde_json::from_slice(&read(next())?)?;
        let header = String::from_utf8(read(next())?).map_err(|e| invalid(e.to_string()))?;
        let body = read(next())?;
        Ok(Self { kind, meta, header, body })
    }

    /// The arrays of a frame, copied out of the body; arrays in shared memory are an error here.
    pub fn arrays(&self) -> io::Result<Vec<Array>> {
        let mut rest = self.body.as_slice();
        self.meta
            .arrays
            .iter()
            .map(|meta| {
                if meta.at.is_some() {
                    return Err(invalid("an array in shared memory where an inline one is expected".into()));
                }
                let bytes = rest
                    .split_off(..byte_length(meta)?)
                    .ok_or_else(|| invalid("a frame body that is too short".into()))?;
                array(meta, bytes)
            })
            .collect()
    }
}

/// Number of bytes of an array.
pub fn byte_length(meta: &ArrayMeta) -> io::Result<usize> {
    let size = match meta.dtype.as_str() {
        "u8" => 1,
        "f32" => 4,
        "i64" => 8,
        other => return Err(invalid(format!("unknown dtype `{other}`"))),
    };
    meta.shape
        .iter()
        .try_fold(size, |product: u64, extent| product.checked_mul(*extent))
        .and_then(|n| usize::try_from(n).ok())
        .ok_or_else(|| invalid(format!("an array of shape {:?}", meta.shape)))
}

/// Appends an array to a body and describes it.
pub fn push_inline(blob: &Blob<'_>, body: &mut Vec<u8>) -> ArrayMeta {
    let dtype = match blob.data {
        View::U8(v) => {
            body.extend_from_slice(v);
            "u8"
        }
        View::I64(v) => {
            body.extend(v.iter().flat_map(|x| x.to_le_bytes()));
            "i64"
        }
        View::F32(v) => {
            body.extend(v.iter().flat_map(|x| x.to_le_bytes()));
            "f32"
        }
    };
    ArrayMeta { dtype: dtype.into(), shape: blob.shape.to_vec(), at: None }
}

fn array(meta: &ArrayMeta, bytes: &[u8]) -> io::Result<Array> {
    let data = match meta.dtype.as_str() {
        "u8" => Data::U8(bytes.to_vec()),
        "f32" => Data::F32(bytes.chunks_exact(4).map(|c| f32::from_le_bytes([c[0], c[1], c[2], c[3]])).collect()),
        _ => Data::I64(
            bytes
                .chunks_exact(8)
                .map(|c| i64::from_le_bytes([c[0], c[1], c[2], c[3], c[4], c[5], c[6], c[7]]))
                .collect(),
        ),
    };
    Ok(Array { shape: meta.shape.clone(), data })
}

fn length(n: usize) -> io::Result<u32> {
    u32::try_from(n).map_err(|_| invalid(format!("a frame part of {n} bytes")))
}

fn invalid(what: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}
