//! The architectures of this plugin against their references, on the checkpoints that `tests/parity/qwen2_vl.py` and
//! `qwen3_vl.py` wrote, and against checkpoints that are wrong.

#![allow(clippy::unwrap_used, reason = "a test may panic anywhere")]

mod parity {
    pub mod cases;
    pub mod qwen2_5_vl;
    pub mod qwen2_vl;
    pub mod qwen3_vl;
}
