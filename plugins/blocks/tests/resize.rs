//! Resizing against Pillow and torchvision, on the images that `tests/parity/resize.py` wrote.

#![allow(clippy::unwrap_used, reason = "a test may panic anywhere")]

use std::{collections::HashMap, path::Path};

use blocks::image::{Filter, Rgb, Window, resize, resize_tensor};
use safetensors::SafeTensors;

#[test]
fn equals_pillow_byte_for_byte() {
    let mut compared = 0;
    for (name, golden) in goldens() {
        let Some((input, number)) = name.split_once(' ').filter(|(_, number)| !number.contains(' ')) else { continue };
        let source = &goldens()[input];
        let filter = Filter::from_number(number.parse().unwrap()).unwrap();
        let found = whole(source, (golden.width, golden.height), filter);
        assert!(found == golden, "{input} to {}x{} by {filter:?} differs", golden.width, golden.height);
        compared += 1;
    }
    assert_eq!(compared, 48);
}

#[test]
fn equals_torchvision_byte_for_byte() {
    let mut compared = 0;
    for (name, golden) in goldens() {
        let Some((input, number)) = name.split_once(" tensor ") else { continue };
        let filter = Filter::from_number(number.parse().unwrap()).unwrap();
        let found = resize_tensor(borrow(&goldens()[input]), (golden.width, golden.height), filter);
        assert!(found == golden, "{input} to {}x{} by {filter:?} differs", golden.width, golden.height);
        compared += 1;
    }
    assert_eq!(compared, 24);
}

#[test]
fn a_window_is_a_part_of_the_whole() {
    let source = &goldens()["37x23"];
    // Pillow begins with the columns of the first, and with the rows of the second.
    for (size, number) in [(50, 9), (50, 40)].iter().flat_map(|size| (0..6).map(move |number| (*size, number))) {
        let filter = Filter::from_number(number).unwrap();
        let all = whole(source, size, filter);
        let (columns, rows) = (Window { start: 13, length: 30 }, Window { start: 2, length: 6 });
        let part = resize(borrow(source), size, filter, columns, rows);
        let expected: Vec<u8> = (2..8).flat_map(|y| all.data[(y * 50 + 13) * 3..][..30 * 3].to_vec()).collect();
        assert_eq!((part.width, part.height, part.data), (30, 6, expected));
    }
    assert_eq!(Filter::from_number(6), None);
}

fn whole(image: &Rgb<Vec<u8>>, size: (usize, usize), filter: Filter) -> Rgb<Vec<u8>> {
    let full = |length| Window { start: 0, length };
    resize(borrow(image), size, filter, full(size.0), full(size.1))
}

fn borrow(image: &Rgb<Vec<u8>>) -> Rgb<&[u8]> {
    Rgb { width: image.width, height: image.height, data: &image.data }
}

fn goldens() -> HashMap<String, Rgb<Vec<u8>>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/parity/resize.safetensors");
    let bytes = std::fs::read(path).unwrap();
    let image = |view: &safetensors::tensor::TensorView<'_>| Rgb {
        width: view.shape()[1],
        height: view.shape()[0],
        data: view.data().to_vec(),
    };
    SafeTensors::deserialize(&bytes).unwrap().tensors().iter().map(|(name, view)| (name.clone(), image(view))).collect()
}
