//! The architecture of this plugin against its reference, on the checkpoints that `tests/parity/internvl.py` wrote, and
//! against checkpoints that are wrong.

#![allow(clippy::unwrap_used, reason = "a test may panic anywhere")]

mod parity {
    pub mod cases;
    pub mod internvl;
}
