//! The table that replaces characters before a text is cut: a double-array trie of byte strings (Darts) that points
//! into a list of replacements.

/// `precompiled_charsmap` of a SentencePiece model.
pub struct Charsmap {
    trie: Vec<u32>,
    /// Replacements, each followed by a zero.
    replacements: String,
}

impl Charsmap {
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        let wrong = || "its table of characters is corrupt".to_string();
        let (length, rest) = bytes.split_first_chunk().ok_or_else(wrong)?;
        let (trie, replacements) = rest.split_at_checked(u32::from_le_bytes(*length) as usize).ok_or_else(wrong)?;
        Ok(Self {
            trie: trie.chunks_exact(4).map(|unit| u32::from_le_bytes([unit[0], unit[1], unit[2], unit[3]])).collect(),
            replacements: String::from_utf8(replacements.to_vec()).map_err(|_| wrong())?,
        })
    }

    /// The replacement of the longest prefix of `text` that has one, and the length of that prefix in bytes.
    pub fn longest_prefix(&self, text: &str) -> Option<(&str, usize)> {
        let mut unit = *self.trie.first()?;
        let mut node = offset(unit);
        let mut found = None;
        for (index, &byte) in text.as_bytes().iter().enumerate() {
            node ^= usize::from(byte);
            unit = match self.trie.get(node) {
                Some(&unit) if unit & (1 << 31 | 0xff) == u32::from(byte) => unit,
                _ => break,
            };
            node ^= offset(unit);
            // A unit with a leaf keeps its value in the first of its children.
            if unit >> 8 & 1 == 1 {
                found = Some((*self.trie.get(node)? & !(1 << 31), index + 1));
            }
        }
        let (start, length) = found?;
        let replacement = self.replacements.get(start as usize..)?.split('\0').next()?;
        text.is_char_boundary(length).then_some((replacement, length))
    }
}

fn offset(unit: u32) -> usize {
    ((unit >> 10) << ((unit & 1 << 9) >> 6)) as usize
}
