//! Small versions of images.

use image::{ImageBuffer, Rgb, codecs::jpeg::JpegEncoder, imageops};

const QUALITY: u8 = 85;

/// A JPEG of an RGB8 image whose longer side is at most `max_side` pixels; a smaller image keeps its size.
///
/// `None` when `rgb` does not hold `width` x `height` pixels or a side is zero.
pub fn thumbnail(width: u32, height: u32, rgb: &[u8], max_side: u32) -> Option<Vec<u8>> {
    let longest = width.max(height);
    if width == 0 || height == 0 || max_side == 0 || rgb.len() as u64 != 3 * u64::from(width) * u64::from(height) {
        return None;
    }
    let full = ImageBuffer::<Rgb<u8>, &[u8]>::from_raw(width, height, rgb)?;
    let scale = |side: u32| (u64::from(side) * u64::from(max_side) / u64::from(longest)).max(1) as u32;
    let mut jpeg = Vec::new();
    let encoder = JpegEncoder::new_with_quality(&mut jpeg, QUALITY);
    if longest > max_side {
        imageops::thumbnail(&full, scale(width), scale(height)).write_with_encoder(encoder).ok()?;
    } else {
        full.write_with_encoder(encoder).ok()?;
    }
    Some(jpeg)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longer_side_is_bounded_and_colours_survive() {
        let rgb: Vec<u8> =
            (0..300 * 100).flat_map(|i| if i % 300 < 150 { [200, 30, 30] } else { [20, 20, 220] }).collect();
        let jpeg = thumbnail(300, 100, &rgb, 96).expect("a thumbnail");
        let small = image::load_from_memory(&jpeg).expect("a JPEG").to_rgb8();
        assert_eq!(small.dimensions(), (96, 32));
        for (x, colour) in [(10, [200, 30, 30]), (80, [20, 20, 220])] {
            let near = small.get_pixel(x, 16).0.iter().zip(colour).all(|(a, b): (&u8, u8)| a.abs_diff(b) < 12);
            assert!(near, "{:?}", small.get_pixel(x, 16));
        }
    }

    #[test]
    fn a_small_image_keeps_its_size() {
        let jpeg = thumbnail(7, 5, &[128; 105], 96).expect("a thumbnail");
        assert_eq!(image::load_from_memory(&jpeg).expect("a JPEG").to_rgb8().dimensions(), (7, 5));
    }

    #[test]
    fn a_buffer_of_the_wrong_length_has_no_thumbnail() {
        assert_eq!(thumbnail(7, 5, &[128; 104], 96), None);
        assert_eq!(thumbnail(0, 5, &[], 96), None);
    }
}
