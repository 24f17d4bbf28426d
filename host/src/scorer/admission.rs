//! Which files are accepted as scorers; every refusal comes before any code of the file runs.

use wasmtime::component::{Component, types::ComponentItem};

use super::{
    capability::{self, Grants},
    engine::Engine,
    sandbox,
};

/// The interface that every scorer exports.
pub(super) const API: &str = "medvlm:scorer/score-api@0.1.0";

/// Compiles a component and checks what it imports and exports; the error is the rest of a sentence after the path. Also
/// returns the capabilities that it imports.
pub(super) fn admit(engine: &Engine, wasm: &[u8], grants: &Grants) -> Result<(Component, Vec<&'static str>), String> {
    sniff(wasm)?;
    let component = engine.compile(wasm).map_err(|e| {
        format!("is a truncated or invalid WebAssembly component: {}", first_line(&e.root_cause().to_string()))
    })?;
    let ty = component.component_type();
    let imports: Vec<Option<&str>> =
        ty.imports(&engine.wasmtime).map(|(name, _)| check_import(name, grants)).collect::<Result<_, _>>()?;
    check_exports(
        ty.exports(&engine.wasmtime)
            .filter_map(|(name, export)| matches!(export.ty, ComponentItem::ComponentInstance(_)).then_some(name)),
    )?;
    Ok((component, imports.into_iter().flatten().collect()))
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

/// The capability that an import stands for, if any.
fn check_import(name: &str, grants: &Grants) -> Result<Option<&'static str>, String> {
    let (interface, version) = name.split_once('@').unwrap_or((name, ""));
    let Some(short) = interface.strip_prefix("medvlm:scorer/") else {
        return match interface.starts_with("wasi:") {
            true => Ok(None),
            false => Err(format!("imports `{name}`, which the host does not have")),
        };
    };
    let capability = capability::NAMES.into_iter().find(|name| *name == short);
    if let Some(name) = capability.filter(|name| !grants.hold(name)) {
        return Err(format!(
            "imports `{interface}` but the suite does not grant it: add a table [{name}] with model = \"…\" to the suite"
        ));
    }
    match short {
        "log" | "types" | "judge" | "embed" if compatible(version) => Ok(capability),
        "log" | "types" | "judge" | "embed" => Err(wrong_version(version)),
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
        admit(&engine, wasm, &Grants::default()).map(|_| ()).expect_err("refused")
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
        let none = Grants::default();
        let check_import = |name| check_import(name, &none);
        assert_eq!(check_import("wasi:io/poll@0.2.6"), Ok(None));
        assert_eq!(check_import("medvlm:scorer/log@0.1.7"), Ok(None));
        assert!(check_import("medvlm:scorer/log@0.2.0").is_err());
        let granted = |name| super::check_import(name, &Grants::idle(true, false));
        assert_eq!(granted("medvlm:scorer/judge@0.1.0"), Ok(Some("judge")));
        assert!(granted("medvlm:scorer/judge@0.2.0").is_err() && granted("medvlm:scorer/embed@0.1.0").is_err());
        assert!(check_import("medvlm:scorer/secrets@0.1.0").is_err());
        assert!(check_import("env").is_err());
        assert_eq!(check_exports(["wasi:cli/run@0.2.0", "medvlm:scorer/score-api@0.1.3"].into_iter()), Ok(()));
    }
}
