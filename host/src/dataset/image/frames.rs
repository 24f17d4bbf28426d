//! How many frames an image file has, without decoding them.

use std::io::Cursor;

use ::image::{AnimationDecoder, ImageFormat, codecs};

/// Number of frames; 1 where the format has no notion of it or the file is too damaged to tell.
pub fn count(bytes: &[u8], format: ImageFormat) -> u64 {
    let frames = match format {
        ImageFormat::Png => png(bytes),
        ImageFormat::Gif => codecs::gif::GifDecoder::new(Cursor::new(bytes)).ok().map(animated),
        ImageFormat::WebP => webp(bytes),
        ImageFormat::Tiff => tiff(bytes),
        _ => None,
    };
    frames.unwrap_or(1).max(1)
}

fn animated<'a>(decoder: impl AnimationDecoder<'a>) -> u64 {
    decoder.into_frames().map_while(Result::ok).fold(0, |count, _| count + 1)
}

fn webp(bytes: &[u8]) -> Option<u64> {
    let decoder = codecs::webp::WebPDecoder::new(Cursor::new(bytes)).ok()?;
    decoder.has_animation().then(|| animated(decoder))
}

/// The count in the `acTL` chunk, which an animated PNG has before its image data.
fn png(bytes: &[u8]) -> Option<u64> {
    let mut rest = bytes.get(8..)?;
    loop {
        let length = usize::try_from(u32::from_be_bytes(rest.get(..4)?.try_into().ok()?)).ok()?;
        match rest.get(4..8)? {
            b"acTL" => return Some(u32::from_be_bytes(rest.get(8..12)?.try_into().ok()?).into()),
            b"IDAT" => return None,
            _ => rest = rest.get(length.checked_add(12)?..)?,
        }
    }
}

/// The length of the chain of image directories; a chain that loops or leaves the file ends there.
fn tiff(bytes: &[u8]) -> Option<u64> {
    let little = bytes.starts_with(b"II");
    let number = |at: usize, size: usize| {
        let field = bytes.get(at..at.checked_add(size)?)?;
        let fold = |number: u64, byte: &u8| number << 8 | u64::from(*byte);
        let value = if little { field.iter().rev().fold(0, fold) } else { field.iter().fold(0, fold) };
        usize::try_from(value).ok()
    };
    // BigTIFF (version 43) has wider counts, entries and offsets.
    let (count_size, entry, offset, first) = if number(2, 2)? == 43 { (8, 20, 8, 8) } else { (2, 12, 4, 4) };
    let mut seen = Vec::new();
    let mut next = number(first, offset)?;
    while next != 0 && !seen.contains(&next) {
        let Some(entries) = number(next, count_size) else { break };
        seen.push(next);
        let end = entries.checked_mul(entry)?.checked_add(next)?.checked_add(count_size)?;
        next = number(end, offset).unwrap_or(0);
    }
    u64::try_from(seen.len()).ok()
}
