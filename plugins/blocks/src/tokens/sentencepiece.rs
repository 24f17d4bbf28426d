//! A SentencePiece unigram model (Kudo 2018) read from its own file; reference `sentencepiece` 0.2.

mod charsmap;
mod model_file;
mod proto;

use std::{collections::HashMap, path::Path};

use crate::{Error, Result};
use charsmap::Charsmap;
pub use model_file::{Algorithm, ModelFile, Piece, kind};

/// Stands for a space inside pieces.
pub const SPACE: char = '\u{2581}';
/// An unknown character costs so much more than the rarest piece.
const UNKNOWN_PENALTY: f32 = 10.0;

/// Normalises a text and cuts it into the pieces of highest probability. No piece is put in front of the text.
pub struct SentencePiece {
    /// Pieces that a text may be cut into: id and score.
    pieces: HashMap<String, (u32, f64)>,
    /// Pieces of control, such as the end of a text.
    reserved: HashMap<String, u32>,
    /// Ids of the 256 bytes, where unknown characters are spelled in bytes.
    bytes: Option<Vec<u32>>,
    /// Length of the longest piece, in bytes.
    longest: usize,
    unknown: u32,
    unknown_score: f32,
    size: usize,
    charsmap: Option<Charsmap>,
    squeeze: bool,
}

/// Where the best way to one place of the text comes from.
#[derive(Clone, Copy)]
struct Step {
    score: f32,
    start: usize,
    id: u32,
}

impl SentencePiece {
    /// Reads a file such as `spiece.model`.
    ///
    /// # Errors
    /// The file is missing, truncated, or not a unigram model.
    pub fn from_file(path: &Path) -> Result<Self> {
        let ModelFile { pieces, algorithm, byte_fallback, charsmap, squeeze, escape, .. } = ModelFile::read(path)?;
        let wrong = |reason| Error::invalid(path, format!("not a SentencePiece model: {reason}"));
        match (algorithm, escape) {
            (Algorithm::Unigram, true) => Self::build(pieces, byte_fallback, charsmap, squeeze).map_err(wrong),
            (Algorithm::Unigram, false) => Err(wrong("it keeps spaces as they are, which is not supported".into())),
            (other, _) => Err(wrong(format!("its pieces are {other}, expected unigrams"))),
        }
    }

    /// Ids of the pieces of a text.
    pub fn encode(&self, text: &str) -> Vec<u32> {
        let text = self.normalize(text);
        let mut ids = Vec::new();
        let mut follows_unknown = false;
        for (start, end, id) in self.best_path(&text) {
            let unknown = id == self.unknown;
            match &self.bytes {
                Some(bytes) if unknown => ids.extend(text[start..end].bytes().map(|byte| bytes[usize::from(byte)])),
                // A run of unknown characters is one token.
                _ if unknown && follows_unknown => {}
                _ => ids.push(id),
            }
            follows_unknown = unknown;
        }
        ids
    }

    /// Id of a piece.
    pub fn id(&self, piece: &str) -> Option<u32> {
        self.pieces.get(piece).map(|(id, _)| *id).or_else(|| self.reserved.get(piece).copied())
    }

    /// Number of pieces.
    pub fn size(&self) -> usize {
        self.size
    }

    fn build(
        list: Vec<Piece>,
        byte_fallback: bool,
        charsmap: Option<Charsmap>,
        squeeze: bool,
    ) -> std::result::Result<Self, String> {
        let normal = || list.iter().filter(|piece| piece.kind == kind::NORMAL).map(|piece| piece.score);
        let (lowest, highest) = (normal().fold(f32::MAX, f32::min), normal().fold(f32::MIN, f32::max));
        let (mut pieces, mut reserved, mut unknown) = (HashMap::new(), HashMap::new(), None);
        for (id, piece) in list.iter().enumerate() {
            let id = id as u32;
            let score = match piece.kind {
                kind::NORMAL => f64::from(piece.score),
                kind::USER_DEFINED => f64::from(piece.text.len() as f32 * highest) - 0.1,
                other => {
                    if other == kind::UNKNOWN {
                        unknown = Some(id);
                    }
                    if other != kind::UNUSED {
                        reserved.insert(piece.text.clone(), id);
                    }
                    continue;
                }
            };
            pieces.insert(piece.text.clone(), (id, score));
        }
        let bytes = (0..256).map(|byte| {
            let name = format!("<0x{byte:02X}>");
            reserved.get(&name).copied().ok_or_else(|| format!("it spells bytes, but piece `{name}` is missing"))
        });
        Ok(Self {
            bytes: byte_fallback.then(|| bytes.collect::<std::result::Result<_, _>>()).transpose()?,
            longest: pieces.keys().map(String::len).max().ok_or("it has no pieces")?,
            unknown: unknown.ok_or("no piece stands for unknown characters")?,
            unknown_score: lowest - UNKNOWN_PENALTY,
            size: list.len(),
            pieces,
            reserved,
            charsmap,
            squeeze,
        })
    }

    /// Replaces characters by the table of the file, squeezes spaces and marks them.
    fn normalize(&self, text: &str) -> String {
        let (mut out, mut rest) = (String::with_capacity(text.len() + 8), text);
        let mut after_space = self.squeeze;
        while let Some(first) = rest.chars().next() {
            let mapped = self.charsmap.as_ref().and_then(|map| map.longest_prefix(rest));
            let (replacement, length) = mapped.unwrap_or((&rest[..first.len_utf8()], first.len_utf8()));
            let kept = if after_space { replacement.trim_start_matches(' ') } else { replacement };
            if !kept.is_empty() {
                out.extend(kept.chars().map(|c| if c == ' ' { SPACE } else { c }));
                after_space = self.squeeze && kept.ends_with(' ');
            }
            rest = &rest[length..];
        }
        if self.squeeze {
            out.truncate(out.trim_end_matches(SPACE).len());
        }
        out
    }

    /// Start, end and id of each piece on the way of the highest score. Sums are rounded as in the reference.
    fn best_path(&self, text: &str) -> Vec<(usize, usize, u32)> {
        let mut best: Vec<Option<Step>> = vec![None; text.len() + 1];
        best[0] = Some(Step { score: 0.0, start: 0, id: 0 });
        for (start, first) in text.char_indices() {
            let Some(Step { score: here, .. }) = best[start] else { continue };
            let single = start + first.len_utf8();
            let mut known = false;
            let ends = text[start..].char_indices().map(|(at, c)| start + at + c.len_utf8());
            for end in ends.take_while(|end| end - start <= self.longest) {
                let Some(&(id, score)) = self.pieces.get(&text[start..end]) else { continue };
                known |= end == single;
                improve(&mut best[end], score + f64::from(here), start, id);
            }
            if !known {
                improve(&mut best[single], f64::from(self.unknown_score + here), start, self.unknown);
            }
        }
        let (mut path, mut end) = (Vec::new(), text.len());
        while let (true, Some(step)) = (end > 0, best[end]) {
            path.push((step.start, end, step.id));
            end = step.start;
        }
        path.reverse();
        path
    }
}

fn improve(best: &mut Option<Step>, score: f64, start: usize, id: u32) {
    if best.is_none_or(|step| score > f64::from(step.score)) {
        *best = Some(Step { score: score as f32, start, id });
    }
}
