//! Colour of three samples a pixel.

use dicom_pixeldata::DecodedPixelData;

use super::Stored;

/// RGB of 8 bits; more bits are scaled by their full range, and `ybr` says that the samples are YBR_FULL.
pub fn rgb(data: &DecodedPixelData<'_>, stored: Stored, ybr: bool) -> Vec<u8> {
    let highest = (1u32 << stored.bits.clamp(1, u32::from(data.bits_allocated()))) - 1;
    let eight = |value: &i32| match stored.bits {
        8 => u8::try_from(*value).unwrap_or_default(),
        _ => u8::try_from((value.unsigned_abs() * 255 + highest / 2) / highest).unwrap_or(u8::MAX),
    };
    let samples: Vec<u8> = stored.values.iter().map(eight).collect();
    if ybr { samples.as_chunks().0.iter().flat_map(rgb_of_ybr).collect() } else { samples }
}

/// The inverse of DICOM PS3.3 C.7.6.3.1.2, rounded as pydicom does.
fn rgb_of_ybr([y, b, r]: &[u8; 3]) -> [u8; 3] {
    let (y, b, r) = (f64::from(*y), f64::from(*b) - 128.0, f64::from(*r) - 128.0);
    let green = y - 0.114 * 1.772 / 0.587 * b - 0.299 * 1.402 / 0.587 * r;
    [y + 1.402 * r, green, y + 1.772 * b].map(|value| (value + 0.5).floor().clamp(0.0, 255.0) as u8)
}
