//! How many frames an image file has, without decoding them.

use std::io::Cursor;

use ::image::{AnimationDecoder, ImageFormat, codecs};

/// Number of frames; 1 where the format has no notion of it or the file is too damaged to tell.
pub fn count(bytes: &[u8], format: ImageFormat) -> u64 {
    let frames = match format {
        ImageFormat::Png => png(bytes),
        ImageFormat::Gif => codecs::gif::GifDecoder::new(Cursor::new(bytes)).ok().map(animated),
        ImageFormat::WebP => webp(bytes),
        ImageFormat::Tiff => super::tiff::pages(bytes),
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
