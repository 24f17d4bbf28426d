//! Tests of the workspace as a whole and of the real executable.

/// The tree keeps its shape: layers, names, lengths, dependencies, invariants.
mod tidy;
