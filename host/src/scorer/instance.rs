//! One instance of a scorer: a fresh memory, limits, and traps told as sentences.

use wasmtime::{
    Store, Trap,
    component::{Component, ComponentExportIndex, ComponentNamedList, Instance as Guest, InstancePre, Lift, Lower},
};

use super::{
    admission::API,
    capability::Grants,
    contract::{Metadata, Refusal, Sample, SampleScore},
    engine::{Engine, STACK_LIMIT},
    sandbox::{self, Denied, State},
};

/// Fuel of every call, about one unit for each WebAssembly instruction: one to two seconds of work.
const FUEL_PER_CALL: u64 = 2_000_000_000;
/// Fuel added for each byte that is handed to the scorer; a text metric in Rust needs about 100, in Python 2,000.
const FUEL_PER_BYTE: u64 = 50_000;

/// A scorer that is compiled and linked; instances cost about 20 µs.
pub(super) struct Template {
    pre: InstancePre<State>,
    exports: Exports,
}

struct Exports {
    describe: ComponentExportIndex,
    configure: ComponentExportIndex,
    score: ComponentExportIndex,
    aggregate: ComponentExportIndex,
}

/// An instance. After an error it is spent.
pub(super) struct Instance<'a> {
    store: Store<State>,
    guest: Guest,
    exports: &'a Exports,
}

impl Template {
    pub(super) fn new(engine: &Engine, component: &Component, grants: &Grants) -> Result<Self, String> {
        let export = |name: &str| {
            component
                .get_export_index(None, API)
                .and_then(|api| component.get_export_index(Some(&api), name))
                .ok_or_else(|| format!("does not export `{name}`"))
        };
        let exports = Exports {
            describe: export("describe")?,
            configure: export("configure")?,
            score: export("score")?,
            aggregate: export("aggregate")?,
        };
        let pre = sandbox::link(&engine.wasmtime, component, grants)
            .and_then(|linker| linker.instantiate_pre(component))
            .map_err(|e| format!("cannot be linked: {}", causes(&e)))?;
        Ok(Self { pre, exports })
    }

    pub(super) fn instantiate(&self) -> Result<Instance<'_>, String> {
        let mut store = Store::new(self.pre.engine(), State::new());
        store.limiter(|state| state);
        let guest = store.set_fuel(FUEL_PER_CALL).and_then(|()| self.pre.instantiate(&mut store));
        let guest = guest.map_err(|e| format!("cannot be started: {}", explain(&e, store.data())))?;
        Ok(Instance { store, guest, exports: &self.exports })
    }
}

impl Instance<'_> {
    pub(super) fn describe(&mut self) -> Result<Metadata, String> {
        self.call::<_, (Metadata,)>(self.exports.describe, "describe", (), 0).map(|(metadata,)| metadata)
    }

    /// The inner error is the scorer's own refusal.
    pub(super) fn configure(&mut self, config: &str) -> Result<Result<(), Refusal>, String> {
        let index = self.exports.configure;
        self.call::<_, (Result<(), Refusal>,)>(index, "configure", (config,), config.len()).map(|(reply,)| reply)
    }

    pub(super) fn score(&mut self, samples: &[Sample]) -> Result<Vec<SampleScore>, String> {
        let size = samples.iter().map(sample_size).sum();
        self.call::<_, (Result<Vec<SampleScore>, Refusal>,)>(self.exports.score, "score", (samples,), size)
            .and_then(|(reply,)| reply.map_err(|refusal| refusal.to_string()))
    }

    pub(super) fn aggregate(
        &mut self,
        scores: &[SampleScore],
        resamples: &[&[u32]],
    ) -> Result<Vec<Vec<Option<f64>>>, String> {
        type Reply = (Result<Vec<Vec<Option<f64>>>, Refusal>,);
        let positions: usize = resamples.iter().map(|resample| resample.len()).sum();
        let size = scores.iter().map(score_size).sum::<usize>() + positions * size_of::<u32>();
        self.call::<_, Reply>(self.exports.aggregate, "aggregate", (scores, resamples), size)
            .and_then(|(reply,)| reply.map_err(|refusal| refusal.to_string()))
    }

    /// Everything that this instance logged and printed.
    pub(super) fn log(&self) -> &str {
        self.store.data().log()
    }

    fn call<P, R>(&mut self, index: ComponentExportIndex, name: &str, params: P, size: usize) -> Result<R, String>
    where
        P: ComponentNamedList + Lower,
        R: ComponentNamedList + Lift + 'static,
    {
        let function = self
            .guest
            .get_typed_func::<P, R>(&mut self.store, index)
            .map_err(|e| format!("`{name}` does not follow the contract: {}", causes(&e)))?;
        let reply = self
            .store
            .set_fuel(FUEL_PER_CALL + FUEL_PER_BYTE * size as u64)
            .and_then(|()| function.call(&mut self.store, params));
        reply.map_err(|e| explain(&e, self.store.data()))
    }
}

fn sample_size(sample: &Sample) -> usize {
    let texts = sample.prediction.len() + sample.meta.len() + sample.references.iter().map(String::len).sum::<usize>();
    size_of::<Sample>() + texts + 8 * sample.logits.len() + 4 * sample.labels.len()
}

fn score_size(score: &SampleScore) -> usize {
    let note = score.note.as_ref().map_or(0, String::len);
    size_of::<SampleScore>() + note + 16 * score.values.len() + 8 * score.statistics.len()
}

/// Why a call ended, as the rest of a sentence; `state` holds what a panic printed.
fn explain(error: &wasmtime::Error, state: &State) -> String {
    if let Some(denied) = error.downcast_ref::<Denied>() {
        return denied.to_string();
    }
    match error.downcast_ref::<Trap>() {
        Some(Trap::OutOfFuel) => {
            "ran out of fuel: an endless loop, or work out of all proportion to its input".to_string()
        }
        Some(Trap::StackOverflow) => format!("overflowed its stack of {} KiB", STACK_LIMIT >> 10),
        Some(trap) => last_words(state.log()).unwrap_or_else(|| format!("trapped: {trap}")),
        None => causes(error),
    }
}

/// The panic message of a Rust guest in one line, or the last line that another guest printed.
fn last_words(log: &str) -> Option<String> {
    match log.rfind("panicked at ") {
        Some(start) => {
            let message = log[start..].lines().take_while(|line| !line.starts_with("note: "));
            Some(message.map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" "))
        }
        None => log.lines().map(str::trim).rfind(|line| !line.is_empty()).map(|line| format!("trapped after `{line}`")),
    }
}

fn causes(error: &wasmtime::Error) -> String {
    error.chain().map(|cause| cause.to_string().replace('\n', " ")).collect::<Vec<_>>().join(": ")
}
