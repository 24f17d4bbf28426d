//! The records of a zip archive (PKWARE APPNOTE 6.3) in the one form that packing writes: version 2.0, or 4.5 where a
//! number does not fit into 32 bits; no flags, stored, 1 January 1980, no attributes, no comments.

/// Signature of a member's header.
pub const LOCAL: &[u8] = b"PK\x03\x04";
const CENTRAL: &[u8] = b"PK\x01\x02";
const END: &[u8] = b"PK\x05\x06";
const END_64: &[u8] = b"PK\x06\x06";
const LOCATOR_64: &[u8] = b"PK\x06\x07";

/// Bytes of a member's header before its name.
const FIXED: usize = 30;
/// Most bytes of a member's header.
pub const LONGEST: u64 = FIXED as u64 + 2 * 0xffff;
/// 1 January 1980, the zero of these archives.
const DATE: u16 = 0x21;
/// Identifier of the extra field with 64-bit numbers.
const WIDE: u16 = 1;

/// What is said of a member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// Its name, as bytes.
    pub name: Vec<u8>,
    /// Bytes of its content.
    pub size: u64,
    /// CRC-32 of its content.
    pub crc: u32,
    /// Where its header begins.
    pub offset: u64,
}

/// A header as it was read.
pub struct Parsed {
    /// What it says.
    pub header: Header,
    /// Its own bytes.
    pub length: u64,
}

impl Header {
    /// The header before the content.
    pub fn local(&self) -> Vec<u8> {
        let wide = self.size >= u64::from(u32::MAX);
        let extra = if wide { extra(&[self.size, self.size]) } else { Vec::new() };
        let mut bytes = LOCAL.to_vec();
        self.common(&mut bytes, version(wide), extra.len());
        bytes.extend(&self.name);
        bytes.extend(extra);
        bytes
    }

    /// The entry in the directory.
    pub fn central(&self) -> Vec<u8> {
        let wide = |number: u64| (number >= u64::from(u32::MAX)).then_some(number);
        let numbers: Vec<u64> = [wide(self.size), wide(self.size), wide(self.offset)].into_iter().flatten().collect();
        let extra = if numbers.is_empty() { Vec::new() } else { extra(&numbers) };
        let version = version(!numbers.is_empty());
        let mut bytes = CENTRAL.to_vec();
        bytes.extend(version.to_le_bytes());
        self.common(&mut bytes, version, extra.len());
        // Length of the comment, number of the disk, attributes.
        bytes.extend([0; 2 + 2 + 2 + 4]);
        bytes.extend(narrow(self.offset).to_le_bytes());
        bytes.extend(&self.name);
        bytes.extend(extra);
        bytes
    }

    /// What both headers have: version, flags, method, time, date, checksum, sizes, lengths of name and extra field.
    fn common(&self, bytes: &mut Vec<u8>, version: u16, extra: usize) {
        for number in [version, 0, 0, 0, DATE] {
            bytes.extend(number.to_le_bytes());
        }
        for number in [self.crc, narrow(self.size), narrow(self.size)] {
            bytes.extend(number.to_le_bytes());
        }
        bytes.extend((self.name.len() as u16).to_le_bytes());
        bytes.extend((extra as u16).to_le_bytes());
    }
}

/// Reads the header that these bytes begin with, which lies at `offset` of the archive.
pub fn parse(bytes: &[u8], offset: u64) -> Result<Parsed, String> {
    let short = || "a member's header is cut off".to_string();
    let fixed = bytes.get(..FIXED).ok_or_else(short)?;
    let half = |at: usize| u16::from_le_bytes([fixed[at], fixed[at + 1]]);
    let word = |at: usize| u32::from_le_bytes([fixed[at], fixed[at + 1], fixed[at + 2], fixed[at + 3]]);
    let (name, extra) = (usize::from(half(26)), usize::from(half(28)));
    let text = bytes.get(FIXED..FIXED + name).ok_or_else(short)?;
    let extra = bytes.get(FIXED + name..FIXED + name + extra).ok_or_else(short)?;
    if half(8) != 0 {
        return Err("a member is compressed, where packing stores".into());
    }
    if half(6) & 0b1001 != 0 {
        return Err("a member is encrypted, or does not say its size beforehand".into());
    }
    let size = match word(22) {
        u32::MAX => match extra.get(4..12).and_then(|bytes| bytes.try_into().ok()) {
            Some(bytes) => u64::from_le_bytes(bytes),
            None => return Err("a member does not say its size".into()),
        },
        size => u64::from(size),
    };
    let header = Header { name: text.to_vec(), size, crc: word(14), offset };
    // Sizes near the top would overflow in every sum.
    if size > 1 << 60 {
        return Err("a member says that it has more bytes than there are".into());
    }
    Ok(Parsed { header, length: (FIXED + name + extra.len()) as u64 })
}

/// Whether these bytes are the signature of a directory, or of its end.
pub fn begins_directory(bytes: &[u8]) -> bool {
    bytes == CENTRAL || bytes == END || bytes == END_64
}

/// What closes the archive.
pub fn end(members: u64, offset: u64, length: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    let many = members >= u64::from(u16::MAX);
    if many || [offset, length].iter().any(|number| *number >= u64::from(u32::MAX)) {
        bytes.extend(END_64);
        bytes.extend(44u64.to_le_bytes());
        bytes.extend([version(true), version(true)].iter().flat_map(|v| v.to_le_bytes()));
        bytes.extend([0; 8]);
        bytes.extend([members, members, length, offset].iter().flat_map(|n| n.to_le_bytes()));
        bytes.extend(LOCATOR_64);
        bytes.extend([0; 4]);
        bytes.extend((offset + length).to_le_bytes());
        bytes.extend(1u32.to_le_bytes());
    }
    let count = u16::try_from(members).unwrap_or(u16::MAX);
    bytes.extend(END);
    bytes.extend([0; 4]);
    bytes.extend([count, count].iter().flat_map(|n| n.to_le_bytes()));
    bytes.extend([narrow(length), narrow(offset)].iter().flat_map(|n| n.to_le_bytes()));
    bytes.extend([0; 2]);
    bytes
}

fn extra(numbers: &[u64]) -> Vec<u8> {
    let mut bytes = [WIDE, 8 * numbers.len() as u16].map(u16::to_le_bytes).concat();
    bytes.extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
    bytes
}

fn version(wide: bool) -> u16 {
    if wide { 45 } else { 20 }
}

fn narrow(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_read_back_and_say_large_sizes() {
        for size in [0, 7, u64::from(u32::MAX) - 1, u64::from(u32::MAX), 1 << 40] {
            let header = Header { name: b"cells/a/evidence.f32".to_vec(), size, crc: 9, offset: 1 << 33 };
            let local = header.local();
            let parsed = parse(&local, 1 << 33).expect("valid");
            assert_eq!((parsed.header, parsed.length), (header, local.len() as u64));
        }
    }

    #[test]
    fn what_is_compressed_encrypted_or_cut_off_is_refused() {
        let header = Header { name: b"run.json".to_vec(), size: 3, crc: 9, offset: 0 }.local();
        let changed = |at: usize, byte: u8| {
            let mut bytes = header.clone();
            bytes[at] = byte;
            parse(&bytes, 0).err().unwrap_or_default()
        };
        assert!(changed(8, 8).contains("compressed") && changed(6, 1).contains("encrypted"));
        assert!((0..header.len()).all(|cut| parse(&header[..cut], 0).is_err()));
    }
}
