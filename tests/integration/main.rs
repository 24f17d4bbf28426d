//! Tests of the workspace as a whole and of the real executable.

#![allow(clippy::unwrap_used, reason = "tests")]

/// Heads on frozen features: trained once, kept as files, evaluated again.
mod adapt;
/// Files that are broken in every way that users meet.
mod bad_input;
/// Plugins in C and C++, good and bad.
mod c_door;
/// `medvlm compare`, and the subgroups of a cell.
mod compare;
/// Several processes and machines on one suite, and what `medvlm status` says meanwhile.
mod crew;
/// A contrastive model over a copy of every diagnosis dataset.
mod diagnosis_datasets;
/// The whole flow on the mock plugin, and what it writes.
mod end_to_end;
/// The flags and files of MedVLMBench.
mod eval;
/// Prediction files of other programs.
mod import;
/// Judges and embeddings: granted, recorded, replayed, limited, refused.
mod judge;
/// Images and patients that are learnt from and evaluated as well.
mod leaks;
/// `medvlm list models`.
mod list;
/// Diagnoses in which any number of labels applies.
mod multi_label;
/// Libraries that are no plugins, and plugins that misbehave.
mod plugin_abi;
/// Models in Python, behind the plugin `python`.
mod python_door;
/// The suite that `cargo xtask demo` runs.
mod quickstart;
/// Models behind OpenAI-compatible endpoints.
mod remote;
/// What a report says of several cells, keeps to itself and hands to others.
mod report;
/// Crashes and interruptions at any time, and the same bytes after all.
mod resume;
/// `medvlm new`: projects that build outside the workspace and drop in.
mod scaffold;
/// Scorers with names, options and conditions of their own.
mod scorer_tables;
/// The chat endpoint that judges and remote models are tested with.
#[path = "../../chat/src/server.rs"]
mod server;
/// Runs packed, verified, broken in every way, signed, and put on a leaderboard.
mod submission;
/// The tree keeps its shape: layers, names, lengths, dependencies, invariants.
mod tidy;
/// Questions from a manifest to the model and to the scorers.
mod vqa_data;
