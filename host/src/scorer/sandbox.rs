//! What a scorer can reach: a deny-all WASI, its log, and 256 MiB of memory.
//!
//! The environment and the file system are empty, clocks stand at zero, randomness has a fixed seed, and standard
//! output and error go to the log. Every other function of WASI ends the call with its name.

use wasmtime::{
    ResourceLimiter, StoreContextMut, bail,
    component::{Component, ComponentType, Lift, Linker, LinkerInstance, Lower, Resource, ResourceType, types},
};

use super::{
    capability::{self, Grants},
    contract::Level,
};

/// Linear memory of one instance, in bytes.
pub(super) const MEMORY_LIMIT: usize = 256 << 20;
/// What the log of one instance keeps, in bytes; the rest is dropped, and the log says so.
const LOG_LIMIT: usize = 64 << 10;
/// Elements of all tables of one instance.
const TABLE_LIMIT: usize = 1 << 20;
/// What one request for random bytes may ask for.
const RANDOM_LIMIT: u64 = 1 << 20;
const SEED: u64 = 0x5eed;

/// The name of the interface that every scorer may import beside WASI.
pub(super) const LOG: &str = "medvlm:scorer/log@0.1.0";

/// Host state of one instance.
pub(super) struct State {
    log: String,
    memory: usize,
    random: u64,
}

/// A scorer asked for something that it was not granted.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Denied(String);

impl Denied {
    pub(super) fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }
}

impl State {
    pub(super) fn new() -> Self {
        Self { log: String::new(), memory: 0, random: SEED }
    }

    /// Everything that the scorer logged and printed so far.
    pub(super) fn log(&self) -> &str {
        &self.log
    }

    fn print(&mut self, text: &str) {
        const MARK: &str = "\n(the log is full; the rest is dropped)\n";
        if self.log.len() + text.len() <= LOG_LIMIT {
            self.log.push_str(text);
        } else if !self.log.ends_with(MARK) {
            self.log.push_str(&text[..text.floor_char_boundary(LOG_LIMIT.saturating_sub(self.log.len()))]);
            self.log.push_str(MARK);
        }
    }

    /// Xorshift: reproducible, and good enough for hash maps.
    fn next_random(&mut self) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random
    }
}

impl ResourceLimiter for State {
    fn memory_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        self.memory += desired.saturating_sub(current);
        if self.memory > MEMORY_LIMIT {
            return Err(Denied(format!("asked for more than {} MiB of memory", MEMORY_LIMIT >> 20)).into());
        }
        Ok(true)
    }

    fn table_growing(&mut self, _: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        Ok(desired <= TABLE_LIMIT)
    }
}

/// Answers the imports of a component: what is granted, the log, and WASI.
pub(super) fn link(
    engine: &wasmtime::Engine,
    component: &Component,
    grants: &Grants,
) -> wasmtime::Result<Linker<State>> {
    let mut linker = Linker::new(engine);
    capability::link(&mut linker, grants)?;
    linker.instance(LOG)?.func_wrap("log", |mut store: StoreContextMut<State>, (level, text): (Level, String)| {
        let level = format!("{level:?}").to_lowercase();
        store.data_mut().print(&format!("[{level}] {text}\n"));
        Ok(())
    })?;
    for (name, import) in component.component_type().imports(engine) {
        let types::ComponentItem::ComponentInstance(interface) = import.ty else { continue };
        let Some(short) = name.strip_prefix("wasi:").and_then(|n| n.split('@').next()) else { continue };
        let mut instance = linker.instance(name)?;
        for (item, export) in interface.exports(engine) {
            match export.ty {
                types::ComponentItem::Resource(_) => {
                    instance.resource(item, ResourceType::host::<Handle>(), |_, _| Ok(()))?;
                }
                types::ComponentItem::ComponentFunc(_) if !answer(&mut instance, short, item)? => {
                    let denied = format!("called `{name}#{item}`, which no scorer is granted");
                    instance.func_new(item, move |_, _, _, _| Err(Denied(denied.clone()).into()))?;
                }
                _ => {}
            }
        }
    }
    Ok(linker)
}

/// Every WASI resource. One host type for all of them satisfies the aliases between interfaces.
struct Handle;

#[derive(ComponentType, Lift, Lower)]
#[component(variant)]
enum StreamError {
    #[component(name = "last-operation-failed")]
    #[allow(dead_code, reason = "part of the interface; a write to the log never fails")]
    LastOperationFailed(Resource<Handle>),
    #[component(name = "closed")]
    Closed,
}

#[derive(ComponentType, Lift, Lower)]
#[component(record)]
struct Datetime {
    seconds: u64,
    nanoseconds: u32,
}

type Store<'a> = StoreContextMut<'a, State>;
type Written = Result<(), StreamError>;

/// Defines the function if a scorer may call it; false otherwise.
fn answer(instance: &mut LinkerInstance<State>, interface: &str, item: &str) -> wasmtime::Result<bool> {
    match (interface, item) {
        ("cli/environment", "get-environment") => empty::<(String, String)>(instance, item)?,
        ("cli/environment", "get-arguments") => empty::<String>(instance, item)?,
        ("cli/environment", "initial-cwd") => none::<String>(instance, item)?,
        ("cli/stdin", _) => handle(instance, item)?,
        ("cli/stdout", _) => handle(instance, item)?,
        ("cli/stderr", _) => handle(instance, item)?,
        ("cli/terminal-stdin" | "cli/terminal-stdout" | "cli/terminal-stderr", _) => {
            none::<Resource<Handle>>(instance, item)?;
        }
        ("cli/exit", "exit") => instance
            .func_wrap(item, |_: Store, (_,): (Result<(), ()>,)| -> wasmtime::Result<()> {
                Err(Denied("called `exit`".into()).into())
            })?,
        ("filesystem/preopens", "get-directories") => empty::<(Resource<Handle>, String)>(instance, item)?,
        ("clocks/wall-clock", "now") => {
            instance.func_wrap(item, |_: Store, ()| Ok((Datetime { seconds: 0, nanoseconds: 0 },)))?;
        }
        ("clocks/monotonic-clock", "now") => instance.func_wrap(item, |_: Store, ()| Ok((0u64,)))?,
        ("random/insecure-seed", "insecure-seed") => instance.func_wrap(item, |_: Store, ()| Ok(((SEED, SEED),)))?,
        ("random/random", "get-random-u64") | ("random/insecure", "get-insecure-random-u64") => {
            instance.func_wrap(item, |mut store: Store, ()| Ok((store.data_mut().next_random(),)))?;
        }
        ("random/random", "get-random-bytes") | ("random/insecure", "get-insecure-random-bytes") => {
            instance.func_wrap(item, |mut store: Store, (n,): (u64,)| {
                if n > RANDOM_LIMIT {
                    bail!(Denied(format!("asked for {n} random bytes; at most {RANDOM_LIMIT} are given")));
                }
                Ok(((0..n).map(|_| store.data_mut().next_random() as u8).collect::<Vec<u8>>(),))
            })?;
        }
        ("io/streams", "[method]output-stream.check-write") => {
            instance.func_wrap(item, |_: Store, (_,): (Resource<Handle>,)| Ok((Ok::<u64, StreamError>(1 << 16),)))?;
        }
        ("io/streams", "[method]output-stream.write" | "[method]output-stream.blocking-write-and-flush") => {
            instance.func_wrap(item, |mut store: Store, (_, bytes): (Resource<Handle>, Vec<u8>)| {
                store.data_mut().print(&String::from_utf8_lossy(&bytes));
                Ok((Written::Ok(()),))
            })?;
        }
        ("io/streams", "[method]output-stream.flush" | "[method]output-stream.blocking-flush") => {
            instance.func_wrap(item, |_: Store, (_,): (Resource<Handle>,)| Ok((Written::Ok(()),)))?;
        }
        ("io/streams", "[method]input-stream.read" | "[method]input-stream.blocking-read") => {
            instance.func_wrap(item, |_: Store, (_, _): (Resource<Handle>, u64)| {
                Ok((Err::<Vec<u8>, _>(StreamError::Closed),))
            })?;
        }
        ("io/streams", "[method]output-stream.subscribe") => {
            instance.func_wrap(item, |_: Store, (_,): (Resource<Handle>,)| Ok((Resource::<Handle>::new_own(0),)))?;
        }
        ("io/poll", "[method]pollable.block") => {
            instance.func_wrap(item, |_: Store, (_,): (Resource<Handle>,)| Ok(()))?;
        }
        _ => return Ok(false),
    }
    Ok(true)
}

fn empty<T: ComponentType + Lower + Send + Sync + 'static>(
    instance: &mut LinkerInstance<State>,
    item: &str,
) -> wasmtime::Result<()> {
    instance.func_wrap(item, |_: Store, ()| Ok((Vec::<T>::new(),)))
}

fn none<T: ComponentType + Lower + Send + Sync + 'static>(
    instance: &mut LinkerInstance<State>,
    item: &str,
) -> wasmtime::Result<()> {
    instance.func_wrap(item, |_: Store, ()| Ok((None::<T>,)))
}

fn handle(instance: &mut LinkerInstance<State>, item: &str) -> wasmtime::Result<()> {
    instance.func_wrap(item, |_: Store, ()| Ok((Resource::<Handle>::new_own(0),)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_log_says_so_once() {
        let mut state = State::new();
        for _ in 0..3 {
            state.print(&"é".repeat(LOG_LIMIT / 3));
        }
        state.print("more");
        assert!(state.log().len() < LOG_LIMIT + 64);
        assert_eq!(state.log().matches("the log is full").count(), 1);
    }
}
