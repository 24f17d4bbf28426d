//! Statistics over scored samples: pure functions of numbers, the same with any number of threads.
//!
//! ```text
//! clusters      samples by patient, their draws      bootstrap     percentile and BCa intervals
//! delong        AUROCs and their covariance          permutation   sign flips and exchanged models
//! mcnemar       paired right and wrong answers       correction    several tests at once
//! subgroups     groups of samples, gaps              roc, precision_recall, calibration   curves
//! agreement     raters of the same samples           best          the best of several against the best of others
//! ```

mod agreement;
mod best;
mod bootstrap;
mod calibration;
mod clusters;
mod correction;
mod delong;
mod mcnemar;
mod permutation;
mod precision_recall;
mod roc;
mod subgroups;

#[cfg(test)]
mod vectors;

pub use agreement::{cohen_kappa, fleiss_kappa, krippendorff_alpha, spearman};
pub use best::{BestDifference, best_difference};
pub use bootstrap::{bca_interval, percentile_interval};
pub use calibration::{Bin, calibration, expected_calibration_error};
pub use clusters::Clusters;
pub use correction::{benjamini_hochberg, holm};
pub use delong::{AreaTest, Areas, delong};
pub use mcnemar::{McNemar, mcnemar_exact};
pub use permutation::{PermutationTest, sign_flip_test, swap_test};
pub use precision_recall::{Operating, average_precision, precision_recall_curve};
pub use roc::{Point, area_under, roc_curve};
pub use subgroups::{Gap, Subgroup, equity_scaled, gap, subgroups};
