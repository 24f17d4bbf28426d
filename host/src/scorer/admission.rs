//! Which files are accepted as scorers; every refusal comes before any code of the file runs.

use wasmtime::component::{Component, types::ComponentItem};

use super::{engine::Engine, sandbox};

/// The interface that every scorer exports.
pub(super) const API: &str = "medvlm:scorer/score-api@0.1.0";
/// Interfaces that only a suite can grant.
const CAPABILITIES: [&str; 2] = ["judge", "embed"];

/// Compiles a component and checks what it imports and exports; the error is the rest of a sentence after the path.
pub(super) fn admit(engine: &Engine, wasm: &[u8]) -> Result<Component, String> {
    sniff(wasm)?;
    let component = engine.compile(wasm).map_err(|e| {
        format!("is a truncated or invalid WebAssembly component: {}", first_line(&e.root_cause().to_string()))
    })?;
    let ty = component.component_type();
    ty.imports(&engine.wasmtime).try_for_each(|(name, _)| check_import(name))?;
    check_exports(
        ty.exports(&engine.wasmtime)
            .filter_map(|(name, export)| matches!(export.ty, ComponentItem::ComponentInstance(_)).then_some(name)),
    )?;
    Ok(component)
}

/// Tells components from core modules and from anything else by their first eight bytes.
fn sniff(wasm: &[u8]) -> Result<(), String> {
    match wasm {
        [b'\0', b'a', b's', b'm', 0x0d, 0, 1, 0, ..] => Ok(()),
        [b'\0', b'a', b's', b'm', 1, 0, 0, 0, ..] => {
            Err("is a WebAssembly core module, not a component: build it for the target wasm32-wasip2".into())
        }
        _ => Err("is no WebAssembly component".into()),
    }
}

fn check_import(name: &str) -> Result<(), String> {
    let (interface, version) = name.split_once('@').unwrap_or((name, ""));
    let Some(short) = interface.strip_prefix("medvlm:scorer/") else {
        return match interface.starts_with("wasi:") {
            true => Ok(()),
            false => Err(format!("imports `{name}`, which the host does not have")),
        };
    };
    if CAPABILITIES.contains(&short) {
        return Err(format!("imports `{interface}` but the suite does not grant it"));
    }
    match short {
        "log" | "types" if compatible(version) => Ok(()),
        "log" | "types" => Err(wrong_version(version)),
        _ => Err(format!("imports `{interface}`, which the host does not have")),
    }
}

fn check_exports<'a>(mut exports: impl Iterator<Item = &'a str>) -> Result<(), String> {
    let (interface, _) = API.split_once('@').unwrap_or((API, ""));
    match exports.find_map(|name| name.split_once('@').filter(|(i, _)| *i == interface)) {
        Some((_, version)) if compatible(version) => Ok(()),
        Some((_, version)) => Err(wrong_version(version)),
        None => Err(format!("is a component but no scorer: it does not export `{interface}`")),
    }
}

/// Versions 0.1.x add to each other; everything else is another contract.
fn compatible(version: &str) -> bool {
    let minor = |version: &str| version.rsplit_once('.').map(|(minor, _)| minor.to_string());
    minor(version) == minor(host_version())
}

fn wrong_version(version: &str) -> String {
    format!("was built for medvlm:scorer {version} but the host has {}: rebuild it", host_version())
}

fn host_version() -> &'static str {
    sandbox::LOG.rsplit('@').next().unwrap_or_default()
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(wasm: &[u8]) -> String {
        let engine = Engine::new(None).expect("engine");
        admit(&engine, wasm).map(|_| ()).expect_err("refused")
    }

    #[test]
    fn what_is_no_component_is_named() {
        assert_eq!(refusal(b"PK\x03\x04 a zip archive"), "is no WebAssembly component");
        assert_eq!(refusal(b""), "is no WebAssembly component");
        assert!(refusal(b"\0asm\x01\0\0\0").starts_with("is a WebAssembly core module, not a component"));
        assert!(refusal(b"\0asm\x0d\0\x01\0\x07").starts_with("is a truncated or invalid WebAssembly component: "));
        assert!(refusal(b"\0asm\x0d\0\x01\0").starts_with("is a component but no scorer"));
    }

    #[test]
    fn imports_and_versions_follow_the_contract() {
        assert_eq!(check_import("wasi:io/poll@0.2.6"), Ok(()));
        assert_eq!(check_import("medvlm:scorer/log@0.1.7"), Ok(()));
        assert!(check_import("medvlm:scorer/log@0.2.0").is_err());
        assert!(check_import("medvlm:scorer/secrets@0.1.0").is_err());
        assert!(check_import("env").is_err());
        assert_eq!(check_exports(["wasi:cli/run@0.2.0", "medvlm:scorer/score-api@0.1.3"].into_iter()), Ok(()));
    }
}
