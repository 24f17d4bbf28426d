//! The architectures of this plugin against their references, on the checkpoints that scripts in `tests/parity` wrote, and
//! against checkpoints that are wrong.

#![allow(clippy::unwrap_used, reason = "a test may panic anywhere")]

mod parity {
    pub mod gemma3;
}
