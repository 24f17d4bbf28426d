//! Splits by rule equal scikit-learn's, keep units together, and give way to the user's file.

use std::{collections::BTreeSet, path::Path};

use super::*;
use crate::{
    dataset::{Dataset, Sample},
    ids::Task,
};

const MANIFEST: &str = "title = 't'\ncitation = 'c'\nlicence = 'l'\naccess = 'open'\nobtain = 'o'\nreader = 'csv'\n\
                        files = ['a.csv']\nfields = { id = 'file', image = 'file' }\n\
                        caption = { report = 'file', prompt = 'describe' }\n\
                        splits.train.where = [{ column = 'part', equals = 'train' }]\n\
                        splits.test.where = [{ column = 'part', equals = 'test' }]\n";

fn dataset(dir: &Path, partition: &str, table: &str) -> Dataset {
    std::fs::write(dir.join("tiny.toml"), format!("{MANIFEST}[partition]\n{partition}\n")).expect("written");
    std::fs::write(dir.join("a.csv"), table).expect("written");
    let manifest = Manifest::load(&dir.join("tiny.toml")).expect("valid");
    Dataset::open(&manifest, Some(dir)).expect("opened")
}

fn ids(dataset: &Dataset, split: &str) -> Vec<String> {
    let samples: Vec<Sample> = dataset.samples(split, Task::Caption).expect("samples");
    samples.into_iter().map(|sample| sample.id).collect()
}

/// 120 women and 80 men, in an order that is not sorted.
fn people() -> String {
    let row = |i: u32| format!("data_{i:04}.npz,{}\n", if i % 5 < 3 { "female" } else { "male" });
    format!("file,sex\n{}", (0..200).rev().map(row).collect::<String>())
}

#[test]
fn the_rule_of_fairmedfm_gives_the_split_of_scikit_learn() {
    let dir = tempfile::tempdir().expect("directory");
    let rule = "rule = 'fairmedfm'\nunit = 'file'\ngroup = 'sex'\nparts = { train = 0.8, test = 0.2 }";
    let dataset = dataset(dir.path(), rule, &people());
    // For each sex, train_test_split(numpy.unique(files), test_size=int(0.2 * 80), random_state=0) of scikit-learn 1.7.
    let expected = [
        2, 8, 11, 12, 16, 36, 55, 69, 75, 78, 80, 82, 88, 100, 103, 114, 122, 123, 128, 133, 147, 156, 157, 159, 161,
        168, 173, 174, 179, 183, 194, 197,
    ];
    let mut found = ids(&dataset, "test");
    assert_eq!(found[0], "data_0197.npz", "the order is that of the table");
    found.reverse();
    assert_eq!(found, expected.map(|i| format!("data_{i:04}.npz")));
    assert_eq!(ids(&dataset, "train").len(), 168);
}

#[test]
fn a_seeded_split_keeps_units_together_and_groups_in_proportion() {
    let rows: String =
        (0..400).map(|i| format!("{i}.png,lesion{},{}\n", i / 2, if i % 10 < 2 { "mel" } else { "nv" })).collect();
    let table = format!("file,lesion,dx\n{rows}");
    let rule = "rule = 'seeded'\nunit = 'lesion'\ngroup = 'dx'\nparts = { train = 0.75, test = 0.25 }";
    let dir = tempfile::tempdir().expect("directory");
    let whole = dataset(dir.path(), rule, &table);
    let (train, test) = (ids(&whole, "train"), ids(&whole, "test"));
    assert_eq!((train.len(), test.len()), (300, 100));
    let lesion = |id: &String| id.trim_end_matches(".png").parse::<u32>().expect("number") / 2;
    let (a, b): (BTreeSet<u32>, BTreeSet<u32>) =
        (train.iter().map(lesion).collect(), test.iter().map(lesion).collect());
    assert!(a.is_disjoint(&b));
    let melanomas = test.iter().filter(|id| lesion(id) % 5 == 0).count();
    assert_eq!(melanomas, 20);
    let other = dataset(dir.path(), &format!("{rule}\nseed = 1"), &table);
    assert_ne!(ids(&other, "test"), test);
}

#[test]
fn a_file_beside_the_data_takes_the_place_of_the_rule() {
    let rule = "rule = 'seeded'\nunit = 'file'\nparts = { train = 0.5, test = 0.5 }";
    let dir = tempfile::tempdir().expect("directory");
    let dataset = dataset(dir.path(), rule, "file\na.png\nb.png\nc.png\n");
    let by_rule = dataset.fingerprint("test").expect("hashed");
    for table in ["id,split\nc.png,test\na.png,train\n", "path,split\na.png,train\nc.png,test\n"] {
        std::fs::write(dir.path().join("splits.csv"), table).expect("written");
        assert_eq!((ids(&dataset, "train"), ids(&dataset, "test")), (vec!["a.png".into()], vec!["c.png".into()]));
    }
    assert_ne!(dataset.fingerprint("test").expect("hashed"), by_rule);
    std::fs::write(dir.path().join("splits.csv"), "id,split\nd.png,test\ne.png,test\na.png,test\n").expect("written");
    let error = dataset.samples("test", Task::Caption).expect_err("refused").to_string();
    assert!(error.ends_with("splits.csv: 2 of its rows name no sample, the first is `d.png`"), "{error}");
}
