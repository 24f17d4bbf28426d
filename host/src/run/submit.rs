//! Runs to submissions, and submissions to verdicts. Packing ends in the checks that verifying makes, so that what is packed
//! verifies.
//!
//! ```text
//! pack ─► archive ─► verify: rules 1xx, 2xx (crate::submission)
//!                     ├─ opened     what the archive says it is          3xx
//!                     ├─ coverage   samples and predictions              4xx
//!                     ├─ rescore    scores and metrics, byte by byte     5xx
//!                     ├─ division   what the closed division asks for    6xx
//!                     └─ rerun      a few samples, predicted again       8xx
//! samples   what scoring needs of a sample, as lines
//! conceal   the same without a word of the dataset, and back again where the dataset is
//! ```

mod conceal;
mod coverage;
mod division;
mod opened;
mod pack;
mod rerun;
mod rescore;
mod samples;
mod verify;

pub use division::officials;
pub use pack::{About, pack};
pub use verify::{CellVerdict, Checked, Options, Verdict, verify};
