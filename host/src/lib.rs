//! The `medvlm` host: evaluates model plugins on datasets and scores them with WebAssembly components.
//!
//! ```text
//! 3  cli                                    the only code that prints
//! 2  run/{plan, predict, score, report,
//!    submit}                                one file per arrow of the flow; the only joins
//! 1  adapter config dataset evidence judge
//!    model prediction report scorer stats
//!    submission                             one noun each; siblings never import each other
//! 0  ids error
//! ```
//!
//! Imports only point down.

pub mod error;
pub mod ids;
pub mod lock;

pub mod adapter;
pub mod config;
pub mod dataset;
pub mod evidence;
pub mod judge;
pub mod model;
pub mod prediction;
pub mod report;
pub mod scorer;
pub mod stats;
pub mod submission;

pub mod run;

pub mod cli;
