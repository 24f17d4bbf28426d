//! A small image folder with everything wrong that a copy can have wrong.

use std::{fs, path::Path};

use super::*;
use crate::dataset::Manifest;

fn manifest(dir: &Path) -> Manifest {
    let text = "title = 't'\ncitation = 'c'\nlicence = 'l'\naccess = 'open'\nobtain = 'ask the author'\n\
                reader = 'image-folder'\npatient = [{ column = 'stem', until = '_' }]\n\
                checksums = { 'train/no/a_1.png' = { blake3 = 'ab', md5 = 'cd' } }\n[diagnosis]\nlabel = 'class'\n\
                [[class]]\nname = 'no'\nvalues = ['no']\nprompts = { published = ['n'] }\n\
                [[class]]\nname = 'yes'\nvalues = ['yes']\nprompts = { published = ['y'] }\n\
                [splits.train]\ncounts = { diagnosis = 5 }\n[splits.test]\ncounts = { diagnosis = 2 }\n[splits.more]\n";
    fs::write(dir.join("tiny.toml"), text).expect("written");
    Manifest::load(&dir.join("tiny.toml")).expect("valid")
}

fn image(dir: &Path, name: &str, grey: u8) {
    fs::create_dir_all(dir.join(name).parent().expect("parent")).expect("created");
    ::image::GrayImage::from_pixel(2, 2, ::image::Luma([grey])).save(dir.join(name)).expect("written");
}

#[test]
fn everything_wrong_with_a_copy_is_found() {
    let dir = tempfile::tempdir().expect("directory");
    let root = dir.path();
    for (name, grey) in [
        ("train/no/a_1.png", 1),
        ("train/no/b_1.bmp", 1),
        ("train/yes/c_1.png", 2),
        ("train/yes/c_2.png", 3),
        ("test/no/d_1.png", 2),
        ("test/yes/c_3.png", 4),
    ] {
        image(root, name, grey);
    }
    fs::write(root.join("test/yes/.hidden.png"), "").expect("written");
    fs::write(root.join("test/yes/notes.txt"), "").expect("written");
    fs::write(root.join("train/yes/c_2.png"), "").expect("written");

    let dataset = Dataset::open(&manifest(root), Some(root)).expect("opened");
    let mut seen = Vec::new();
    let report = check(&dataset, &mut |done, total| seen.push((done, total))).expect("checked");
    assert_eq!(seen.last(), Some(&(6, 6)));
    let text = |lines: Vec<String>| {
        lines.join("\n").replace(&format!("{}/", root.display()), "").replace(&root.display().to_string(), "ROOT")
    };
    let problems = text(report.problems());
    let expected = [
        "train/no/a_1.png: md5 is ",
        "train/no/a_1.png: blake3 is ",
        "ROOT: `more` of dataset `tiny` is missing: ask the author",
        "split `train` has 4 diagnosis samples, expected 5",
        "train/yes/c_2.png: the image file is empty",
    ];
    assert_eq!(problems.lines().count(), expected.len(), "{problems}");
    for (line, start) in problems.lines().zip(expected) {
        assert!(line.starts_with(start), "{line}");
    }
    let expected = "the same image is in test, train: test/no/d_1.png, train/yes/c_1.png\n\
                    the same image is in train 2 times: train/no/a_1.png, train/no/b_1.bmp\n\
                    patient `c` is in test, train";
    assert_eq!(text(report.warnings()), expected);
}

#[test]
fn a_copy_without_any_split_says_what_is_missing() {
    let dir = tempfile::tempdir().expect("directory");
    let error = Dataset::open(&manifest(dir.path()), Some(dir.path())).expect_err("empty").to_string();
    assert!(error.ends_with("of dataset `tiny` is missing: ask the author"), "{error}");
}

#[test]
fn the_fingerprint_follows_names_and_contents_of_one_split() {
    let dir = tempfile::tempdir().expect("directory");
    let root = dir.path();
    image(root, "train/no/a.png", 1);
    image(root, "test/no/a.png", 1);
    let dataset = Dataset::open(&manifest(root), Some(root)).expect("opened");
    let fingerprints = || (dataset.fingerprint("train").expect("hashed"), dataset.fingerprint("test").expect("hashed"));
    let first = fingerprints();
    assert_eq!(first, fingerprints());
    image(root, "test/no/a.png", 2);
    let second = fingerprints();
    assert!(second.0 == first.0 && second.1 != first.1);
    fs::rename(root.join("test/no/a.png"), root.join("test/no/b.png")).expect("renamed");
    assert_ne!(fingerprints().1, second.1);
}
