//! What the bundled data set promises.

use std::collections::HashMap;

use phantom::{FIRST_FREE_PATIENT, Modality, Patient, SIDE, Split, rows, table};

const LIMIT: usize = 3_000_000;

#[test]
fn the_committed_file_is_what_the_generator_writes() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/phantom.parquet");
    let committed = std::fs::read(path).expect("the file is committed");
    assert!(committed.len() <= LIMIT, "{} bytes", committed.len());
    let written = table().expect("the table can be written");
    assert!(committed == written, "run `cargo run --release -p phantom --bin generate`");
}

#[test]
fn no_patient_is_in_two_splits_and_names_are_unique() {
    let mut splits = HashMap::new();
    let mut names = HashMap::new();
    for (split, phantom) in rows() {
        assert_eq!(*splits.entry(phantom.patient.name()).or_insert(split), split);
        assert_eq!(names.insert(phantom.name(), ()), None);
    }
}

#[test]
fn each_split_of_each_modality_has_enough_of_both_classes() {
    for modality in Modality::ALL {
        for (split, enough) in [(Split::Train, 90), (Split::Validation, 60), (Split::Test, 150)] {
            let findings: Vec<bool> = rows()
                .into_iter()
                .filter(|(of, phantom)| *of == split && phantom.patient.modality == modality)
                .map(|(_, phantom)| phantom.finding.is_some())
                .collect();
            let shown = findings.iter().filter(|shown| **shown).count() as f32 / findings.len() as f32;
            assert!(findings.len() >= enough, "{modality:?} {split:?}: {} pictures", findings.len());
            assert!((0.35..0.65).contains(&shown), "{modality:?} {split:?}: {shown} with a finding");
        }
    }
}

#[test]
fn a_twin_differs_only_where_the_finding_lies() {
    for modality in [Modality::Chest, Modality::Fundus, Modality::Tissue] {
        let patients = (FIRST_FREE_PATIENT..).take(50).map(|number| Patient::new(modality, number));
        for phantom in patients.flat_map(|patient| patient.phantoms()).filter(|phantom| phantom.finding.is_some()) {
            let (picture, twin) = (phantom.render(), phantom.without_finding().render());
            let changed = picture.pixels().zip(twin.pixels()).filter(|(a, b)| a != b).count();
            assert!((4..SIDE * SIDE / 4).contains(&changed), "{}: {changed} pixels changed", phantom.name());
        }
    }
}

#[test]
fn the_data_set_card_states_the_right_counts() {
    let card = include_str!("../README.md");
    let rows = rows();
    for split in Split::ALL {
        let counts = Modality::ALL.map(|modality| {
            let is_counted =
                |(of, phantom): &&(Split, phantom::Phantom)| *of == split && phantom.patient.modality == modality;
            rows.iter().filter(is_counted).count().to_string()
        });
        let line = format!("| `{}` | {} | {} |", split.word(), split.patients().len(), counts.join(" | "));
        assert!(card.contains(&line), "the card lacks {line}");
    }
}
