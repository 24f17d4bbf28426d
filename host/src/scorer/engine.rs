//! The wasmtime engine, set up so that a score is the same on every machine, and its cache of compiled code.

use std::{
    fs,
    hash::{DefaultHasher, Hash, Hasher},
    io::Write,
    path::{Path, PathBuf},
};

use wasmtime::component::Component;

use crate::error::{Error, Result};

/// Stack of a scorer, in bytes.
pub(super) const STACK_LIMIT: usize = 512 << 10;

/// Compiles scorers.
///
/// NaN is canonical, relaxed SIMD is off, and fuel, never a clock, ends a call that takes too long.
pub struct Engine {
    pub(super) wasmtime: wasmtime::Engine,
    cache: Option<PathBuf>,
}

impl Engine {
    /// Prepares the compiler. Compiled code is kept in the directory `cache`, which is created.
    pub fn new(cache: Option<PathBuf>) -> Result<Self> {
        let mut config = wasmtime::Config::new();
        config
            .cranelift_nan_canonicalization(true)
            .wasm_relaxed_simd(false)
            .consume_fuel(true)
            .max_wasm_stack(STACK_LIMIT)
            .wasm_backtrace_max_frames(None);
        let wasmtime = wasmtime::Engine::new(&config)
            .map_err(|e| Error::failed(format!("the WebAssembly engine does not start on this machine: {e}")))?;
        if let Some(dir) = &cache {
            fs::create_dir_all(dir).map_err(Error::io(dir))?;
        }
        Ok(Self { wasmtime, cache })
    }

    /// Compiles a component, or takes its code from the cache.
    pub(super) fn compile(&self, wasm: &[u8]) -> wasmtime::Result<Component> {
        let Some(entry) = self.cache.as_ref().map(|dir| self.entry(dir, wasm)) else {
            return Component::from_binary(&self.wasmtime, wasm);
        };
        if let Some(component) = read_entry(&entry).and_then(|code| deserialize(&self.wasmtime, &code)) {
            return Ok(component);
        }
        let component = Component::from_binary(&self.wasmtime, wasm)?;
        if let Err(error) = write_entry(&entry, &component.serialize()?) {
            tracing::warn!("{}: compiled code is not cached: {error}", entry.display());
        }
        Ok(component)
    }

    /// Name of a cache entry: the component, and the engine's version, target and settings.
    fn entry(&self, dir: &Path, wasm: &[u8]) -> PathBuf {
        let mut settings = DefaultHasher::new();
        self.wasmtime.precompile_compatibility_hash().hash(&mut settings);
        dir.join(format!("{}-{:016x}.cwasm", crate::ids::digest(wasm), settings.finish()))
    }
}

const HASH_LENGTH: usize = blake3::OUT_LEN;

/// The code of an entry; `None` unless the file belongs to this user, nobody else may write it, and it is whole.
fn read_entry(path: &Path) -> Option<Vec<u8>> {
    use std::os::unix::fs::MetadataExt;

    let metadata = fs::symlink_metadata(path).ok()?;
    let ours =
        metadata.is_file() && metadata.uid() == rustix::process::geteuid().as_raw() && metadata.mode() & 0o022 == 0;
    let bytes = ours.then(|| fs::read(path).ok()).flatten()?;
    let (hash, code) = bytes.split_at_checked(HASH_LENGTH)?;
    (blake3::hash(code).as_bytes() == hash).then(|| code.to_vec())
}

/// Writes hash and code under a temporary name first, so that other processes see all of an entry or nothing.
fn write_entry(path: &Path, code: &[u8]) -> std::io::Result<()> {
    let dir = path.parent().unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(dir)?;
    file.write_all(blake3::hash(code).as_bytes())?;
    file.write_all(code)?;
    file.persist(path)?;
    Ok(())
}

#[allow(unsafe_code, reason = "wasmtime cannot prove that native code came from its own compiler")]
fn deserialize(engine: &wasmtime::Engine, code: &[u8]) -> Option<Component> {
    // SAFETY: `read_entry` returns only files that this user wrote, nobody else can write, and whose hash shows that
    // they are what `write_entry` stored: code that wasmtime compiled. Code of another version, target or
    // configuration is refused by wasmtime itself.
    unsafe { Component::deserialize(engine, code) }.ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The smallest component: magic and version, no section.
    const EMPTY: &[u8] = b"\0asm\x0d\0\x01\0";

    fn only_entry(dir: &Path) -> PathBuf {
        let mut entries = fs::read_dir(dir).expect("readable");
        let entry = entries.next().expect("one entry").expect("readable").path();
        assert!(entries.next().is_none(), "the cache holds one entry");
        entry
    }

    #[test]
    fn compiled_code_is_cached_and_a_damaged_entry_is_compiled_again() {
        let dir = tempfile::tempdir().expect("dir");
        let engine = Engine::new(Some(dir.path().join("cache"))).expect("engine");
        engine.compile(EMPTY).expect("valid");
        let entry = only_entry(&dir.path().join("cache"));
        let good = fs::read(&entry).expect("readable");
        assert!(read_entry(&entry).and_then(|code| deserialize(&engine.wasmtime, &code)).is_some());

        let mut flipped = good.clone();
        flipped[good.len() / 2] ^= 1;
        for damaged in [&good[..good.len() / 2], &good[..7], &[], &flipped] {
            fs::write(&entry, damaged).expect("write");
            assert!(read_entry(&entry).is_none(), "{} of {} bytes are accepted", damaged.len(), good.len());
            engine.compile(EMPTY).expect("valid");
            assert_eq!(fs::read(&entry).expect("readable"), good, "the entry is not repaired");
        }
    }

    #[test]
    fn an_entry_that_others_may_write_is_not_trusted() {
        use std::os::unix::fs::PermissionsExt;

        let dir = tempfile::tempdir().expect("dir");
        let engine = Engine::new(Some(dir.path().into())).expect("engine");
        engine.compile(EMPTY).expect("valid");
        let entry = only_entry(dir.path());
        fs::set_permissions(&entry, fs::Permissions::from_mode(0o666)).expect("own file");
        assert!(read_entry(&entry).is_none());
    }

    #[test]
    fn code_of_other_settings_is_refused() {
        let other = wasmtime::Engine::default();
        let code = other.precompile_component(EMPTY).expect("valid");
        let engine = Engine::new(None).expect("engine");
        assert!(deserialize(&engine.wasmtime, &code).is_none());
    }
}
