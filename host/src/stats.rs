//! Statistics over scored samples: pure functions of numbers, the same with any number of threads.
//!
//! ```text
//! clusters      samples by patient, their draws      bootstrap     percentile and BCa intervals
//! delong        AUROCs and their covariance          permutation   sign flips and exchanged models
//! mcnemar       paired right and wrong answers       correction    several tests at once
//! subgroups     groups of samples, gaps              roc, calibration   curves
//! ```

mod bootstrap;
mod calibration;
mod clusters;
mod correction;
mod delong;
mod mcnemar;
mod permutation;
mod roc;
mod subgroups;

#[cfg(test)]
mod vectors;

pub use bootstrap::{bca_interval, percentile_interval};
pub use calibration::{Bin, calibration, expected_calibration_error};
pub use clusters::Clusters;
pub use correction::{benjamini_hochberg, holm};
pub use delong::{AreaTest, Areas, delong};
pub use mcnemar::{McNemar, mcnemar_exact};
pub use permutation::{PermutationTest, sign_flip_test, swap_test};
pub use roc::{Point, area_under, roc_curve};
pub use subgroups::{Gap, Subgroup, equity_scaled, gap, subgroups};
