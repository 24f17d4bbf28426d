//! DICOM: one frame becomes 8-bit RGB as a reading station shows it.
//!
//! Stored values run through the modality transform (rescale or table), the value-of-interest transform (the manifest's
//! window, else the file's table, else one of its windows; DICOM PS3.3 C.11.2) and the inversion of MONOCHROME1. Grey
//! of more than 8 bits has to have a window, since which values matter is a clinical choice; colour of more than 8 bits
//! is scaled. Files without the `DICM` prefix are read where they begin with a data set in little endian.

use std::io::Cursor;

use dicom_object::{DefaultDicomObject, FileMetaTableBuilder, InMemDicomObject, Tag, from_reader};
use dicom_pixeldata::{DecodedPixelData, PixelDecoder, PixelRepresentation, PlanarConfiguration};
use dicom_transfer_syntax_registry::{TransferSyntaxIndex, TransferSyntaxRegistry};

use super::{Pixels, check_size, fence::fenced};
use crate::dataset::DicomRule;

mod colour;
mod grey;
mod table;

/// Position of the prefix that every DICOM file should have.
const PREFIX: std::ops::Range<usize> = 128..132;

const PHOTOMETRIC_INTERPRETATION: Tag = Tag(0x0028, 0x0004);
const NUMBER_OF_FRAMES: Tag = Tag(0x0028, 0x0008);
const PIXEL_DATA: Tag = Tag(0x7fe0, 0x0010);
const EXPLICIT_LITTLE: &str = "1.2.840.10008.1.2.1";
const IMPLICIT_LITTLE: &str = "1.2.840.10008.1.2";

type Result<T> = std::result::Result<T, String>;

/// Whether the bytes are a DICOM file: by its prefix, or by a data set that begins with the group 0008.
pub fn recognises(bytes: &[u8]) -> bool {
    bytes.get(PREFIX) == Some(b"DICM".as_slice()) || bare_data_set(bytes)
}

/// Decodes one frame.
pub fn decode(bytes: &[u8], rule: &DicomRule) -> Result<Pixels> {
    fenced(|| decode_frame(bytes, rule))
        .unwrap_or_else(|| Err(format!("truncated or damaged DICOM file of {} bytes", bytes.len())))
}

fn decode_frame(bytes: &[u8], rule: &DicomRule) -> Result<Pixels> {
    let object = read(bytes).map_err(|e| format!("truncated or damaged DICOM file of {} bytes: {e}", bytes.len()))?;
    let syntax = name_of_syntax(&object);
    if object.get(PIXEL_DATA).is_none() {
        return Err(format!("truncated or damaged DICOM file of {} bytes: it has no pixel data", bytes.len()));
    }
    if !TransferSyntaxRegistry.get(object.meta().transfer_syntax()).is_some_and(|syntax| syntax.can_decode_all()) {
        return Err(format!(
            "transfer syntax {syntax} is not supported; convert the file to explicit little endian first"
        ));
    }
    let data = object.decode_pixel_data_frame(frame(&object, rule)?);
    let data = data.map_err(|e| format!("pixel data in transfer syntax {syntax} cannot be decoded: {}", chain(&e)))?;
    let (width, height) = (data.columns(), data.rows());
    check_size(width, height)?;
    let stored = Stored::of(&data)?;
    let interpretation = text(&object, PHOTOMETRIC_INTERPRETATION).unwrap_or_default();
    let rgb = match (interpretation.as_str(), data.samples_per_pixel()) {
        ("MONOCHROME1" | "MONOCHROME2", 1) => grey::rgb(&object, &data, stored, rule, interpretation == "MONOCHROME1")?,
        ("PALETTE COLOR", 1) => table::palette(&object, &stored.values)?,
        (_, 3) => colour::rgb(&data, stored, needs_conversion(&interpretation, &object)),
        (other, samples) => {
            return Err(format!(
                "photometric interpretation `{other}` with {samples} samples a pixel is not supported"
            ));
        }
    };
    Ok(Pixels { width, height, rgb })
}

/// The values of a frame as they are stored, without the bits beyond `BitsStored`.
struct Stored {
    values: Vec<i32>,
    bits: u32,
    signed: bool,
}

impl Stored {
    fn of(data: &DecodedPixelData<'_>) -> Result<Self> {
        let bytes = data.data();
        let (bits, high) = (u32::from(data.bits_stored()), u32::from(data.high_bit()));
        let signed = data.pixel_representation() == PixelRepresentation::Signed;
        let raw: Vec<i32> = match data.bits_allocated() {
            // One bit arrives as a byte of 0 or 255.
            1 => return Self::checked(data, bytes.iter().map(|b| i32::from(*b)).collect(), 8, false),
            8 => bytes.iter().map(|b| i32::from(*b)).collect(),
            16 => bytes.as_chunks().0.iter().map(|pair| i32::from(u16::from_le_bytes(*pair))).collect(),
            bits => return Err(format!("has {bits} bits allocated a sample; 1, 8 and 16 are supported")),
        };
        if bits == 0 || bits > 16 || high + 1 < bits {
            return Err(format!("has {bits} bits stored with {high} as the highest, which is impossible"));
        }
        let (shift, mask, sign) = (high + 1 - bits, (1i32 << bits) - 1, 1i32 << (bits - 1));
        let value = |raw: i32| {
            let value = (raw >> shift) & mask;
            if signed && value & sign != 0 { value - mask - 1 } else { value }
        };
        Self::checked(data, raw.into_iter().map(value).collect(), bits, signed)
    }

    fn checked(data: &DecodedPixelData<'_>, mut values: Vec<i32>, bits: u32, signed: bool) -> Result<Self> {
        let expected = u64::from(data.columns()) * u64::from(data.rows()) * u64::from(data.samples_per_pixel());
        let expected = usize::try_from(expected).unwrap_or(usize::MAX);
        if values.len() < expected {
            return Err(format!("a frame has {} values where {expected} are needed", values.len()));
        }
        values.truncate(expected);
        if data.planar_configuration() == PlanarConfiguration::PixelFirst && data.samples_per_pixel() == 3 {
            let plane = expected / 3;
            values = (0..plane).flat_map(|i| [i, i + plane, i + 2 * plane]).map(|i| values[i]).collect();
        }
        Ok(Self { values, bits, signed })
    }
}

fn read(bytes: &[u8]) -> Result<DefaultDicomObject> {
    if bytes.get(PREFIX) == Some(b"DICM".as_slice()) {
        return from_reader(Cursor::new(bytes)).map_err(|e| chain(&e));
    }
    let explicit = bytes.get(4..6).is_some_and(|vr| vr.iter().all(u8::is_ascii_uppercase));
    let uid = if explicit { EXPLICIT_LITTLE } else { IMPLICIT_LITTLE };
    let syntax = TransferSyntaxRegistry.get(uid).ok_or_else(|| format!("transfer syntax {uid} is unknown"))?;
    let object = InMemDicomObject::read_dataset_with_ts(Cursor::new(bytes), syntax).map_err(|e| chain(&e))?;
    object.with_meta(FileMetaTableBuilder::new().transfer_syntax(uid)).map_err(|e| chain(&e))
}

fn bare_data_set(bytes: &[u8]) -> bool {
    matches!(bytes, [8, 0, _, 0, ..])
}

fn frame(object: &DefaultDicomObject, rule: &DicomRule) -> Result<u32> {
    let count = object.get(NUMBER_OF_FRAMES).and_then(|element| element.to_int::<u32>().ok()).unwrap_or(1).max(1);
    match (rule.frame, count) {
        (Some(frame), count) if frame >= count => {
            Err(format!("has {count} frames, the manifest asks for frame {frame}"))
        }
        (Some(frame), _) => Ok(frame),
        (None, 1) => Ok(0),
        (None, count) => Err(format!("has {count} frames; choose one with `frame` in [dicom] of the manifest")),
    }
}

/// The codecs of JPEG and JPEG 2000 give RGB; uncompressed and run-length data keep the colour space of the file.
fn needs_conversion(interpretation: &str, object: &DefaultDicomObject) -> bool {
    const PLAIN: [&str; 5] = [
        "1.2.840.10008.1.2",
        "1.2.840.10008.1.2.1",
        "1.2.840.10008.1.2.1.99",
        "1.2.840.10008.1.2.2",
        "1.2.840.10008.1.2.5",
    ];
    interpretation == "YBR_FULL" && PLAIN.contains(&object.meta().transfer_syntax())
}

/// Name and identifier of the file's transfer syntax.
fn name_of_syntax(object: &DefaultDicomObject) -> String {
    let uid = object.meta().transfer_syntax();
    match TransferSyntaxRegistry.get(uid) {
        Some(syntax) => format!("{} ({uid})", syntax.name()),
        None => uid.to_string(),
    }
}

fn text(object: &DefaultDicomObject, tag: Tag) -> Option<String> {
    Some(object.get(tag)?.to_str().ok()?.trim_matches([' ', '\0']).to_string())
}

/// An error with its causes in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source()).map(|e| e.to_string());
    let line = causes.collect::<Vec<_>>().join(": ");
    line.trim_end_matches('.').replace('\n', " ")
}

#[cfg(test)]
mod tests;
