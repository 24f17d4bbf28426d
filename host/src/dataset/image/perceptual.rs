//! How an image looks, in a few numbers that survive re-compression, resizing and cropping to a centred square.
//!
//! Two measures have to agree before two images count as one. The signs of the 255 lowest frequencies of the luma tell
//! one chest film from another, where 64 bits do not: among 12.6 million pairs of films, none that differ come closer
//! than 48 bits, while copies at 28 pixels stay within 34. Where the frame dominates an image, as in fundus photographs,
//! they tell less, and the contrast-normalised thumbnail tells the rest. An image turned, mirrored or cropped elsewhere is
//! not recognised.

use std::f64::consts::PI;

use super::Pixels;

/// Signs may differ in this many of 255 places.
pub const MAX_SIGNS: u32 = 40;
/// Thumbnails, of which the contrast is 1, may differ by this root mean square.
const MAX_DIFFERENCE: f64 = 0.055;
/// An image of less contrast, in grey levels, has no looks: compression alone would decide what it is like.
const MIN_CONTRAST: f64 = 2.0;

/// Edge of the luma that is transformed.
const EDGE: usize = 32;
/// Frequencies along each axis whose signs are kept.
const FREQUENCIES: usize = 16;
/// Edge of the thumbnail.
const THUMBNAIL: usize = 8;
/// Units of one standard deviation in a stored thumbnail.
const UNITS: f64 = 4096.0;

/// The looks of one picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Look {
    /// One bit a frequency. Each 16 bits hold frequencies of every height, so that any of them is telling.
    pub signs: [u64; 4],
    thumbnail: [i16; THUMBNAIL * THUMBNAIL],
}

/// The looks of an image: squashed as a whole, and of its centred square, for some datasets publish one of these.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Looks {
    /// Of the whole image; none of an image without contrast.
    pub whole: Option<Look>,
    /// Of its centred square.
    pub centre: Option<Look>,
}

impl Looks {
    /// The looks of decoded pixels.
    pub fn of(pixels: &Pixels) -> Self {
        let (width, height) = (pixels.width as usize, pixels.height as usize);
        let edge = width.min(height);
        let (left, top) = ((width - edge) / 2, (height - edge) / 2);
        let whole = Look::of(&shrink(pixels, (0, width), (0, height)));
        let square = width == height;
        let centre = if square { whole } else { Look::of(&shrink(pixels, (left, edge), (top, edge))) };
        Self { whole, centre }
    }
}

impl Look {
    /// Bytes of a stored look.
    pub const BYTES: usize = 4 * 8 + 2 * THUMBNAIL * THUMBNAIL;

    /// Number of frequencies whose sign differs, of 255.
    pub fn distance(&self, other: &Self) -> u32 {
        self.signs.iter().zip(other.signs).map(|(a, b)| (a ^ b).count_ones()).sum()
    }

    /// Whether two looks are those of one picture.
    pub fn is_like(&self, other: &Self) -> bool {
        self.distance(other) <= MAX_SIGNS && self.difference(other) <= MAX_DIFFERENCE
    }

    /// The look as bytes.
    pub fn to_bytes(self) -> Vec<u8> {
        let signs = self.signs.iter().flat_map(|word| word.to_le_bytes());
        signs.chain(self.thumbnail.iter().flat_map(|cell| cell.to_le_bytes())).collect()
    }

    /// The look that [`Look::to_bytes`] made these bytes of; none for another number of them.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (signs, cells) = bytes.split_at_checked(4 * 8)?;
        let mut look = Self { signs: [0; 4], thumbnail: [0; THUMBNAIL * THUMBNAIL] };
        let (signs, cells) = (signs.as_chunks::<8>().0, cells.as_chunks::<2>());
        if cells.0.len() != look.thumbnail.len() || !cells.1.is_empty() {
            return None;
        }
        look.signs.iter_mut().zip(signs).for_each(|(word, bytes)| *word = u64::from_le_bytes(*bytes));
        look.thumbnail.iter_mut().zip(cells.0).for_each(|(cell, bytes)| *cell = i16::from_le_bytes(*bytes));
        Some(look)
    }

    fn difference(&self, other: &Self) -> f64 {
        let squares = self.thumbnail.iter().zip(&other.thumbnail).map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2));
        (squares.sum::<f64>() / self.thumbnail.len() as f64).sqrt() / UNITS
    }

    fn of(luma: &[f64]) -> Option<Self> {
        Some(Self { thumbnail: thumbnail(luma)?, signs: signs(luma) })
    }
}

/// Luma of a part of an image, `(first, length)` along each axis, averaged over `EDGE` x `EDGE` areas.
fn shrink(pixels: &Pixels, columns: (usize, usize), rows: (usize, usize)) -> Vec<f64> {
    let across = areas(columns.1);
    let mut down = vec![Vec::new(); rows.1];
    for (row, area) in areas(rows.1).iter().enumerate() {
        area.iter().for_each(|(y, share)| down[*y].push((row, *share)));
    }
    let stride = pixels.width as usize;
    let mut luma = vec![0.0; EDGE * EDGE];
    let mut line = vec![0.0; columns.1];
    let mut means = [0.0; EDGE];
    for (y, shares) in down.iter().enumerate() {
        let start = 3 * ((rows.0 + y) * stride + columns.0);
        for (grey, rgb) in line.iter_mut().zip(pixels.rgb[start..].as_chunks::<3>().0) {
            *grey = luma_of(*rgb);
        }
        for (mean, area) in means.iter_mut().zip(&across) {
            *mean = area.iter().map(|(x, share)| line[*x] * share).sum();
        }
        for (row, share) in shares {
            luma[row * EDGE..][..EDGE].iter_mut().zip(&means).for_each(|(cell, mean)| *cell += mean * share);
        }
    }
    luma
}

/// As in Pillow's `convert("L")`.
fn luma_of([red, green, blue]: [u8; 3]) -> f64 {
    let weighted = u32::from(red) * 19595 + u32::from(green) * 38470 + u32::from(blue) * 7471 + 0x8000;
    f64::from(weighted >> 16)
}

/// The places of a stretch that each of `EDGE` equal areas covers, with their shares of it.
fn areas(length: usize) -> Vec<Vec<(usize, f64)>> {
    let size = length as f64 / EDGE as f64;
    let area = |i: usize| {
        let (start, end) = (i as f64 * size, (i + 1) as f64 * size);
        let places = start as usize..(end.ceil() as usize).min(length);
        let overlap = |x: usize| (end.min(x as f64 + 1.0) - start.max(x as f64)).max(0.0) / size;
        places.map(|x| (x, overlap(x))).collect()
    };
    (0..EDGE).map(area).collect()
}

/// A small image with mean 0 and standard deviation 1; none without contrast.
fn thumbnail(luma: &[f64]) -> Option<[i16; THUMBNAIL * THUMBNAIL]> {
    const SCALE: usize = EDGE / THUMBNAIL;
    let mut cells = [0.0; THUMBNAIL * THUMBNAIL];
    for (place, grey) in luma.iter().enumerate() {
        cells[place / EDGE / SCALE * THUMBNAIL + place % EDGE / SCALE] += grey / (SCALE * SCALE) as f64;
    }
    let mean = cells.iter().sum::<f64>() / cells.len() as f64;
    let contrast = (cells.iter().map(|cell| (cell - mean).powi(2)).sum::<f64>() / cells.len() as f64).sqrt();
    (contrast >= MIN_CONTRAST).then(|| cells.map(|cell| ((cell - mean) / contrast * UNITS).round() as i16))
}

/// Signs of the lowest frequencies of the discrete cosine transform, without the mean.
fn signs(luma: &[f64]) -> [u64; 4] {
    let wave = |u: usize, x: usize| (PI * (2 * x + 1) as f64 * u as f64 / (2 * EDGE) as f64).cos();
    let basis: Vec<[f64; EDGE]> = (0..FREQUENCIES).map(|u| std::array::from_fn(|x| wave(u, x))).collect();
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let mut signs = [0; 4];
    for (v, across) in basis.iter().enumerate() {
        let column: Vec<f64> = luma.chunks(EDGE).map(|row| dot(row, across)).collect();
        for (u, down) in basis.iter().enumerate() {
            let bit = (u + v) % FREQUENCIES * FREQUENCIES + u;
            if u + v > 0 && dot(&column, down) > 0.0 {
                signs[bit / 64] |= 1 << (bit % 64);
            }
        }
    }
    signs
}

#[cfg(test)]
mod tests {
    use ::image::{DynamicImage, ImageFormat, RgbImage, imageops::FilterType};

    use super::*;
    use crate::dataset::decode_image;

    fn pixels(image: &RgbImage) -> Pixels {
        Pixels { width: image.width(), height: image.height(), rgb: image.as_raw().clone() }
    }

    /// A picture of waves of all directions and lengths, weaker where shorter as in photographs; another one for each seed.
    fn picture(width: u32, height: u32, seed: u32) -> RgbImage {
        let random = |n: u32| {
            let mixed = (seed * 1009 + n + 1).wrapping_mul(0x9e37_79b9);
            let mixed = (mixed ^ mixed >> 15).wrapping_mul(0x85eb_ca6b);
            f64::from((mixed ^ mixed >> 13) % 1000) / 1000.0
        };
        let wave = |n: u32| {
            (random(3 * n) * 24.0 - 12.0, random(3 * n + 1) * 24.0 - 12.0, random(3 * n + 2) * std::f64::consts::TAU)
        };
        let waves: Vec<(f64, f64, f64)> = (0..60).map(wave).collect();
        RgbImage::from_fn(width, height, |x, y| {
            let (x, y) = (f64::from(x) / f64::from(width), f64::from(y) / f64::from(height));
            let level = |(u, v, phase): &(f64, f64, f64)| {
                (std::f64::consts::TAU * (u * x + v * y) + phase).cos() / (1.0 + u.hypot(*v))
            };
            let grey = (110.0 + 60.0 * waves.iter().map(level).sum::<f64>()).clamp(0.0, 255.0) as u8;
            ::image::Rgb([grey, grey.saturating_add(9), grey / 2])
        })
    }

    fn like(a: &Looks, b: &Looks) -> bool {
        let pair = |a: Option<Look>, b: Option<Look>| a.zip(b).is_some_and(|(a, b)| a.is_like(&b));
        pair(a.whole, b.whole) || pair(a.centre, b.centre)
    }

    #[test]
    fn copies_are_recognised_whatever_was_done_to_them() {
        for seed in 0..20 {
            let original = picture(300, 200, seed);
            let looks = Looks::of(&pixels(&original));
            let small = ::image::imageops::resize(&original, 28, 28, FilterType::CatmullRom);
            let half = ::image::imageops::resize(&original, 150, 100, FilterType::Lanczos3);
            let square = ::image::imageops::crop_imm(&original, 50, 0, 200, 200).to_image();
            let mut jpeg = std::io::Cursor::new(Vec::new());
            DynamicImage::from(original.clone()).write_to(&mut jpeg, ImageFormat::Jpeg).expect("encoded");
            let jpeg = decode_image(&jpeg.into_inner(), "copy.jpeg").expect("decoded");
            for (how, copy) in
                [("small", pixels(&small)), ("half", pixels(&half)), ("square", pixels(&square)), ("jpeg", jpeg)]
            {
                assert!(like(&looks, &Looks::of(&copy)), "{how} copy of {seed}");
            }
        }
    }

    #[test]
    fn other_pictures_are_not() {
        let looks: Vec<Looks> = (0..40).map(|seed| Looks::of(&pixels(&picture(120, 90, seed)))).collect();
        for (i, a) in looks.iter().enumerate() {
            assert!(looks[i + 1..].iter().all(|b| !like(a, b)), "{i}");
        }
    }

    #[test]
    fn an_image_without_contrast_looks_like_nothing() {
        let blank = RgbImage::from_fn(64, 64, |x, _| ::image::Rgb([10 + (x % 2) as u8; 3]));
        assert_eq!(Looks::of(&pixels(&blank)), Looks::default());
    }

    #[test]
    fn a_look_is_read_as_it_was_written() {
        let look = Looks::of(&pixels(&picture(50, 40, 1))).whole.expect("contrast");
        let bytes = look.to_bytes();
        assert_eq!((bytes.len(), Look::from_bytes(&bytes)), (Look::BYTES, Some(look)));
        assert_eq!(Look::from_bytes(&bytes[1..]), None);
    }
}
