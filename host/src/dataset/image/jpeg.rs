//! JPEG through mozjpeg, whose decoder is libjpeg-turbo's, which Pillow uses.

use std::{
    cell::Cell,
    io::{self, BufRead, Read},
    panic::{AssertUnwindSafe, catch_unwind},
};

use mozjpeg::{ColorSpace, Decompress};

use super::{Pixels, check_size, damaged, rgb_of_inks};

/// Decodes a JPEG of 8 bits, of any colour space, to RGB.
pub fn decode(bytes: &[u8]) -> Result<Pixels, String> {
    let source = Source { bytes, ended: &Cell::new(false) };
    let ended = source.ended;
    // The library reports an error in the file by unwinding from a C callback.
    let decoded = catch_unwind(AssertUnwindSafe(|| decompress(source)));
    let failed = |cause: &str| damaged(::image::ImageFormat::Jpeg, bytes, cause);
    match decoded {
        _ if ended.get() => Err(failed("the file ends before the image does")),
        Ok(Ok(pixels)) => Ok(pixels),
        Ok(Err(cause)) => Err(cause),
        Err(panic) => {
            let cause = panic.downcast_ref::<String>().map_or("the decoder gave up", String::as_str);
            Err(failed(cause.trim_start_matches("libjpeg fatal error: ")))
        }
    }
}

fn decompress(source: Source) -> Result<Pixels, String> {
    let broken = |e: io::Error| damaged(::image::ImageFormat::Jpeg, source.bytes, &e.to_string());
    let header = Decompress::new_reader(Source { ..source }).map_err(broken)?;
    let (width, height) = (u32::try_from(header.width()), u32::try_from(header.height()));
    let (Ok(width), Ok(height)) = (width, height) else { return Err("has no size".into()) };
    check_size(width, height)?;
    let inks = matches!(header.color_space(), ColorSpace::JCS_CMYK | ColorSpace::JCS_YCCK);
    let space = if inks { ColorSpace::JCS_CMYK } else { ColorSpace::JCS_RGB };
    let mut started = header.to_colorspace(space).map_err(broken)?;
    let pixels = started.read_scanlines::<u8>().map_err(broken)?;
    started.finish().map_err(broken)?;
    // Pillow takes the inks as inverted, as Adobe writes them.
    let rgb_of_inverted = |inks: &[u8]| rgb_of_inks([0, 1, 2, 3].map(|ink| 255 - inks[ink]));
    let rgb = if inks { pixels.chunks_exact(4).flat_map(rgb_of_inverted).collect() } else { pixels };
    Ok(Pixels { width, height, rgb })
}

/// A reader that remembers whether the decoder asked for more than there is, since libjpeg then makes up the end.
struct Source<'a> {
    bytes: &'a [u8],
    ended: &'a Cell<bool>,
}

impl Read for Source<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.bytes.read(buffer)
    }
}

impl BufRead for Source<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.ended.set(self.ended.get() || self.bytes.is_empty());
        Ok(self.bytes)
    }

    fn consume(&mut self, amount: usize) {
        self.bytes.consume(amount);
    }
}
