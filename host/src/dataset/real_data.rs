//! Tests on the bundled phantoms, and on real copies found through `MEDVLM_REAL_DATA`.

use std::{collections::BTreeSet, path::PathBuf};

use super::*;

fn manifests() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../data")
}

fn open(id: &str, root: Option<&Path>) -> Dataset {
    let catalog = Catalog::load(&[manifests()]).expect("the manifests are valid");
    Dataset::open(catalog.get(id).expect("known"), root).expect("the copy is there")
}

/// A directory of the real copies; the test says that it was skipped where there are none.
fn real(directory: &str) -> Option<PathBuf> {
    let root = std::env::var_os("MEDVLM_REAL_DATA").map(|data| PathBuf::from(data).join(directory));
    if root.is_none() {
        eprintln!("skipped: MEDVLM_REAL_DATA is unset");
    }
    root
}

/// MD5 over the pixels of all images of the samples, in the order of their paths, and the number of images.
fn digest_of_pixels(dataset: &Dataset, samples: &[Sample]) -> (usize, String) {
    let images: BTreeSet<&ImageRef> = samples.iter().flat_map(|sample| &sample.images).collect();
    let mut context = md5::Context::new();
    images.iter().for_each(|image| context.consume(dataset.pixels(image).expect("decoded").rgb));
    (images.len(), format!("{:x}", context.finalize()))
}

fn labelled(samples: &[Sample], label: u32) -> usize {
    samples.iter().filter(|sample| sample.target == Target::Labels(vec![label])).count()
}

#[test]
fn the_bundled_phantoms_are_what_their_manifests_say() {
    for id in ["phantom", "phantom-chest", "phantom-fundus", "phantom-skin", "phantom-tissue"] {
        let report = check(&open(id, None), &mut |_, _| {}).expect("checked");
        assert_eq!(report.problems(), Vec::<String>::new(), "{id}");
        assert_eq!(report.warnings(), Vec::<String>::new(), "{id}");
    }
    let phantom = open("phantom", None);
    let samples = phantom.samples("test", Task::Vqa).expect("samples");
    assert_eq!((samples[0].closed, samples[1].closed), (Some(true), Some(false)));
    assert_eq!(samples[1].id, format!("{}.open", samples[0].id.trim_end_matches(".closed")));
    assert_eq!(samples[1].images, samples[0].images);
    assert_eq!(samples[0].groups.keys().collect::<Vec<_>>(), ["age_group", "modality", "sex"]);
    assert!(samples.iter().all(|sample| sample.patient.is_some()));
}

#[test]
fn chest_xray_has_the_published_validation_split() {
    let Some(root) = real("chest_xray") else { return };
    let dataset = open("chest-xray", Some(&root));
    let samples = dataset.samples("validation", Task::Diagnosis).expect("samples");
    assert_eq!((labelled(&samples, 0), labelled(&samples, 1)), (8, 8));
    assert_eq!(samples[0].id, "val/NORMAL/NORMAL2-IM-1427-0001.jpeg");
    assert_eq!(samples[0].patient.as_deref(), Some("NORMAL2-IM-1427"));
    assert_eq!(samples[9].patient.as_deref(), Some("person1946"));
    let expected = (16, "707e476faa5e227e82e4f2570086009e".to_string());
    assert_eq!(digest_of_pixels(&dataset, &samples), expected, "differs from Pillow");

    let missing = dataset.samples("train", Task::Diagnosis).expect_err("not in this copy").to_string();
    assert!(missing.contains("`train` of dataset `chest-xray` is missing: download"), "{missing}");
}

#[test]
fn pneumonia_mnist_has_the_published_test_split_and_the_check_tells_of_the_short_train_split() {
    let Some(root) = real("medmnist") else { return };
    let dataset = open("pneumonia-mnist", Some(&root));
    for (split, normal, pneumonia) in [("validation", 135, 389), ("test", 234, 390)] {
        let samples = dataset.samples(split, Task::Diagnosis).expect("samples");
        assert_eq!((labelled(&samples, 0), labelled(&samples, 1)), (normal, pneumonia), "{split}");
        let pixels = dataset.pixels(&samples[0].images[0]).expect("decoded");
        assert_eq!((pixels.width, pixels.height, pixels.rgb.len()), (28, 28, 28 * 28 * 3));
    }
    let report = check(&dataset, &mut |_, _| {}).expect("checked");
    let problems = report.problems();
    assert_eq!(problems.len(), 2, "{problems:#?}");
    assert!(problems[0].contains("pneumoniamnist.npz: md5 is"), "{problems:#?}");
    assert_eq!(problems[1], "split `train` has 3882 diagnosis samples, expected 4708");
}

#[test]
fn vqa_rad_has_all_its_questions_and_images() {
    let Some(root) = real("vqa-rad") else { return };
    let dataset = open("vqa-rad-original", Some(&root));
    let (train, test) = (dataset.samples("train", Task::Vqa), dataset.samples("test", Task::Vqa));
    let samples = [train.expect("samples"), test.expect("samples")].concat();
    assert_eq!(samples.len(), 2248);
    assert_eq!(samples.iter().filter(|sample| sample.closed == Some(true)).count(), 1299);
    assert!(samples.iter().any(|sample| sample.target == Target::Answers(vec!["12".into()])));
    let test = &samples[1797..];
    assert_eq!((test.len(), test.iter().filter(|sample| sample.closed == Some(true)).count()), (451, 272));
    // The paper counts as closed what is answered with yes or no.
    let answered = |sample: &&Sample| {
        let Target::Answers(answers) = &sample.target else { return false };
        ["yes", "no"].iter().any(|word| answers[0].eq_ignore_ascii_case(word))
    };
    assert_eq!(test.iter().filter(answered).count(), 251);
    assert!(samples.iter().any(|sample| sample.id == "0"), "the id that is a text");

    let report = check(&dataset, &mut |_, _| {}).expect("checked");
    assert_eq!(report.problems(), Vec::<String>::new());
    assert_eq!(report.duplicates_across.len(), 202, "images that the published test split shares with training");
}

#[test]
fn the_excerpt_of_slake_has_its_english_questions() {
    let Some(root) = real("slake-sample") else { return };
    let dataset = open("slake", Some(&root));
    for (split, open, closed) in [("train", 38, 34), ("validation", 16, 12), ("test", 18, 13)] {
        let samples = dataset.samples(split, Task::Vqa).expect("samples");
        let found = [false, true].map(|kind| samples.iter().filter(|sample| sample.closed == Some(kind)).count());
        assert_eq!(found, [open, closed], "{split}");
    }
    let report = check(&dataset, &mut |_, _| {}).expect("checked");
    assert_eq!((report.images, report.unreadable.len(), report.files.len()), (14, 0, 0));
    let expected = [("test", 31, 1061), ("train", 72, 4919), ("validation", 28, 1053)];
    let mut problems = report.problems();
    assert_eq!(problems.remove(1), "split `test` has 13 closed questions, expected 416");
    let sentence =
        |(split, found, all): (&str, u32, u32)| format!("split `{split}` has {found} vqa samples, expected {all}");
    assert_eq!(problems, expected.map(sentence), "nothing but the size");
}

#[test]
fn vqa_rad_decodes_as_pillow_does() {
    let Some(root) = real("vqa-rad") else { return };
    let dataset = open("vqa-rad-original", Some(&root));
    let mut context = md5::Context::new();
    let mut paths: Vec<PathBuf> = std::fs::read_dir(root.join("VQA_RAD Image Folder"))
        .expect("readable")
        .map(|entry| entry.expect("readable").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "jpg"))
        .collect();
    paths.sort();
    for path in &paths {
        let bytes = std::fs::read(path).expect("read");
        context.consume(decode_image(&bytes, &path.display().to_string()).expect("decoded").rgb);
    }
    assert_eq!(paths.len(), 315);
    assert_eq!(format!("{:x}", context.finalize()), "da3604374fb7feb68fb975bd40d147c9", "differs from Pillow");
    assert_eq!(dataset.fingerprint("test").expect("hashed").len(), 32);
}
