//! Decoding against Pillow, and refusals. `fixtures/make.py` writes the images and what Pillow decodes them to.

use std::path::{Path, PathBuf};

use super::*;

fn fixture(name: &str) -> Vec<u8> {
    std::fs::read(fixtures().join(name)).expect("the fixture is there")
}

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/dataset/image/fixtures")
}

fn refusal(bytes: &[u8]) -> String {
    decode_image(bytes, "a.img").expect_err("refused").to_string()
}

#[test]
fn every_format_decodes_as_pillow_does() {
    let expected = String::from_utf8(fixture("expected.txt")).expect("text");
    let mut differing = Vec::new();
    for line in expected.lines() {
        let fields: Vec<&str> = line.split(' ').collect();
        let found = match decode_image(&fixture(fields[0]), fields[0]) {
            Ok(pixels) => format!("{} {} {:x}", pixels.width, pixels.height, md5::compute(&pixels.rgb)),
            Err(e) => e.to_string(),
        };
        if found != fields[1..].join(" ") {
            differing.push(format!("{line}, found {found}"));
        }
    }
    assert!(differing.is_empty(), "{differing:#?}");
    assert!(expected.lines().count() >= 30);
}

#[test]
fn more_than_eight_bits_are_refused() {
    for name in ["bad-16-bit.png", "bad-16-bit.tif"] {
        assert_eq!(refusal(&fixture(name)), "a.img: has 16 bits a channel; window it to 8 bits first", "{name}");
    }
}

#[test]
fn animations_are_refused_with_the_number_of_their_frames() {
    for suffix in ["png", "gif", "webp", "tif"] {
        let error = refusal(&fixture(&format!("bad-animated.{suffix}")));
        assert_eq!(error, "a.img: has 3 frames; extract the one to be judged", "{suffix}");
    }
}

#[test]
fn what_holds_no_image_is_refused() {
    assert_eq!(refusal(b""), "a.img: the image file is empty");
    let unknown = "a.img: no image that can be read: expected JPEG, PNG, BMP, GIF, TIFF, WebP or DICOM";
    assert_eq!(refusal(b"<html>not found</html>"), unknown);
    assert_eq!(refusal(b"P6 1 1 255 abc"), unknown);
    let zero = refusal(&fixture("bad-zero-width.png"));
    assert!(zero.starts_with("a.img: "), "{zero}");
}

#[test]
fn an_image_cut_anywhere_is_an_error_and_never_a_panic() {
    for name in
        ["420.jpg", "420-progressive.jpg", "restart.jpg", "rgb.png", "palette.gif", "rgb.bmp", "lzw.tif", "lossy.webp"]
    {
        let whole = fixture(name);
        for length in (0..whole.len() * 9 / 10).step_by(17) {
            let error = refusal(&whole[..length]);
            assert!(error.starts_with("a.img: "), "{error}");
        }
    }
    let jpeg = fixture("420.jpg");
    let error = refusal(&jpeg[..jpeg.len() * 3 / 4]);
    let expected = format!(
        "a.img: truncated or damaged Jpeg image of {} bytes: the file ends before the image does",
        jpeg.len() * 3 / 4
    );
    assert_eq!(error, expected);
}

#[test]
fn damaged_bytes_never_panic() {
    for name in
        ["420.jpg", "420-progressive.jpg", "cmyk.jpg", "rgb.png", "palette.gif", "rgb.bmp", "rgb.tif", "lossy.webp"]
    {
        let whole = fixture(name);
        for position in (0..whole.len()).step_by(5) {
            let mut damaged = whole.clone();
            damaged[position] ^= 0xff;
            let _ = decode_image(&damaged, "a.img");
        }
    }
}
