//! What lies in memory between host and plugin, as `medvlm_plugin.h` declares it, and the checks before it is used.

use std::{
    ffi::{CStr, c_char, c_void},
    slice,
};

use plugin_api::{Array, Blob, Data, Error, ErrorKind, Result, tensor::View};

use super::SYMBOL;

/// `MEDVLM_ABI_VERSION` of the header.
pub const ABI_VERSION: u32 = 1;

/// Largest reply: a worker's frame carries no more.
const MAX_REPLY_BYTES: u64 = 1 << 30;

/// Most arrays of a reply; the op with the most has one for each text.
const MAX_REPLY_ARRAYS: u64 = 1 << 16;

// An exception that a plugin in C++ lets go ends the process: with this calling convention that is certain, and
// without it undefined.
pub type InfoJson = unsafe extern "C-unwind" fn() -> *const c_char;
pub type Open = unsafe extern "C-unwind" fn(*const c_char, *const c_char, *mut *mut c_void, *mut c_char) -> i32;
pub type Call = unsafe extern "C-unwind" fn(
    *mut c_void,
    *const c_char,
    *const c_char,
    *const CBlob,
    u64,
    *const Sink,
    *mut Reply,
    *mut c_char,
) -> i32;
pub type FreeReply = unsafe extern "C-unwind" fn(*mut Reply);
pub type Close = unsafe extern "C-unwind" fn(*mut c_void);

/// `medvlm_plugin`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Table {
    pub struct_size: u32,
    pub abi_version: u32,
    pub info_json: Option<InfoJson>,
    pub open: Option<Open>,
    pub call: Option<Call>,
    pub free_reply: Option<FreeReply>,
    pub close: Option<Close>,
}

/// The functions of a checked table.
#[derive(Clone, Copy)]
pub struct Functions {
    pub info_json: InfoJson,
    pub open: Open,
    pub call: Call,
    pub free_reply: FreeReply,
    pub close: Close,
}

/// `medvlm_blob`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct CBlob {
    pub dtype: u32,
    pub rank: u32,
    pub shape: [u64; 4],
    pub data: *const c_void,
    pub bytes: u64,
}

/// `medvlm_reply`.
#[repr(C)]
pub struct Reply {
    pub header: *const c_char,
    pub arrays: *const CBlob,
    pub count: u64,
    pub owner: *mut c_void,
}

/// `medvlm_sink`.
#[repr(C)]
pub struct Sink {
    pub emit: unsafe extern "C" fn(*mut c_void, *const c_char, *const c_char) -> i32,
    pub host: *mut c_void,
}

impl Table {
    /// Reads a table: its version and size first, for they tell what else is there.
    ///
    /// # Safety
    /// A table that is not null has a version, a size, and as many bytes as its size says.
    pub unsafe fn read(table: *const Self) -> Result<Functions> {
        if table.is_null() {
            return Err(Error::config(format!("`{SYMBOL}` is null")));
        }
        // SAFETY: every version of the table starts with these two.
        let [size, version] = unsafe { table.cast::<[u32; 2]>().read_unaligned() };
        if version != ABI_VERSION {
            return Err(Error::config(format!(
                "built for plugin ABI C {version}, this host has C {ABI_VERSION}: rebuild the plugin with the \
                 medvlm_plugin.h of this host"
            )));
        }
        if (size as usize) < size_of::<Self>() {
            return Err(Error::config(format!(
                "`{SYMBOL}` says that it has {size} bytes where plugin ABI C {ABI_VERSION} has {}: set `struct_size` \
                 to sizeof(medvlm_plugin)",
                size_of::<Self>()
            )));
        }
        // SAFETY: the size covers it, and a function pointer may be null here.
        let table = unsafe { table.read_unaligned() };
        let missing = |name| move || Error::config(format!("`{SYMBOL}` has a null pointer for `{name}`"));
        Ok(Functions {
            info_json: table.info_json.ok_or_else(missing("info_json"))?,
            open: table.open.ok_or_else(missing("open"))?,
            call: table.call.ok_or_else(missing("call"))?,
            free_reply: table.free_reply.ok_or_else(missing("free_reply"))?,
            close: table.close.ok_or_else(missing("close"))?,
        })
    }
}

impl Reply {
    /// Copies the reply out of the plugin's memory.
    ///
    /// # Safety
    /// Pointers that are not null point to what the header says.
    pub unsafe fn copy(&self) -> Result<(String, Vec<Array>)> {
        // SAFETY: as the caller promises.
        let header = unsafe { text(self.header, "the header of a reply") }?;
        if self.count > MAX_REPLY_ARRAYS {
            return Err(broken(format!("a reply of {} arrays, {MAX_REPLY_ARRAYS} at most", self.count)));
        }
        if self.count > 0 && self.arrays.is_null() {
            return Err(broken(format!("a reply of {} arrays at a null pointer", self.count)));
        }
        let mut room = MAX_REPLY_BYTES;
        let mut arrays = Vec::new();
        for position in 0..self.count as usize {
            // SAFETY: the caller promises `count` arrays.
            let blob = unsafe { self.arrays.add(position).read_unaligned() };
            let bytes = blob.check(room).map_err(|what| broken(format!("array {position} of a reply {what}")))?;
            room -= bytes as u64;
            // SAFETY: the caller promises as many bytes as were checked.
            arrays.push(unsafe { blob.copy(bytes) });
        }
        Ok((header.into(), arrays))
    }
}

impl CBlob {
    /// Number of bytes, if everything about the array fits together.
    fn check(&self, room: u64) -> std::result::Result<usize, String> {
        let size: u64 = match self.dtype {
            0 => 1,
            1 => 8,
            2 => 4,
            other => return Err(format!("has dtype {other}; 0 (u8), 1 (i64) and 2 (f32) are known")),
        };
        let shape = self.shape.get(..self.rank as usize).ok_or_else(|| format!("has rank {}, 4 at most", self.rank))?;
        let bytes = shape.iter().try_fold(size, |product, extent| product.checked_mul(*extent));
        match bytes.filter(|bytes| *bytes <= room) {
            None => Err(format!("has shape {shape:?}: a reply has {MAX_REPLY_BYTES} bytes at most")),
            Some(bytes) if bytes != self.bytes => {
                Err(format!("of shape {shape:?} has {} bytes instead of {bytes}", self.bytes))
            }
            Some(bytes) if bytes > 0 && self.data.is_null() => Err(format!("of shape {shape:?} is at a null pointer")),
            Some(bytes) => Ok(bytes as usize),
        }
    }

    /// # Safety
    /// The array was checked, and has `bytes` bytes at `data`.
    unsafe fn copy(&self, bytes: usize) -> Array {
        // SAFETY: as the caller promises; an empty slice must not be made of a null pointer.
        let values = if bytes == 0 { &[][..] } else { unsafe { slice::from_raw_parts(self.data.cast::<u8>(), bytes) } };
        // The plugin's memory may be misaligned, a vector is not.
        let data = match self.dtype {
            0 => Data::U8(values.to_vec()),
            1 => {
                let mut data = vec![0; bytes / 8];
                bytemuck::cast_slice_mut(&mut data).copy_from_slice(values);
                Data::I64(data)
            }
            _ => {
                let mut data = vec![0.0; bytes / 4];
                bytemuck::cast_slice_mut(&mut data).copy_from_slice(values);
                Data::F32(data)
            }
        };
        Array { shape: self.shape[..self.rank as usize].to_vec(), data }
    }
}

impl From<&Blob<'_>> for CBlob {
    fn from(blob: &Blob<'_>) -> Self {
        let (dtype, data, bytes) = match blob.data {
            View::U8(v) => (0, v.as_ptr().cast(), v.len()),
            View::I64(v) => (1, v.as_ptr().cast(), size_of_val(v)),
            View::F32(v) => (2, v.as_ptr().cast(), size_of_val(v)),
        };
        let rank = blob.shape.len().min(4);
        let mut shape = [1; 4];
        shape[..rank].copy_from_slice(&blob.shape[..rank]);
        Self { dtype, rank: rank as u32, shape, data, bytes: bytes as u64 }
    }
}

/// A plugin's string as text.
///
/// # Safety
/// A pointer that is not null points to a NUL-terminated string that stays as it is for `'a`.
pub unsafe fn text<'a>(pointer: *const c_char, what: &str) -> Result<&'a str> {
    if pointer.is_null() {
        return Err(broken(format!("{what} is a null pointer")));
    }
    // SAFETY: as the caller promises.
    unsafe { CStr::from_ptr(pointer) }.to_str().map_err(|_| broken(format!("{what} is not UTF-8")))
}

fn broken(what: String) -> Error {
    Error::new(ErrorKind::Other, format!("the plugin broke the contract: {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const VALUES: [f32; 3] = [1.5, -2.0, 0.25];

    fn blob() -> CBlob {
        CBlob { dtype: 2, rank: 2, shape: [1, 3, 9, 9], data: VALUES.as_ptr().cast(), bytes: 12 }
    }

    fn copy(header: &CStr, blobs: &[CBlob]) -> Result<(String, Vec<Array>)> {
        let owner = std::ptr::null_mut();
        let reply = Reply { header: header.as_ptr(), arrays: blobs.as_ptr(), count: blobs.len() as u64, owner };
        // SAFETY: the arrays of these tests are what they say they are, or are refused.
        unsafe { reply.copy() }
    }

    fn refused(blob: CBlob, sentence: &str) {
        let error = copy(c"{}", &[blob]).unwrap_err().message;
        assert!(error.contains(sentence), "`{sentence}` is not in `{error}`");
    }

    #[test]
    fn arrays_are_copied_from_any_alignment() {
        let ids = [7i64, -1];
        let mut bytes = vec![0u8];
        bytes.extend(ids.iter().flat_map(|id| id.to_ne_bytes()));
        let misaligned = CBlob { dtype: 1, rank: 1, shape: [2, 0, 0, 0], data: bytes[1..].as_ptr().cast(), bytes: 16 };
        let empty = CBlob { dtype: 0, rank: 3, shape: [0, 4, 3, 0], data: std::ptr::null(), bytes: 0 };
        let scalar = CBlob { rank: 0, bytes: 4, ..blob() };
        let (header, arrays) = copy(c"{\"a\": 1}", &[blob(), misaligned, empty, scalar]).unwrap();
        assert_eq!(header, "{\"a\": 1}");
        assert_eq!(arrays[0], Array { shape: vec![1, 3], data: Data::F32(VALUES.to_vec()) });
        assert_eq!(arrays[1], Array { shape: vec![2], data: Data::I64(ids.to_vec()) });
        assert_eq!(arrays[2], Array { shape: vec![0, 4, 3], data: Data::U8(Vec::new()) });
        assert_eq!(arrays[3], Array { shape: Vec::new(), data: Data::F32(vec![1.5]) });
    }

    #[test]
    fn what_the_host_hands_over_reads_back() {
        let (shape, ids) = ([2, 1], [3i64, 4]);
        let given = CBlob::from(&Blob { shape: &shape, data: View::I64(&ids) });
        assert_eq!((given.dtype, given.rank, given.shape, given.bytes), (1, 2, [2, 1, 1, 1], 16));
        assert_eq!(copy(c"{}", &[given]).unwrap().1[0], Array { shape: vec![2, 1], data: Data::I64(ids.to_vec()) });
    }

    #[test]
    fn arrays_that_do_not_fit_together_are_refused() {
        refused(CBlob { dtype: 3, ..blob() }, "array 0 of a reply has dtype 3");
        refused(CBlob { rank: 5, ..blob() }, "array 0 of a reply has rank 5, 4 at most");
        refused(
            CBlob { shape: [1 << 40, 1 << 40, 1, 1], ..blob() },
            "has shape [1099511627776, 1099511627776]: a reply",
        );
        refused(CBlob { shape: [1 << 28, 1, 1, 1], bytes: 1 << 30, data: std::ptr::null(), ..blob() }, "null pointer");
        refused(CBlob { shape: [1, (1 << 28) + 1, 1, 1], ..blob() }, "1073741824 bytes at most");
        refused(CBlob { shape: [2, 3, 1, 1], ..blob() }, "of shape [2, 3] has 12 bytes instead of 24");
        refused(CBlob { data: std::ptr::null(), ..blob() }, "of shape [1, 3] is at a null pointer");
    }

    #[test]
    fn replies_that_do_not_fit_together_are_refused() {
        let refused = |reply: Reply, sentence: &str| {
            // SAFETY: the replies of this test are refused before anything behind their pointers is read.
            let error = unsafe { reply.copy() }.unwrap_err().message;
            assert!(error.contains(sentence), "`{sentence}` is not in `{error}`");
        };
        let (arrays, owner) = (std::ptr::null::<CBlob>(), std::ptr::null_mut());
        let header = c"{}".as_ptr();
        refused(Reply { header: arrays.cast(), arrays, count: 0, owner }, "the header of a reply is a null pointer");
        refused(Reply { header, arrays, count: 1, owner }, "a reply of 1 arrays at a null pointer");
        refused(
            Reply { header, arrays, count: u64::MAX, owner },
            "a reply of 18446744073709551615 arrays, 65536 at most",
        );
        assert!(copy(c"\xff", &[]).unwrap_err().message.contains("the header of a reply is not UTF-8"));
    }
}
