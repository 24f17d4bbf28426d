//! The rules by number. Their text is the table of SUBMISSIONS.md, which is compiled in, so that the program says what the
//! document says.

use std::fmt;

use serde::{Serialize, Serializer, ser::SerializeStruct};

/// The document.
pub const DOCUMENT: &str = include_str!("../../../SUBMISSIONS.md");

macro_rules! rules {
    ($($(#[$doc:meta])* $name:ident = $number:literal,)*) => {
        /// A rule of SUBMISSIONS.md.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u16)]
        pub enum Rule { $($(#[$doc])* $name = $number,)* }

        impl Rule {
            /// All of them, in the order of their numbers.
            pub const ALL: &[Self] = &[$(Self::$name,)*];
        }
    };
}

rules! {
    /// The archive can be read to its end.
    Readable = 101,
    /// Names of members are plain.
    PlainNames = 102,
    /// Members are those of the layout.
    KnownMembers = 103,
    /// No name twice.
    UniqueNames = 104,
    /// The bytes are those that packing writes.
    CanonicalArchive = 105,
    /// No member is larger than its kind may be.
    BoundedMembers = 106,
    /// The index is there and written as packing writes it.
    Index = 201,
    /// The index is what its own digest says.
    IndexDigest = 202,
    /// Index and archive name the same files.
    SameFiles = 203,
    /// Every file is what the index says.
    FileDigest = 204,
    /// The run record is there and written as packing writes it.
    RunRecord = 301,
    /// The cells are those of the suite.
    Cells = 302,
    /// The suite has no limit.
    NoLimit = 303,
    /// Each cell names what it was made from.
    Fingerprint = 304,
    /// Manifests are those of the fingerprints.
    Manifests = 305,
    /// Scorer components are those of the record.
    Components = 306,
    /// The bootstrap can be done again.
    Bootstrap = 307,
    /// Samples are listed once, in order.
    Samples = 401,
    /// Every sample is predicted once.
    Coverage = 402,
    /// A prediction fits its task.
    Predictions = 403,
    /// Samples are those of the dataset.
    SameData = 404,
    /// There are as many samples as the manifest says.
    Counts = 405,
    /// Scores are those of re-scoring.
    Scores = 501,
    /// Metrics are those of re-scoring.
    Metrics = 502,
    /// Evidence can be read, and answers what was asked.
    Evidence = 503,
    /// The suite is an official one.
    OfficialSuite = 601,
    /// A model meets all datasets of a task.
    WholeTask = 602,
    /// Manifests are the official ones.
    OfficialManifests = 603,
    /// Scorers are the official ones.
    OfficialScorers = 604,
    /// No scorer lacks evidence.
    FullEvidence = 605,
    /// Adapters were trained by the run.
    OwnAdapters = 606,
    /// The program was a released one.
    Released = 607,
    /// The signature is by the key.
    Signature = 701,
    /// Predicting again gives the same.
    Rerun = 801,
}

impl Rule {
    /// Its number.
    pub fn number(self) -> u16 {
        self as u16
    }

    /// Its text in the document.
    pub fn text(self) -> &'static str {
        listed().find(|(number, _)| *number == self.number()).map_or("", |(_, text)| text)
    }
}

/// Number and text of every rule of the document.
fn listed() -> impl Iterator<Item = (u16, &'static str)> {
    DOCUMENT.lines().filter_map(|line| {
        let (number, text) = line.strip_prefix("| ")?.split_once(" | ")?;
        Some((number.parse().ok()?, text.strip_suffix(" |")?))
    })
}

/// A rule that a submission breaks, and where.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Violation {
    /// The rule.
    pub rule: Rule,
    /// A file of the submission, a cell, or nothing where it is about the whole.
    pub place: String,
    /// What is wrong.
    pub what: String,
}

impl Violation {
    /// A violation of `rule` at `place`.
    pub fn new(rule: Rule, place: impl Into<String>, what: impl Into<String>) -> Self {
        Self { rule, place: place.into(), what: what.into() }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "rule {}: ", self.rule.number())?;
        // Names in a hostile archive may hold anything; none of it reaches a terminal as it is.
        for (part, end) in [(&self.place, ": "), (&self.what, "")].into_iter().filter(|(part, _)| !part.is_empty()) {
            for c in part.chars() {
                if c.is_control() { write!(f, "{}", c.escape_default())? } else { write!(f, "{c}")? }
            }
            f.write_str(end)?;
        }
        Ok(())
    }
}

impl Serialize for Violation {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_struct("Violation", 4)?;
        object.serialize_field("rule", &self.rule.number())?;
        object.serialize_field("text", self.rule.text())?;
        object.serialize_field("place", &self.place)?;
        object.serialize_field("what", &self.what)?;
        object.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_lists_the_rules_of_the_program() {
        let listed: Vec<u16> = listed().map(|(number, _)| number).collect();
        let known: Vec<u16> = Rule::ALL.iter().map(|rule| rule.number()).collect();
        assert_eq!(listed, known);
        assert!(known.is_sorted() && Rule::ALL.iter().all(|rule| rule.text().ends_with('.')));
    }

    #[test]
    fn a_violation_says_rule_and_place_and_hides_what_could_drive_a_terminal() {
        let violation = Violation::new(Rule::PlainNames, "a\u{1b}[2Jb", "is no plain name");
        assert_eq!(violation.to_string(), "rule 102: a\\u{1b}[2Jb: is no plain name");
        let json = serde_json::to_value(&violation).expect("JSON");
        assert_eq!((json["rule"].as_u64(), json["text"].as_str()), (Some(102), Some(Rule::PlainNames.text())));
    }
}
