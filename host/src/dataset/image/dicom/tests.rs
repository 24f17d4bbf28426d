//! DICOM against pydicom and the formulas of the standard. `fixtures/make.py` writes files and expectations.

use std::path::{Path, PathBuf};

use super::*;

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/dataset/image/dicom/fixtures")
}

fn fixture(name: &str) -> Vec<u8> {
    std::fs::read(fixtures().join(name)).expect("the fixture is there")
}

fn refusal(bytes: &[u8], rule: &DicomRule) -> String {
    decode(bytes, rule).expect_err("refused")
}

/// Lines of `expected.txt` that differ, and the number of lines of that place.
fn differing(place: &str, folder: &Path) -> (Vec<String>, usize) {
    let expected = std::fs::read_to_string(fixtures().join("expected.txt")).expect("text");
    let lines: Vec<Vec<&str>> = expected.lines().map(|line| line.split(' ').collect()).collect();
    let lines: Vec<Vec<&str>> = lines.into_iter().filter(|fields| fields[0] == place).collect();
    let mut differing = Vec::new();
    for fields in &lines {
        let window = fields[3].parse().ok().zip(fields[4].parse().ok());
        let rule = DicomRule { window, frame: fields[2].parse().ok(), ..DicomRule::default() };
        let bytes = std::fs::read(folder.join(fields[1])).expect("the file is there");
        assert!(recognises(&bytes), "{}", fields[1]);
        let found = match decode(&bytes, &rule) {
            Ok(pixels) => format!("{} {} {:x}", pixels.width, pixels.height, md5::compute(&pixels.rgb)),
            Err(e) => e,
        };
        if found != fields[5..].join(" ") {
            differing.push(format!("{}, found {found}", fields.join(" ")));
        }
    }
    (differing, lines.len())
}

#[test]
fn made_files_decode_as_pydicom_does() {
    assert_eq!(differing("fixture", &fixtures()), (Vec::new(), 19));
}

#[test]
fn the_samples_of_pydicom_decode_as_pydicom_does() {
    let Some(data) = std::env::var_os("MEDVLM_REAL_DATA") else {
        eprintln!("skipped: MEDVLM_REAL_DATA is unset");
        return;
    };
    assert_eq!(differing("sample", &PathBuf::from(data).join("dicom")), (Vec::new(), 11));
}

#[test]
fn what_is_whole_in_broken_samples_is_read() {
    let Some(data) = std::env::var_os("MEDVLM_REAL_DATA") else {
        eprintln!("skipped: MEDVLM_REAL_DATA is unset");
        return;
    };
    let sample =
        |name: &str| std::fs::read(PathBuf::from(&data).join("dicom").join(name)).expect("the sample is there");
    // A sequence of this file has a wrong length; pydicom reads on as well, and this is what it makes of the pixels.
    let pixels = decode(&sample("bad_sequence.dcm"), &DicomRule::default()).expect("decoded");
    assert_eq!(format!("{:x}", md5::compute(&pixels.rgb)), "9c6896bf8fc16ef1f20410e347572c66");
    // The frames of this one are those of its twin.
    for frame in 0..10 {
        let rule = DicomRule { window: Some((200.0, 400.0)), frame: Some(frame), ..DicomRule::default() };
        let decoded = |name: &str| decode(&sample(name), &rule).expect("decoded");
        assert_eq!(decoded("emri_small_jpeg_2k_lossless_too_short.dcm"), decoded("emri_small_RLE.dcm"));
    }
}

#[test]
fn a_compressed_frame_that_is_cut_is_refused() {
    let error = refusal(&fixture("jpeg2000-short.dcm"), &DicomRule::default());
    let expected = "pixel data in transfer syntax JPEG 2000 Image Compression (Lossless Only) (1.2.840.10008.1.2.4.90) cannot be decoded: ";
    assert!(error.starts_with(expected), "{error}");
}

#[test]
fn lossy_jpeg_is_as_pillow_decodes_it_up_to_rounding() {
    let pixels = decode(&fixture("jpeg.dcm"), &DicomRule::default()).expect("decoded");
    let expected = fixture("jpeg.rgb");
    assert_eq!((pixels.width, pixels.height, pixels.rgb.len()), (32, 24, expected.len()));
    let highest = pixels.rgb.iter().zip(&expected).map(|(a, b)| a.abs_diff(*b)).max();
    assert!(highest.is_some_and(|difference| difference <= 2), "{highest:?}");
}

#[test]
fn the_manifest_chooses_window_and_frame() {
    let (bytes, frames) = (fixture("mono1.dcm"), fixture("frames.dcm"));
    let of = |rule: DicomRule| decode(&bytes, &rule).expect("decoded").rgb;
    let second = of(DicomRule { window_index: 1, ..DicomRule::default() });
    assert_eq!(second, of(DicomRule { window: Some((2048.0, 4096.0)), ..DicomRule::default() }));
    assert_ne!(second, of(DicomRule::default()));
    let rule = DicomRule { window_index: 2, ..DicomRule::default() };
    assert_eq!(refusal(&bytes, &rule), "has 2 windows, the manifest asks for window 2");
    let error = refusal(&frames, &DicomRule::default());
    assert_eq!(error, "has 3 frames; choose one with `frame` in [dicom] of the manifest");
    let rule = DicomRule { frame: Some(3), ..DicomRule::default() };
    assert_eq!(refusal(&frames, &rule), "has 3 frames, the manifest asks for frame 3");
}

#[test]
fn many_bits_without_a_window_are_refused() {
    let error = refusal(&fixture("no-window.dcm"), &DicomRule::default());
    assert_eq!(error, "has 12 bits a pixel and no window; name one with `window` in [dicom] of the manifest");
}

#[test]
#[cfg(not(feature = "jpeg-ls"))]
fn an_unsupported_transfer_syntax_is_named() {
    let error = refusal(&fixture("jpeg-ls.dcm"), &DicomRule::default());
    let expected = "transfer syntax JPEG-LS Lossless Image Compression (1.2.840.10008.1.2.4.80) is not supported; \
                    convert the file to explicit little endian first";
    assert_eq!(error, expected);
}

#[test]
#[cfg(feature = "jpeg-ls")]
fn jpeg_ls_loses_nothing() {
    let decoded = |name: &str| decode(&fixture(name), &DicomRule::default()).expect("decoded");
    assert_eq!(decoded("jpeg-ls.dcm"), decoded("mono1.dcm"));
}

#[test]
fn a_file_cut_anywhere_or_damaged_is_an_error_and_never_a_panic() {
    for name in ["mono1.dcm", "colour.dcm", "rle.dcm", "jpeg.dcm", "palette.dcm", "interest-table.dcm"] {
        let whole = fixture(name);
        for length in (140..whole.len() * 9 / 10).step_by(23) {
            let error = refusal(&whole[..length], &DicomRule::default());
            assert!(!error.contains('\n'), "{error}");
        }
        for position in (132..whole.len()).step_by(7) {
            let mut damaged = whole.clone();
            damaged[position] ^= 0xff;
            let _ = decode(&damaged, &DicomRule::default());
        }
    }
}
