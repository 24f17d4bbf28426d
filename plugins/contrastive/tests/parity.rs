//! Each architecture against its reference, on the checkpoints that `tests/parity/<architecture>.py` wrote, and against
//! checkpoints that are wrong.

#![allow(clippy::unwrap_used, reason = "a test may panic anywhere")]

mod parity {
    pub mod biomedclip;
    pub mod broken;
    pub mod cases;
    pub mod medclip;
    pub mod pmcclip;
    pub mod reference;
    pub mod siglip;
    pub mod training;
}
