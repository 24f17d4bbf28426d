//! NumPy archives: MedMNIST has one for all images, GF3300 one for each.

use std::marker::Copy as Copy_;

use npyz::WriterBuilder;

use super::*;

pub(super) fn write<T: npyz::AutoSerialize + Copy_>(copy: &Copy, name: &str, arrays: &[(&str, &[u64], &[T])]) {
    let mut archive = npyz::npz::NpzWriter::create(copy.path(name)).expect("created");
    for (name, shape, values) in arrays {
        let writer = archive.array(name, Default::default()).expect("array");
        let mut writer = writer.default_dtype().shape(shape).begin_nd().expect("begun");
        writer.extend(values.iter().copied()).expect("written");
        writer.finish().expect("finished");
    }
}

fn medmnist(id: &'static str, file: &str, channels: u64, classes: u8) -> Copy {
    let copy = Copy::of(id);
    let shape =
        if channels == 1 { vec![u64::from(classes), 28, 28] } else { vec![u64::from(classes), 28, 28, channels] };
    let pixels: Vec<u8> = (0..shape.iter().product::<u64>()).map(|i| (i * 7 / 5 % 251) as u8).collect();
    let values: Vec<u8> = (0..classes).collect();
    let label_shape = [u64::from(classes), 1];
    let arrays: Vec<(String, &[u64], &[u8])> = ["train", "val", "test"]
        .iter()
        .flat_map(|key| {
            [
                (format!("{key}_images"), &shape[..], &pixels[..]),
                (format!("{key}_labels"), &label_shape[..], &values[..]),
            ]
        })
        .collect();
    let arrays: Vec<(&str, &[u64], &[u8])> =
        arrays.iter().map(|(name, shape, values)| (name.as_str(), *shape, *values)).collect();
    write(&copy, file, &arrays);
    copy
}

#[test]
fn medmnist_archives_of_any_size_are_read() {
    for (id, file, channels, classes) in [
        ("pneumonia-mnist", "pneumoniamnist_224.npz", 1, 2),
        ("breast-mnist", "breastmnist.npz", 1, 2),
        ("derma-mnist", "dermamnist_64.npz", 3, 7),
    ] {
        let copy = medmnist(id, file, channels, classes);
        for split in ["train", "validation", "test"] {
            let samples = copy.samples(split);
            assert_eq!(labels(&samples), (0..u32::from(classes)).map(|class| vec![class]).collect::<Vec<_>>(), "{id}");
        }
        let problems = copy.problems();
        assert!(problems.len() == 1 && problems[0].contains(&format!("{file}: md5 is ")), "{problems:?}");
    }
}

#[test]
fn gf3300_scales_each_thickness_map_and_holds_out_as_many_women_as_men() {
    let copy = Copy::of("gf3300");
    let row = |i: usize| {
        let sex = if i % 5 < 3 { "Female" } else { "Male" };
        format!("data_{i:04}.npz,{},{sex},Asian,{}\n", 60 + i, if i.is_multiple_of(2) { "yes" } else { "no" })
    };
    copy.write("metadata.csv", format!("filename,age,gender,race,glaucoma\n{}", (0..25).map(row).collect::<String>()));
    // Thickness from -2 to 350 over a map of the published size.
    let map: Vec<f32> = (0..200 * 200).map(|i| (i % 353) as f32 - 2.0).collect();
    for i in 0..25 {
        write(&copy, &format!("data/data_{i:04}.npz"), &[("rnflt", &[200, 200], &map), ("md", &[1], &[i as f32])]);
    }
    let (train, test) = (copy.samples("train"), copy.samples("test"));
    assert_eq!((train.len(), test.len()), (21, 4));
    assert_eq!(test.iter().filter(|sample| sample.groups["gender"] == "Male").count(), 2);
    assert_eq!(train.iter().chain(&test).filter(|sample| sample.target == Target::Labels(vec![1])).count(), 13);
    assert_eq!(patients(&train)[0], train[0].id);
    let pixels = copy.open().pixels(&test[0].images[0]).expect("decoded");
    assert_eq!((pixels.width, pixels.height), (200, 200));
    // numpy.uint8((numpy.float32(x) + 2) / 352 * 255)
    let expected = [(0, 0), (1, 0), (2, 1), (100, 72), (176, 127), (351, 254), (352, 255)];
    assert_eq!(expected.map(|(position, _)| (position, pixels.rgb[3 * position])), expected);
    let problems = copy.problems();
    assert_eq!(problems, Vec::<String>::new());

    copy.write("split/test.csv", "path,glaucoma\ndata/data_0003.npz,no\n");
    let paper = copy.samples("paper-test");
    assert_eq!((ids(&paper), labels(&paper)), (vec!["data_0003"], vec![vec![0]]));
}

#[test]
fn an_archive_without_the_array_is_named() {
    let copy = Copy::of("gf3300");
    copy.write("metadata.csv", "filename,age,gender,race,glaucoma\ndata_0001.npz,60,Male,Asian,yes\n");
    write(&copy, "data/data_0001.npz", &[("rnfl", &[2, 2], &[0.0_f64; 4])]);
    let problems = copy.problems();
    assert_eq!(problems.len(), 1);
    assert!(problems[0].ends_with("data_0001.npz: has no array `rnflt`; did you mean `rnfl`?"), "{problems:?}");
    write(&copy, "data/data_0001.npz", &[("rnflt", &[2, 2, 2], &[0.0_f64; 8])]);
    assert!(copy.problems()[0].ends_with("`rnflt` has shape [2, 2, 2], not [H, W] or [H, W, 3]"));
}
