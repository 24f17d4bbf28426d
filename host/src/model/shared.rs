//! Memory that the host writes images into and a worker reads them from.

#![allow(unsafe_code, reason = "mapping a file is unsafe; both maps of this module are explained below")]

use std::{
    fs::File,
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use memmap2::{Mmap, MmapMut};

/// The host's side: an anonymous file that grows with the largest batch.
pub struct Writer {
    file: File,
    map: MmapMut,
}

/// The worker's side.
pub struct Reader {
    file: File,
    map: Option<Mmap>,
}

impl Writer {
    /// An anonymous file of `bytes` bytes; pages take memory once they are written.
    pub fn new(bytes: u64) -> io::Result<Self> {
        let file = File::from(rustix::fs::memfd_create("medvlm", rustix::fs::MemfdFlags::CLOEXEC)?);
        file.set_len(bytes)?;
        let map = map_mut(&file)?;
        Ok(Self { file, map })
    }

    /// The file, for the worker.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    /// At least `bytes` writable bytes.
    pub fn reserve(&mut self, bytes: usize) -> io::Result<&mut [u8]> {
        if bytes > self.map.len() {
            self.file.set_len(bytes as u64)?;
            self.map = map_mut(&self.file)?;
        }
        Ok(&mut self.map)
    }

    /// Size of the file.
    pub fn len(&self) -> u64 {
        self.map.len() as u64
    }
}

impl Reader {
    /// A reader of the host's file; nothing is mapped yet.
    pub fn new(fd: OwnedFd) -> Self {
        Self { file: File::from(fd), map: None }
    }

    /// The first `bytes` bytes.
    pub fn bytes(&mut self, bytes: u64) -> io::Result<&[u8]> {
        if self.map.as_ref().is_none_or(|map| (map.len() as u64) < bytes) {
            if self.file.metadata()?.len() < bytes {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "shared memory is smaller than announced"));
            }
            // SAFETY: the file is an anonymous memfd that only the host can shrink, which it never
            // does; it writes only while this worker waits for the next call.
            self.map = Some(unsafe { Mmap::map(&self.file)? });
        }
        Ok(self.map.as_deref().unwrap_or_default())
    }
}

fn map_mut(file: &File) -> io::Result<MmapMut> {
    // SAFETY: the file is an anonymous memfd of this process; the worker maps it read-only, and the host
    // writes to it only between calls, so no reference to it is alive on the other side.
    unsafe { MmapMut::map_mut(file) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_sees_what_the_writer_wrote_before_and_after_it_grew() {
        let mut writer = Writer::new(16).expect("memfd");
        writer.reserve(4).expect("fits")[..4].copy_from_slice(b"abcd");
        let mut reader = Reader::new(writer.fd().try_clone_to_owned().expect("fd"));
        assert_eq!(&reader.bytes(4).expect("mapped")[..4], b"abcd");
        writer.reserve(1 << 20).expect("grows")[(1 << 20) - 1] = 7;
        assert_eq!(reader.bytes(1 << 20).expect("mapped")[(1 << 20) - 1], 7);
        assert!(reader.bytes(1 << 40).is_err());
    }
}
