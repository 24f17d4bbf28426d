//! Lookup tables: modality, values of interest, and colour palettes.

use dicom_object::{DefaultDicomObject, InMemDicomObject, Tag};

use super::Result;

const DESCRIPTOR: Tag = Tag(0x0028, 0x3002);
const DATA: Tag = Tag(0x0028, 0x3006);
const PALETTES: [(Tag, Tag); 3] = [
    (Tag(0x0028, 0x1101), Tag(0x0028, 0x1201)),
    (Tag(0x0028, 0x1102), Tag(0x0028, 0x1202)),
    (Tag(0x0028, 0x1103), Tag(0x0028, 0x1203)),
];
const SEGMENTED_RED: Tag = Tag(0x0028, 0x1221);

/// A table over consecutive values; values outside take its first or last entry.
#[derive(Debug)]
pub struct Table {
    first: i64,
    entries: Vec<u16>,
    bits: u32,
}

impl Table {
    /// The table of the first item of a sequence, where there is one.
    pub fn of_sequence(object: &DefaultDicomObject, sequence: Tag) -> Result<Option<Self>> {
        let item = object.get(sequence).and_then(|element| element.items()).and_then(<[_]>::first);
        item.map(|item| Self::of(item, DESCRIPTOR, DATA)).transpose()
    }

    fn of(object: &InMemDicomObject, descriptor: Tag, data: Tag) -> Result<Self> {
        let missing = |tag: Tag| format!("has a lookup table without element {tag}");
        let numbers = object.get(descriptor).ok_or_else(|| missing(descriptor))?.to_multi_int::<i64>();
        let numbers = numbers.map_err(|e| format!("has a lookup table whose description is no number: {e}"))?;
        let [count, first, bits] = numbers[..] else {
            return Err(format!("has a lookup table described by {} numbers instead of 3", numbers.len()));
        };
        let count = if count & 0xffff == 0 { 1 << 16 } else { usize::try_from(count & 0xffff).unwrap_or_default() };
        let bytes = object.get(data).ok_or_else(|| missing(data))?.to_bytes();
        let bytes = bytes.map_err(|e| format!("has a lookup table without values: {e}"))?;
        // Tables of 8 bits come with one or with two entries a word.
        let entries: Vec<u16> = match (bits, bytes.len() >= 2 * count) {
            (_, true) => bytes.as_chunks().0.iter().take(count).map(|pair| u16::from_le_bytes(*pair)).collect(),
            (8, false) => bytes.iter().take(count).map(|byte| u16::from(*byte)).collect(),
            _ => Vec::new(),
        };
        match (u32::try_from(bits), entries.len() == count) {
            (Ok(bits @ 1..=16), true) => Ok(Self { first, entries, bits }),
            _ => Err(format!("has a lookup table of {} bytes for {count} entries of {bits} bits", bytes.len())),
        }
    }

    /// What the table has for a value.
    pub fn entry(&self, value: i64) -> u16 {
        let last = self.entries.len().saturating_sub(1);
        let position = usize::try_from(value - self.first).unwrap_or_default().min(last);
        self.entries.get(position).copied().unwrap_or_default()
    }

    /// The entry, scaled from its bits to 8.
    pub fn grey(&self, value: i64) -> u8 {
        let highest = (1u32 << self.bits) - 1;
        u8::try_from((u32::from(self.entry(value)) * 255 + highest / 2) / highest).unwrap_or(u8::MAX)
    }

    /// The upper 8 bits of the entry.
    fn upper(&self, value: i64) -> u8 {
        let entry = self.entry(value);
        u8::try_from(if self.bits > 8 { entry >> (self.bits - 8) } else { entry }).unwrap_or(u8::MAX)
    }
}

/// RGB of palette positions.
pub fn palette(object: &DefaultDicomObject, positions: &[i32]) -> Result<Vec<u8>> {
    if object.get(SEGMENTED_RED).is_some() && object.get(PALETTES[0].1).is_none() {
        return Err("has a segmented palette, which is not supported".into());
    }
    let [red, green, blue] = PALETTES.map(|(descriptor, data)| Table::of(object, descriptor, data));
    let tables = [red?, green?, blue?];
    Ok(positions.iter().flat_map(|position| tables.each_ref().map(|table| table.upper(i64::from(*position)))).collect())
}
