//! Loading a plugin library: what is wrong with it is said before anything of it is called.

use std::{fs, path::Path};

use abi_stable::{
    library::{LibraryError, lib_header_from_path},
    std_types::{RErr, ROk},
};
use plugin_api::{
    Error, Open, PluginInfo, Result,
    abi::{ABI_VERSION, PluginRef},
    client::Door,
};

use crate::model::{
    PluginFile,
    c_door::{self, CPlugin},
};

/// A mapped plugin library: of Rust, or of C by its table of functions.
#[derive(Clone, Copy)]
pub enum Plugin {
    /// Of Rust.
    Rust(PluginRef),
    /// Of C or C++.
    C(CPlugin),
}

/// Compares a library with the size and hash that its manifest records, so that a truncated file is
/// found before it is mapped.
pub fn check_file(plugin: &PluginFile) -> Result<()> {
    let path = &plugin.library;
    let bytes = fs::read(path).map_err(|e| Error::config(e.to_string()))?;
    if let Some(expected) = plugin.bytes.filter(|n| *n != bytes.len() as u64) {
        return Err(Error::config(format!(
            "the library has {} bytes where its manifest records {expected}: it is truncated or was replaced; install it again",
            bytes.len()
        )));
    }
    if is_cut_elf(&bytes) {
        return Err(Error::config("the library ends before its section table: it is truncated; install it again"));
    }
    let found = blake3::hash(&bytes).to_hex();
    if plugin.blake3.as_deref().is_some_and(|expected| expected != found.as_str()) {
        return Err(Error::config(
            "the library is not the one that its manifest records (BLAKE3 differs): it is corrupt or was replaced; \
             install it again",
        ));
    }
    Ok(())
}

/// Maps a library and finds its door. A truncated file can kill the process that does this: the host lets a
/// worker go first.
pub fn load(path: &Path) -> Result<Plugin> {
    // A C library or a text file is told apart from a plugin by the missing symbol; abi_stable says so.
    let header = match lib_header_from_path(path) {
        Ok(header) => header,
        Err(e @ LibraryError::GetSymbolError { .. }) => {
            return c_door::load(path)?.map(Plugin::C).ok_or_else(|| Error::config(explain(&e)));
        }
        Err(e) => return Err(Error::config(explain(&e))),
    };
    let version = header.version_strings().version.as_str();
    let major = |v: &str| v.split('.').next().map(ToString::to_string);
    if major(version) != major(ABI_VERSION) {
        return Err(Error::config(format!(
            "built for plugin ABI {version}, this host has {ABI_VERSION}: rebuild the plugin with the plugin-api of this host"
        )));
    }
    header.init_root_module::<PluginRef>().map(Plugin::Rust).map_err(|e| Error::config(explain(&e)))
}

/// What a loaded plugin offers; a plugin without architectures is an error.
pub fn info(plugin: Plugin) -> Result<PluginInfo> {
    let json = match plugin {
        Plugin::Rust(plugin) => plugin.info()().into_string(),
        Plugin::C(plugin) => plugin.info_json()?,
    };
    let mut info: PluginInfo = serde_json::from_str(&json)
        .map_err(|e| Error::config(format!("the plugin describes itself in broken JSON: {e}")))?;
    if info.architectures.is_empty() {
        return Err(Error::config(match plugin {
            Plugin::Rust(_) => {
                "the plugin has no architectures: call `register!` in the library crate itself, \
                 or name the crate that does with `use that_crate as _;`"
            }
            Plugin::C(_) => "the plugin has no architectures: `info_json` lists none",
        }));
    }
    if let Plugin::C(_) = plugin {
        info.abi = format!("C {}", c_door::ABI_VERSION);
    }
    Ok(info)
}

/// Opens an architecture of a plugin library in this process.
pub fn open(library: &Path, architecture: &str, open: &Open) -> Result<Box<dyn Door + Send>> {
    let plugin = load(library)?;
    info(plugin)?;
    let config = serde_json::to_string(open)?;
    match plugin {
        Plugin::Rust(plugin) => match plugin.open()(architecture.into(), config.as_str().into()) {
            ROk(model) => Ok(Box::new(model)),
            RErr(e) => Err(e.into()),
        },
        Plugin::C(plugin) => Ok(Box::new(plugin.open(architecture, &config)?)),
    }
}

/// True for a 64-bit little-endian ELF file whose section table, its last part, lies beyond its end.
fn is_cut_elf(bytes: &[u8]) -> bool {
    let field = |at: usize, width: usize| -> Option<u64> {
        let mut value = [0; 8];
        value[..width].copy_from_slice(bytes.get(at..at + width)?);
        Some(u64::from_le_bytes(value))
    };
    if !bytes.starts_with(b"\x7fELF\x02\x01") {
        return false;
    }
    let (Some(table), Some(size), Some(count)) = (field(0x28, 8), field(0x3a, 2), field(0x3c, 2)) else { return true };
    table.saturating_add(size * count) > bytes.len() as u64
}

/// abi_stable's errors as one sentence: its layout report alone has a thousand lines.
fn explain(error: &LibraryError) -> String {
    match error {
        LibraryError::OpenError { err, .. } => format!("not a loadable library: {err}"),
        LibraryError::GetSymbolError { .. } => format!(
            "a library, but no medvlm plugin: it does not call `export_plugin!`, and does not define `{}` as one in C does",
            c_door::SYMBOL
        ),
        LibraryError::IncompatibleVersionNumber { expected_version, actual_version, .. } => format!(
            "built for plugin ABI {actual_version}, this host has {expected_version}: rebuild the plugin with the \
             plugin-api of this host"
        ),
        _ => format!(
            "its interface differs from plugin ABI {ABI_VERSION} although it claims that version: \
             rebuild the plugin with the plugin-api of this host"
        ),
    }
}
