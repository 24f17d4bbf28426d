//! What crosses the dynamic-library boundary, both halves in one file.
//!
//! One method carries everything: `call(op, header JSON, blobs, sink) -> reply`. The layout below is
//! frozen within an ABI major; growth happens in the serde types of [`crate::message`].

use abi_stable::{
    StableAbi, declare_root_module_statics,
    library::RootModule,
    sabi_trait,
    sabi_types::{RRef, VersionStrings},
    std_types::{RBox, RErr, ROk, RResult, RSlice, RStr, RString, RVec},
};

use crate::{
    Error, ErrorKind, Result,
    tensor::{Array, Blob, Data, View},
};

/// Version of the boundary. A host loads plugins of the same major, older or newer.
pub const ABI_VERSION: &str = "1.0.0";

/// The most axes of an array.
pub const AXES: usize = 4;

/// Name of the symbol that [`crate::export_plugin!`] exports; abi_stable looks for it.
pub const ROOT_SYMBOL: &str = "_1as_0lib_1header_0root_bmodule_bloader";

/// A borrowed array: `shape` has `rank` meaningful extents.
#[repr(C)]
#[derive(StableAbi, Clone, Copy)]
pub struct RawBlob<'a> {
    /// Number of meaningful extents in `shape`.
    pub rank: u32,
    /// Extents, slowest first.
    pub shape: [u64; AXES],
    /// The values, contiguous, row-major.
    pub data: RawView<'a>,
}

/// Borrowed values of one of the element types that the boundary knows.
#[repr(u8)]
#[derive(StableAbi, Clone, Copy)]
pub enum RawView<'a> {
    /// Pixels.
    U8(RSlice<'a, u8>),
    /// Token ids.
    I64(RSlice<'a, i64>),
    /// Features, logits, pixel values.
    F32(RSlice<'a, f32>),
}

/// An array that the other side owns from now on.
#[repr(C)]
#[derive(StableAbi)]
pub struct RawArray {
    /// Number of meaningful extents in `shape`.
    pub rank: u32,
    /// Extents, slowest first.
    pub shape: [u64; AXES],
    /// The values, freed by the allocator that made them.
    pub data: RawData,
}

/// Owned values; each vector carries its own release function.
#[repr(u8)]
#[derive(StableAbi)]
pub enum RawData {
    /// Pixels.
    U8(RVec<u8>),
    /// Token ids.
    I64(RVec<i64>),
    /// Features, logits, pixel values.
    F32(RVec<f32>),
}

/// Answer to a call.
#[repr(C)]
#[derive(StableAbi)]
pub struct RawReply {
    /// JSON, of the type that the op names in [`crate::message`].
    pub header: RString,
    /// Arrays, in the order that the op names.
    pub arrays: RVec<RawArray>,
}

/// An error as it crosses the boundary.
#[repr(C)]
#[derive(StableAbi, Debug)]
pub struct RawError {
    /// One of [`ErrorKind`].
    pub kind: u32,
    /// One sentence.
    pub message: RString,
    /// Place and backtrace of a panic; empty otherwise.
    pub detail: RString,
}

/// The host's side of a running call: the plugin reports through it and pulls samples from it.
#[sabi_trait]
pub trait RawSink: Sync {
    /// One event; an error of kind `cancelled` asks the plugin to stop.
    #[sabi(last_prefix_field)]
    fn call(&self, op: RStr<'_>, header: RStr<'_>, blobs: RSlice<'_, RawBlob<'_>>) -> RResult<RawReply, RawError>;
}

/// Borrowed sink, as a call receives it.
pub type SinkRef<'b, 'a> = RawSink_TO<'b, RRef<'a, ()>>;

/// An opened model.
#[sabi_trait]
pub trait RawModel: Send + Sync {
    /// Performs one op on a batch.
    #[sabi(last_prefix_field)]
    fn call(
        &self,
        op: RStr<'_>,
        header: RStr<'_>,
        blobs: RSlice<'_, RawBlob<'_>>,
        sink: &RawSink_TO<'_, RRef<'_, ()>>,
    ) -> RResult<RawReply, RawError>;
}

/// An opened model behind its vtable.
pub type ModelBox = RawModel_TO<'static, RBox<()>>;

/// The root module of a plugin library.
#[repr(C)]
#[derive(StableAbi)]
#[sabi(kind(Prefix(prefix_ref = PluginRef)))]
#[sabi(missing_field(panic))]
pub struct Plugin {
    /// JSON of [`crate::message::PluginInfo`].
    pub info: extern "C" fn() -> RString,
    /// Opens an architecture with the JSON of [`crate::message::Open`].
    #[sabi(last_prefix_field)]
    pub open: extern "C" fn(architecture: RStr<'_>, config: RStr<'_>) -> RResult<ModelBox, RawError>,
}

impl RootModule for PluginRef {
    declare_root_module_statics! {PluginRef}
    const BASE_NAME: &'static str = "medvlm_plugin";
    const NAME: &'static str = "medvlm_plugin";
    const VERSION_STRINGS: VersionStrings = VersionStrings::new(ABI_VERSION);
}

impl<'a> From<&Blob<'a>> for RawBlob<'a> {
    fn from(blob: &Blob<'a>) -> Self {
        let (rank, shape) = pack(blob.shape);
        let data = match blob.data {
            View::U8(v) => RawView::U8(v.into()),
            View::I64(v) => RawView::I64(v.into()),
            View::F32(v) => RawView::F32(v.into()),
        };
        Self { rank, shape, data }
    }
}

impl<'a> RawBlob<'a> {
    /// The same array with ordinary slices; the extents borrow from `self`.
    pub fn view(&'a self) -> Blob<'a> {
        let data = match self.data {
            RawView::U8(v) => View::U8(v.into()),
            RawView::I64(v) => View::I64(v.into()),
            RawView::F32(v) => View::F32(v.into()),
        };
        Blob { shape: &self.shape[..(self.rank as usize).min(AXES)], data }
    }
}

impl From<Array> for RawArray {
    fn from(array: Array) -> Self {
        let (rank, shape) = pack(&array.shape);
        let data = match array.data {
            Data::U8(v) => RawData::U8(v.into()),
            Data::I64(v) => RawData::I64(v.into()),
            Data::F32(v) => RawData::F32(v.into()),
        };
        Self { rank, shape, data }
    }
}

impl From<RawArray> for Array {
    fn from(raw: RawArray) -> Self {
        let data = match raw.data {
            RawData::U8(v) => Data::U8(v.into_vec()),
            RawData::I64(v) => Data::I64(v.into_vec()),
            RawData::F32(v) => Data::F32(v.into_vec()),
        };
        Self { shape: raw.shape[..(raw.rank as usize).min(AXES)].to_vec(), data }
    }
}

impl From<Error> for RawError {
    fn from(e: Error) -> Self {
        Self { kind: e.kind as u32, message: e.message.into(), detail: e.detail.into() }
    }
}

impl From<RawError> for Error {
    fn from(e: RawError) -> Self {
        Self { kind: ErrorKind::from_code(e.kind), message: e.message.into(), detail: e.detail.into() }
    }
}

/// A result in its crossing form; arrays of more than four axes are an error.
pub fn to_raw(result: Result<(String, Vec<Array>)>) -> RResult<RawReply, RawError> {
    match result {
        Ok((header, arrays)) => {
            if let Some(array) = arrays.iter().find(|array| array.shape.len() > AXES) {
                let shape = &array.shape;
                let error = Error::input(format!("an array of shape {shape:?} has more than {AXES} axes; join some"));
                return RErr(error.into());
            }
            ROk(RawReply { header: header.into(), arrays: arrays.into_iter().map(Into::into).collect() })
        }
        Err(e) => RErr(e.into()),
    }
}

/// A crossing result in its ordinary form.
pub fn from_raw(result: RResult<RawReply, RawError>) -> Result<(String, Vec<Array>)> {
    match result {
        ROk(reply) => Ok((reply.header.into(), reply.arrays.into_iter().map(Into::into).collect())),
        RErr(e) => Err(e.into()),
    }
}

fn pack(shape: &[u64]) -> (u32, [u64; AXES]) {
    let mut extents = [1; AXES];
    let rank = shape.len().min(AXES);
    extents[..rank].copy_from_slice(&shape[..rank]);
    (rank as u32, extents)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_array_of_five_axes_is_refused_rather_than_cut() {
        let array = |shape: &[u64]| Array { shape: shape.to_vec(), data: Data::F32(vec![0.0; 2]) };
        let (_, back) = from_raw(to_raw(Ok((String::new(), vec![array(&[1, 1, 2, 1])])))).unwrap();
        assert_eq!(back[0].shape, [1, 1, 2, 1]);
        let refused = from_raw(to_raw(Ok((String::new(), vec![array(&[1, 1, 1, 2, 1])])))).unwrap_err();
        assert!(refused.message.contains("more than 4 axes"), "{refused}");
    }
}
