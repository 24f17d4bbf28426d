use std::path::PathBuf;

use proptest::prelude::*;

use super::*;

/// Members of a small submission with these contents, under an index that knows them.
fn members(contents: &[Vec<u8>]) -> Vec<Member> {
    let names =
        ["run.json", "cells/a/predictions.jsonl", "cells/a/scores.jsonl", "cells/b/evidence.f32", "scorers/x.wasm"];
    let bytes =
        |(name, bytes): (&&str, &Vec<u8>)| Member { name: (*name).into(), source: Source::Bytes(bytes.clone()) };
    let mut members: Vec<Member> = names.iter().zip(contents).map(bytes).collect();
    let index = Index {
        format: FORMAT,
        medvlm: "0.1.0".into(),
        division: Division::Open,
        submitter: "us".into(),
        contact: "here".into(),
        note: "a \"note\" <&".into(),
        adapters: Default::default(),
        files: digests(&members).expect("digests"),
        digest: String::new(),
    };
    members.push(Member { name: INDEX.into(), source: Source::Bytes(index.to_bytes().expect("written")) });
    members
}

fn packed(members: &[Member]) -> Vec<u8> {
    let mut bytes = Vec::new();
    write(members, &mut bytes, Path::new("memory")).expect("written");
    bytes
}

fn rules(bytes: &[u8]) -> Vec<Rule> {
    let dir = tempfile::tempdir().expect("directory");
    let path: PathBuf = dir.path().join("s.zip");
    std::fs::write(&path, bytes).expect("written");
    let (_, _, violations) = open(&path).expect("readable");
    violations.iter().map(|violation| violation.rule).collect()
}

#[derive(Debug, Clone, Copy)]
enum Change {
    Flip(u8),
    Insert(u8),
    Delete,
}

impl Change {
    fn of(self, bytes: &mut Vec<u8>, at: usize) {
        match self {
            Self::Flip(mask) => bytes[at] ^= mask,
            Self::Insert(byte) => bytes.insert(at, byte),
            Self::Delete => drop(bytes.remove(at)),
        }
    }
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![(1u8..).prop_map(Change::Flip), any::<u8>().prop_map(Change::Insert), Just(Change::Delete)]
}

fn contents() -> impl Strategy<Value = Vec<Vec<u8>>> {
    prop::collection::vec(prop::collection::vec(any::<u8>(), 1..200), 5)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    /// Somebody repacks the archive with a changed file, and leaves the index as it is.
    #[test]
    fn a_changed_file_is_found_by_its_digest(
        contents in contents(), file in any::<prop::sample::Index>(), at in any::<prop::sample::Index>(), change in change()
    ) {
        let mut members = members(&contents);
        let file = file.index(members.len());
        let Source::Bytes(bytes) = &mut members[file].source else { unreachable!("in memory") };
        let at = at.index(bytes.len());
        let before = bytes.clone();
        change.of(bytes, at);
        prop_assume!(*bytes != before);
        let found = rules(&packed(&members));
        let expected: &[Rule] = match members[file].name.as_str() {
            INDEX => &[Rule::Index, Rule::IndexDigest],
            _ => &[Rule::FileDigest],
        };
        prop_assert!(found.iter().any(|rule| expected.contains(rule)), "{found:?}");
    }

    /// A byte of the archive as it lies on a disk.
    #[test]
    fn a_changed_byte_of_the_archive_is_found(
        contents in contents(), at in any::<prop::sample::Index>(), change in change()
    ) {
        let mut bytes = packed(&members(&contents));
        let before = bytes.clone();
        change.of(&mut bytes, at.index(before.len()));
        prop_assume!(bytes != before);
        let found = rules(&bytes);
        prop_assert!(found.iter().any(|rule| rule.number() < 300), "{found:?}");
    }

    #[test]
    fn whatever_bytes_are_given_the_answer_is_a_list_of_rules(bytes in prop::collection::vec(any::<u8>(), 0..500)) {
        prop_assert!(!rules(&bytes).is_empty());
        let hostile = [b"PK\x03\x04".to_vec(), bytes].concat();
        prop_assert!(!rules(&hostile).is_empty());
    }
}

/// Every single byte of one archive, in order, and what each part of it answers to.
#[test]
fn every_byte_answers_to_a_rule() {
    let contents: Vec<Vec<u8>> = (0..5).map(|i| vec![b'a' + i; 3]).collect();
    let whole = packed(&members(&contents));
    assert_eq!(rules(&whole), []);
    assert_eq!(packed(&members(&contents)), whole, "packing twice gives the same bytes");
    for at in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        let found = rules(&bytes);
        assert!(!found.is_empty() && found.iter().all(|rule| rule.number() < 300), "byte {at}: {found:?}");
        assert!(!rules(&whole[..at]).is_empty(), "cut at byte {at}");
    }
}

/// Archives that other programs could make to do harm or to hide something.
#[test]
fn hostile_archives_are_told_by_the_rule_that_they_break() {
    let good = members(&[vec![1; 9], vec![2; 9], vec![3; 9], vec![4; 9], vec![5; 9]]);
    let with = |name: &str| {
        let mut members = good.clone();
        members.push(Member { name: name.into(), source: Source::Bytes(vec![7]) });
        rules(&packed(&members))
    };
    for name in
        ["../evil", "/etc/passwd", "cells/../../evil", "a\\..\\b", "Caf\u{e9}.txt", "cells/\u{1b}[2J/metrics.json"]
    {
        assert!(with(name).contains(&Rule::PlainNames), "{name}");
    }
    assert!(with("readme.md").contains(&Rule::KnownMembers));
    assert!(with("run.json").contains(&Rule::UniqueNames));
    assert!(with("cells/a/metrics.json").contains(&Rule::SameFiles));
    let long = Member { name: "manifests/a.toml".into(), source: Source::Bytes(vec![b'#'; (1 << 20) + 1]) };
    let mut members = good.clone();
    members.push(long);
    assert!(rules(&packed(&members)).contains(&Rule::BoundedMembers));
    members.truncate(5);
    assert!(rules(&packed(&members)).contains(&Rule::Index));
    assert!(rules(&packed(&good[1..])).contains(&Rule::SameFiles));

    let whole = packed(&good);
    assert!(rules(&[&whole[..], b"more"].concat()).contains(&Rule::CanonicalArchive));
    assert!(rules(&[b"#!/bin/sh\n", &whole[..]].concat()).contains(&Rule::Readable));
    assert!(rules(&[]).contains(&Rule::Readable));
    let change = |at: usize, new: &[u8]| {
        let mut bytes = whole.clone();
        bytes[at..at + new.len()].copy_from_slice(new);
        rules(&bytes)
    };
    assert!(change(22, &[0xff; 4]).contains(&Rule::Readable), "a size without its 64 bits");
    assert!(change(22, &[0xfe, 0xff, 0xff, 0xff]).contains(&Rule::Readable), "a size beyond the file");
    assert!(change(8, &[8, 0]).contains(&Rule::Readable), "compressed");
    assert!(change(10, &[1, 2]).contains(&Rule::CanonicalArchive), "a time");
    // The attributes of the last entry of the directory: those of a link.
    let central = whole.windows(4).rposition(|w| w == b"PK\x01\x02").expect("a directory");
    assert!(change(central + 38, &0xa1ff_0000u32.to_le_bytes()).contains(&Rule::CanonicalArchive), "a link");
}

#[test]
fn other_programs_read_what_packing_writes() {
    let good = members(&[b"{}".to_vec(), vec![2; 9], vec![3; 9], vec![], vec![5; 9]]);
    let mut archive = zip::ZipArchive::new(std::io::Cursor::new(packed(&good))).expect("a zip archive");
    let names: Vec<String> =
        (0..archive.len()).map(|i| archive.by_index(i).expect("there").name().expect("text").to_string()).collect();
    assert_eq!(names[..2], ["submission.json", "run.json"]);
    let mut text = String::new();
    std::io::Read::read_to_string(&mut archive.by_name("run.json").expect("there"), &mut text).expect("whole");
    assert_eq!(text, "{}");
}
