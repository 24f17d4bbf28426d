//! The parts of TIFF that the `image` crate lacks: the number of pages, palettes, and inks by Pillow's formula.

use ::image::DynamicImage;

use super::rgb_of_inks;

const PHOTOMETRIC: usize = 262;
const COLOR_MAP: usize = 320;

/// An image whose channels mean palette entries or inks, with a copy of the file that says grey or RGBA instead.
pub struct Indirect {
    /// The file to decode.
    pub plain: Vec<u8>,
    meaning: Meaning,
}

enum Meaning {
    /// Colours by entry.
    Palette(Vec<[u8; 3]>),
    /// Cyan, magenta, yellow, black.
    Inks,
}

impl Indirect {
    /// Nothing where the first page is grey or RGB, or where the file is damaged.
    pub fn of(bytes: &[u8]) -> Option<Self> {
        let file = Layout::of(bytes)?;
        let directory = file.number(file.first, file.offset)?;
        let photometric = file.entry(directory, PHOTOMETRIC)?;
        let (instead, meaning) = match file.number(photometric, 2)? {
            3 => (1, Meaning::Palette(file.palette(directory)?)),
            5 => (2, Meaning::Inks),
            _ => return None,
        };
        let mut plain = bytes.to_vec();
        let low = photometric + usize::from(!file.little);
        *plain.get_mut(low)? = instead;
        Some(Self { plain, meaning })
    }

    /// RGB of the decoded plain file.
    pub fn rgb(&self, image: DynamicImage) -> Vec<u8> {
        match &self.meaning {
            // Grey of fewer than 8 bits comes stretched to 0..=255.
            Meaning::Palette(colors) => {
                let entry = |grey: &u8| colors.get(usize::from(*grey) * (colors.len() - 1) / 255);
                image.into_luma8().iter().flat_map(|grey| entry(grey).copied().unwrap_or_default()).collect()
            }
            Meaning::Inks => {
                let inks = image.into_rgba8().into_raw();
                inks.chunks_exact(4).flat_map(|inks| rgb_of_inks([0, 1, 2, 3].map(|ink| inks[ink]))).collect()
            }
        }
    }
}

/// Number of pages: the length of the chain of directories; one that loops or leaves the file ends there.
pub fn pages(bytes: &[u8]) -> Option<u64> {
    let file = Layout::of(bytes)?;
    let mut seen = Vec::new();
    let mut next = file.number(file.first, file.offset)?;
    while next != 0 && !seen.contains(&next) {
        let Some(entries) = file.number(next, file.count) else { break };
        seen.push(next);
        let end = entries.checked_mul(file.size)?.checked_add(next)?.checked_add(file.count)?;
        next = file.number(end, file.offset).unwrap_or(0);
    }
    u64::try_from(seen.len()).ok()
}

/// Byte order and widths in bytes, which differ between TIFF and BigTIFF.
struct Layout<'a> {
    bytes: &'a [u8],
    little: bool,
    /// Position of the offset of the first directory.
    first: usize,
    /// Width of a count of entries.
    count: usize,
    /// Width of an entry.
    size: usize,
    /// Width of an offset.
    offset: usize,
}

impl<'a> Layout<'a> {
    fn of(bytes: &'a [u8]) -> Option<Self> {
        let classic = Self { bytes, little: bytes.starts_with(b"II"), first: 4, count: 2, size: 12, offset: 4 };
        match classic.number(2, 2)? {
            43 => Some(Self { first: 8, count: 8, size: 20, offset: 8, ..classic }),
            _ => Some(classic),
        }
    }

    fn number(&self, at: usize, width: usize) -> Option<usize> {
        let field = self.bytes.get(at..at.checked_add(width)?)?;
        let push = |number: u64, byte: &u8| number << 8 | u64::from(*byte);
        let value = if self.little { field.iter().rev().fold(0, push) } else { field.iter().fold(0, push) };
        usize::try_from(value).ok()
    }

    /// Position of the value of a tag.
    fn entry(&self, directory: usize, tag: usize) -> Option<usize> {
        let first = directory.checked_add(self.count)?;
        let entries =
            (0..self.number(directory, self.count)?.min(1 << 16)).map(|i| first.saturating_add(i * self.size));
        let found = entries.into_iter().find(|entry| self.number(*entry, 2) == Some(tag))?;
        Some(found + 4 + self.offset)
    }

    /// The high bytes of the colour map, which holds all reds, then all greens, then all blues.
    fn palette(&self, directory: usize) -> Option<Vec<[u8; 3]>> {
        let value = self.entry(directory, COLOR_MAP)?;
        let length = self.number(value - self.offset, self.offset)?.min(3 << 8) / 3;
        let map = self.number(value, self.offset)?;
        let channel = |index: usize| u8::try_from(self.number(map.checked_add(2 * index)?, 2)? >> 8).ok();
        let color = |entry| Some([channel(entry)?, channel(length + entry)?, channel(2 * length + entry)?]);
        (0..length).map(color).collect::<Option<Vec<_>>>().filter(|colors| !colors.is_empty())
    }
}
