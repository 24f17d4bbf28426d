//! Scorer template.
