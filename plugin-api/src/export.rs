//! `export_plugin!` and `register!`, with the fence that turns panics into errors.

use std::{
    cell::RefCell,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Once,
};

use abi_stable::{
    erased_types::TD_Opaque,
    std_types::{RErr, ROk, RResult, RSlice, RStr, RString},
};

use crate::{
    Error, ErrorKind, Events, Model, Result, Sink,
    abi::{self, ModelBox, RawBlob, RawError, RawModel, RawModel_TO, RawReply, SinkRef},
    dispatch::Dispatcher,
    message::{Architecture, Capability, Open, PluginInfo},
    tensor::{Array, Blob},
};

/// One `register!`, collected by `inventory`.
pub struct Registration {
    /// Name of the architecture.
    pub id: &'static str,
    /// One sentence.
    pub summary: &'static str,
    /// What the architecture can do at most.
    pub capabilities: &'static [Capability],
    /// Opens a model.
    pub open: fn(Open) -> Result<Box<dyn Model>>,
}

inventory::collect!(Registration);

/// Exports the plugin's root module. Write it once, in the library that is built as a `cdylib`.
#[macro_export]
macro_rules! export_plugin {
    () => {
        const _: () = {
            #[cfg(panic = "abort")]
            compile_error!("a plugin needs panic = \"unwind\": its panics are turned into errors");

            extern "C" fn info() -> $crate::abi_stable::std_types::RString {
                $crate::export::info(env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"))
            }
            fn root() -> $crate::abi::PluginRef {
                use $crate::abi_stable::prefix_type::PrefixTypeTrait;
                $crate::abi::Plugin { info, open: $crate::export::open }.leak_into_prefix()
            }
            extern "C" fn loader() -> $crate::abi_stable::library::RootModuleResult {
                $crate::abi_stable::library::__call_root_module_loader(root)
            }
            // SAFETY: this is what abi_stable's own export macro expands to, spelt out because that
            // macro insists on a direct dependency; the symbol is unique within the library, and
            // `loader` returns the root module whose layout the header describes.
            #[allow(unsafe_code, reason = "abi_stable's header can only be made in unsafe code")]
            #[unsafe(export_name = "_1as_0lib_1header_0root_bmodule_bloader")]
            pub static MEDVLM_PLUGIN: $crate::abi_stable::library::LibHeader = unsafe {
                $crate::abi_stable::library::LibHeader::from_constructor::<$crate::abi::PluginRef>(
                    loader,
                    $crate::abi_stable::library::CheckTypeLayout::Yes,
                )
            };
        };
    };
}

/// Registers an architecture: `register!("name", "one sentence", [ZeroShot, Features], open)`, where
/// `open` is a `fn(Open) -> Result<impl Model>`.
#[macro_export]
macro_rules! register {
    ($id:expr, $summary:expr, [$($capability:ident),* $(,)?], $open:expr) => {
        $crate::inventory::submit! {
            $crate::export::Registration {
                id: $id,
                summary: $summary,
                capabilities: &[$($crate::message::Capability::$capability),*],
                open: |config| Ok(Box::new($open(config)?)),
            }
        }
    };
}

/// JSON of [`PluginInfo`]; called through the root module.
pub fn info(name: &str, version: &str) -> RString {
    let mut architectures: Vec<Architecture> = inventory::iter::<Registration>
        .into_iter()
        .map(|r| Architecture { id: r.id.into(), summary: r.summary.into(), capabilities: r.capabilities.to_vec() })
        .collect();
    architectures.sort_by(|a, b| a.id.cmp(&b.id));
    let info = PluginInfo { name: name.into(), version: version.into(), abi: abi::ABI_VERSION.into(), architectures };
    serde_json::to_string(&info).unwrap_or_default().into()
}

/// Opens a registered architecture; called through the root module.
pub extern "C" fn open(architecture: RStr<'_>, config: RStr<'_>) -> RResult<ModelBox, RawError> {
    remember_panics();
    let opened = fence(|| {
        let registration = inventory::iter::<Registration>
            .into_iter()
            .find(|r| r.id == architecture.as_str())
            .ok_or_else(|| Error::config(format!("this plugin has no architecture `{architecture}`")))?;
        (registration.open)(serde_json::from_str(config.as_str())?)
    });
    match opened {
        Ok(model) => ROk(RawModel_TO::from_value(Exported(Dispatcher::new(model)), TD_Opaque)),
        Err(e) => RErr(e.into()),
    }
}

struct Exported(Dispatcher);

impl RawModel for Exported {
    fn call(
        &self,
        op: RStr<'_>,
        header: RStr<'_>,
        blobs: RSlice<'_, RawBlob<'_>>,
        sink: &SinkRef<'_, '_>,
    ) -> RResult<RawReply, RawError> {
        let blobs: Vec<Blob<'_>> = blobs.iter().map(RawBlob::view).collect();
        let events = Forward(sink);
        abi::to_raw(fence(|| self.0.call(op.as_str(), header.as_str(), &blobs, &Sink(&events))))
    }
}

struct Forward<'s, 'b, 'a>(&'s SinkRef<'b, 'a>);

impl Events for Forward<'_, '_, '_> {
    fn event(&self, op: &str, header: &str, blobs: &[Blob<'_>]) -> Result<(String, Vec<Array>)> {
        let blobs: Vec<RawBlob<'_>> = blobs.iter().map(Into::into).collect();
        abi::from_raw(self.0.call(op.into(), header.into(), blobs.as_slice().into()))
    }
}

thread_local!(static LAST_PANIC: RefCell<String> = const { RefCell::new(String::new()) });

/// A `cdylib` has its own standard library, hence its own panic hook: it keeps the place for the error.
fn remember_panics() {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        std::panic::set_hook(Box::new(|info| {
            let trace = std::backtrace::Backtrace::force_capture();
            LAST_PANIC.with(|last| *last.borrow_mut() = format!("{info}\n{trace}"));
        }));
    });
}

fn fence<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|payload| {
        let message = payload
            .downcast_ref::<String>()
            .cloned()
            .or_else(|| payload.downcast_ref::<&str>().map(ToString::to_string))
            .unwrap_or_else(|| "panic".into());
        // A payload whose own drop panics would abort the process.
        std::mem::forget(payload);
        let detail = LAST_PANIC.with(|last| std::mem::take(&mut *last.borrow_mut()));
        Err(Error { kind: ErrorKind::Panic, message: format!("the plugin panicked: {message}"), detail })
    })
}
