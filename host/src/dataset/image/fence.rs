//! A fence around decoders of others that panic on damaged files.

use std::{
    cell::Cell,
    panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook},
    sync::Once,
};

thread_local! {
    static INSIDE: Cell<bool> = const { Cell::new(false) };
}

static QUIET: Once = Once::new();

/// The result of the work, or nothing when it panicked; such a panic says something about a file, hence prints nothing.
pub fn fenced<T>(work: impl FnOnce() -> T) -> Option<T> {
    QUIET.call_once(|| {
        let print = take_hook();
        set_hook(Box::new(move |panic| {
            if !INSIDE.get() {
                print(panic);
            }
        }));
    });
    let outer = INSIDE.replace(true);
    let done = catch_unwind(AssertUnwindSafe(work));
    INSIDE.set(outer);
    done.ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_stays_inside() {
        assert_eq!(fenced(|| 1), Some(1));
        assert_eq!(fenced(|| panic!("damaged")), None::<u8>);
        assert!(!INSIDE.get());
    }
}
