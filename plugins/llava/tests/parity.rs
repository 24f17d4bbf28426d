//! Architectures against their references, on the checkpoints that the scripts in `tests/parity` wrote, and against
//! checkpoints that are wrong.

#![allow(clippy::unwrap_used, reason = "a test may panic anywhere")]

mod parity {
    pub mod llava;
}
