//! Decoding to 8-bit RGB, byte for byte what Pillow's `Image.open(f).convert("RGB")` gives.
//!
//! The format follows from the content, never from the name. Alpha is dropped, not blended, and an EXIF orientation
//! is left alone, both as in Pillow. Known to differ from it: JPEG inside TIFF (another inverse transform, hence other
//! rounding), a GIF frame smaller than its canvas (another background), and damaged JPEG data that both still decode.

use std::io::Cursor;

use ::image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader, Limits};

use super::DicomRule;
use crate::error::{Error, Result};

mod dicom;
mod fence;
mod frames;
mod jpeg;
mod perceptual;
mod tiff;

pub use perceptual::{Look, Looks, MAX_SIGNS, Signs};

/// An image is refused above this many pixels: twice Pillow's `MAX_IMAGE_PIXELS`, where Pillow refuses too.
const MAX_PIXELS: u64 = 178_956_970;

const FORMATS: [ImageFormat; 6] =
    [ImageFormat::Jpeg, ImageFormat::Png, ImageFormat::Bmp, ImageFormat::Gif, ImageFormat::Tiff, ImageFormat::WebP];

/// Decoded pixels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pixels {
    /// Width in pixels, at least 1.
    pub width: u32,
    /// Height in pixels, at least 1.
    pub height: u32,
    /// Rows from the top, each of `width` RGB triples.
    pub rgb: Vec<u8>,
}

/// Decodes JPEG, PNG, BMP, GIF, TIFF, WebP or DICOM; `name` (a path) serves the error messages.
///
/// # Errors
/// The bytes are empty, of another format, truncated or damaged; the image has more than 8 bits a channel (it must be
/// windowed to 8 bits first), more than one frame, or more pixels than Pillow accepts.
pub fn decode_image(bytes: &[u8], name: &str) -> Result<Pixels> {
    decode_with(bytes, name, &DicomRule::default())
}

/// As [`decode_image`], with a rule for DICOM files.
pub fn decode_with(bytes: &[u8], name: &str, rule: &DicomRule) -> Result<Pixels> {
    let decoded = if dicom::recognises(bytes) { dicom::decode(bytes, rule) } else { decode(bytes) };
    decoded.map_err(|message| Error::invalid(name, message))
}

fn decode(bytes: &[u8]) -> std::result::Result<Pixels, String> {
    if bytes.is_empty() {
        return Err("the image file is empty".into());
    }
    let format = ::image::guess_format(bytes).ok().filter(|format| FORMATS.contains(format));
    let format = format.ok_or("no image that can be read: expected JPEG, PNG, BMP, GIF, TIFF, WebP or DICOM")?;
    if format == ImageFormat::Jpeg {
        return jpeg::decode(bytes);
    }
    let indirect = if format == ImageFormat::Tiff { tiff::Indirect::of(bytes) } else { None };
    let plain = indirect.as_ref().map_or(bytes, |indirect| &indirect.plain);
    let mut reader = ImageReader::with_format(Cursor::new(plain), format);
    reader.limits(Limits::no_limits());
    let decoder = reader.into_decoder().map_err(|e| damaged(format, bytes, &e.to_string()))?;
    let (width, height) = decoder.dimensions();
    check_size(width, height)?;
    let stored = decoder.original_color_type();
    check_depth(stored.bits_per_pixel() / u16::from(stored.channel_count()).max(1))?;
    let frames = frames::count(bytes, format);
    if frames > 1 {
        return Err(format!("has {frames} frames; extract the one to be judged"));
    }
    let image = DynamicImage::from_decoder(decoder).map_err(|e| damaged(format, bytes, &e.to_string()))?;
    let rgb = match indirect {
        Some(indirect) => indirect.rgb(image),
        None => image.into_rgb8().into_raw(),
    };
    Ok(Pixels { width, height, rgb })
}

/// Refuses images without pixels or with too many.
fn check_size(width: u32, height: u32) -> std::result::Result<(), String> {
    match u64::from(width) * u64::from(height) {
        0 => Err(format!("has {width} x {height} pixels")),
        1..=MAX_PIXELS => Ok(()),
        pixels => Err(format!("has {width} x {height} = {pixels} pixels, more than {MAX_PIXELS}")),
    }
}

/// Refuses more than 8 bits a channel: how to map them to 8 is a clinical choice.
fn check_depth(bits: u16) -> std::result::Result<(), String> {
    match bits {
        0..=8 => Ok(()),
        bits => Err(format!("has {bits} bits a channel; window it to 8 bits first")),
    }
}

/// Pillow's `cmyk2rgb`.
fn rgb_of_inks(inks: [u8; 4]) -> [u8; 3] {
    let light = 255 - u32::from(inks[3]);
    [0, 1, 2].map(|ink| {
        let product = u32::from(inks[ink]) * light + 128;
        u8::try_from(light.saturating_sub((product + (product >> 8)) >> 8)).unwrap_or(u8::MAX)
    })
}

fn damaged(format: ImageFormat, bytes: &[u8], cause: &str) -> String {
    let cause = cause.trim().trim_end_matches('.');
    format!("truncated or damaged {format:?} image of {} bytes: {cause}", bytes.len())
}

#[cfg(test)]
mod tests;
