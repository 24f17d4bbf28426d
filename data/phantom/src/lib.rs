//! Phantoms: synthetic medical images with known truth, the same bytes wherever they are drawn.
//!
//! A [`Patient`] is a number within a [`Modality`]; it has one to four [`Phantom`]s, each with or without a [`Finding`],
//! which [`Phantom::render`] draws and [`Phantom::words`] asks and tells about. [`table()`] writes the bundled data set.
//!
//! ```
//! use phantom::{FIRST_FREE_PATIENT, Modality, Patient};
//!
//! let patient = Patient::new(Modality::Fundus, FIRST_FREE_PATIENT);
//! for phantom in patient.phantoms() {
//!     let picture = phantom.render();
//!     assert_eq!(picture.dimensions(), (phantom::SIDE as u32, phantom::SIDE as u32));
//!     assert!(phantom.words().report.starts_with("Fundus photograph"));
//! }
//! ```

mod canvas;
mod chest;
mod dice;
mod finding;
mod fundus;
mod noise;
mod patient;
mod phantom;
mod skin;
mod table;
mod text;
mod tissue;

pub use canvas::SIDE;
pub use dice::Dice;
pub use finding::{Finding, Kind, Place, Size};
pub use patient::{FIRST_FREE_PATIENT, Modality, Patient, Sex, Split};
pub use phantom::Phantom;
pub use table::{rows, table};
pub use text::Words;
