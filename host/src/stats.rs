//! Statistics over scored samples: pure functions of numbers, the same on every machine.

mod bootstrap;
mod calibration;
mod roc;

pub use bootstrap::{Clusters, clustered_resamples, percentile_interval};
pub use calibration::{Bin, calibration, expected_calibration_error};
pub use roc::{Point, area_under, roc_curve};
