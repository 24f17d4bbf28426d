//! The files of a submission.
//!
//! ```text
//! submission.json                           the index
//! run.json                                  the run record, without directories of the submitter's machine
//! cells/<cell>/predictions.jsonl            and evidence.jsonl, evidence.f32, scores.jsonl, metrics.json
//! manifests/<dataset>.toml                  the manifests as they were used
//! samples/<dataset>.<split>.<task>.jsonl    what scoring needs of each sample; digests where the terms forbid texts
//! scorers/<name>.wasm                       the components that scored
//! ```

/// The index.
pub const INDEX: &str = "submission.json";
/// The run record.
pub const RUN: &str = "run.json";

/// Longest name of a member.
const LONGEST: usize = 250;

/// What a member is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// The index.
    Index,
    /// The run record.
    Run,
    /// A text of a cell.
    CellText,
    /// The numbers of a cell's embeddings.
    CellNumbers,
    /// A dataset's manifest.
    Manifest,
    /// The samples of a split.
    Samples,
    /// A scorer component.
    Scorer,
}

impl Kind {
    /// What a name stands for; nothing where the layout has no such file.
    pub fn of(name: &str) -> Option<Self> {
        let parts: Vec<&str> = name.split('/').collect();
        match parts[..] {
            [INDEX] => Some(Self::Index),
            [RUN] => Some(Self::Run),
            ["cells", _, "predictions.jsonl" | "evidence.jsonl" | "scores.jsonl" | "metrics.json"] => {
                Some(Self::CellText)
            }
            ["cells", _, "evidence.f32"] => Some(Self::CellNumbers),
            ["manifests", file] if file.ends_with(".toml") => Some(Self::Manifest),
            ["samples", file] if file.ends_with(".jsonl") => Some(Self::Samples),
            ["scorers", file] if file.ends_with(".wasm") => Some(Self::Scorer),
            _ => None,
        }
    }

    /// Most bytes of such a member: what is read into memory at once is bounded, and numbers are not.
    pub fn most_bytes(self) -> u64 {
        match self {
            Self::Manifest => 1 << 20,
            Self::Scorer | Self::Run => 16 << 20,
            Self::Index => 64 << 20,
            Self::CellText | Self::Samples => 1 << 30,
            Self::CellNumbers => u64::MAX,
        }
    }
}

/// Whether a name can be that of a member: relative, of lower-case letters, digits and a few marks, without `.` and `..`.
pub fn is_plain(name: &str) -> bool {
    let part = |part: &str| !part.is_empty() && !part.starts_with('.');
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_.@/".contains(c);
    name.len() <= LONGEST && name.chars().all(plain) && name.split('/').all(part)
}

/// The order of members: the index, the run record, then the others by name.
pub fn order(name: &str) -> (u8, &str) {
    match name {
        INDEX => (0, name),
        RUN => (1, name),
        _ => (2, name),
    }
}

/// Name of a file of a cell.
pub fn cell_file(cell: &str, file: &str) -> String {
    format!("cells/{cell}/{file}")
}

/// Name of a dataset's manifest.
pub fn manifest_file(dataset: &str) -> String {
    format!("manifests/{dataset}.toml")
}

/// Name of the samples of a split.
pub fn samples_file(dataset: &str, split: &str, task: impl std::fmt::Display) -> String {
    format!("samples/{dataset}.{split}.{task}.jsonl")
}

/// Name of a scorer component.
pub fn scorer_file(component: &str) -> String {
    format!("scorers/{component}.wasm")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_plain_and_known() {
        let cell = cell_file("gemini-2.5-pro@phantom.test.vqa.zero-shot.s0", "evidence.f32");
        assert!(is_plain(&cell) && Kind::of(&cell) == Some(Kind::CellNumbers));
        for name in ["../run.json", "/run.json", "cells/../run.json", "cells//x", "Run.json", "a\\b", "cells/.x/y", ""]
        {
            assert!(!is_plain(name), "{name}");
        }
        assert!(!is_plain(&"a".repeat(LONGEST + 1)));
        for name in ["readme.md", "cells/a/notes.txt", "cells/metrics.json", "scorers/a/b.wasm", "manifests/a.json"] {
            assert_eq!(Kind::of(name), None, "{name}");
        }
    }
}
