//! The architectures against `transformers`, on the checkpoints that `tests/parity/blip*.py` wrote, and against
//! checkpoints that are wrong.

#![allow(clippy::unwrap_used, reason = "a test may panic anywhere")]

mod parity {
    pub mod broken;
    pub mod cases;
    pub mod reference;
    pub mod writing;
}
