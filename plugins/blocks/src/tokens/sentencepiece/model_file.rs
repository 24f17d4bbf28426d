//! The file of a SentencePiece model (`sentencepiece_model.proto`).

use std::{fmt, path::Path};

use super::{
    charsmap::Charsmap,
    proto::{Field, Value, fields},
};
use crate::{Error, Result};

/// Kinds of pieces, as the file numbers them.
pub mod kind {
    pub const NORMAL: u64 = 1;
    pub const UNKNOWN: u64 = 2;
    pub const CONTROL: u64 = 3;
    pub const USER_DEFINED: u64 = 4;
    pub const UNUSED: u64 = 5;
}

/// What the file holds, as far as it matters here.
pub struct ModelFile {
    pub pieces: Vec<Piece>,
    pub algorithm: Algorithm,
    pub byte_fallback: bool,
    /// Stands for unknown characters.
    pub unknown: String,
    pub charsmap: Option<Charsmap>,
    pub squeeze: bool,
    /// Whether spaces are marked inside of pieces.
    pub escape: bool,
}

pub struct Piece {
    pub text: String,
    pub score: f32,
    pub kind: u64,
}

/// How texts are cut into pieces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    Unigram,
    BytePairs,
    /// Words or characters.
    Other(u64),
}

impl ModelFile {
    /// Reads a file such as `spiece.model`.
    pub fn read(path: &Path) -> Result<Self> {
        let bytes = std::fs::read(path).map_err(|source| Error::Read { path: path.to_path_buf(), source })?;
        Self::parse(&bytes).map_err(|reason| Error::invalid(path, format!("not a SentencePiece model: {reason}")))
    }

    fn parse(bytes: &[u8]) -> std::result::Result<Self, String> {
        let mut file = Self {
            pieces: Vec::new(),
            algorithm: Algorithm::Unigram,
            byte_fallback: false,
            unknown: "<unk>".into(),
            charsmap: None,
            squeeze: true,
            escape: true,
        };
        for field in fields(bytes) {
            match field? {
                Field { number: 1, value: Value::Bytes(piece) } => file.pieces.push(Piece::parse(piece)?),
                Field { number: 2, value: Value::Bytes(trainer) } => file.parse_trainer(trainer)?,
                Field { number: 3, value: Value::Bytes(normalizer) } => file.parse_normalizer(normalizer)?,
                _ => {}
            }
        }
        if file.pieces.is_empty() { Err("it has no pieces".into()) } else { Ok(file) }
    }

    fn parse_trainer(&mut self, bytes: &[u8]) -> std::result::Result<(), String> {
        for field in fields(bytes) {
            match field? {
                Field { number: 3, value: Value::Varint(value) } => {
                    self.algorithm = match value {
                        1 => Algorithm::Unigram,
                        2 => Algorithm::BytePairs,
                        other => Algorithm::Other(other),
                    };
                }
                Field { number: 35, value: Value::Varint(value) } => self.byte_fallback = value != 0,
                Field { number: 45, value: Value::Bytes(text) } => self.unknown = utf8(text)?,
                _ => {}
            }
        }
        Ok(())
    }

    fn parse_normalizer(&mut self, bytes: &[u8]) -> std::result::Result<(), String> {
        for field in fields(bytes) {
            match field? {
                Field { number: 2, value: Value::Bytes([]) } => {}
                Field { number: 2, value: Value::Bytes(map) } => self.charsmap = Some(Charsmap::parse(map)?),
                Field { number: 4, value: Value::Varint(value) } => self.squeeze = value != 0,
                Field { number: 5, value: Value::Varint(value) } => self.escape = value != 0,
                _ => {}
            }
        }
        Ok(())
    }
}

impl Piece {
    fn parse(bytes: &[u8]) -> std::result::Result<Self, String> {
        let mut piece = Self { text: String::new(), score: 0.0, kind: kind::NORMAL };
        for field in fields(bytes) {
            match field? {
                Field { number: 1, value: Value::Bytes(text) } => piece.text = utf8(text)?,
                Field { number: 2, value: Value::Fixed32(bits) } => piece.score = f32::from_bits(bits),
                Field { number: 3, value: Value::Varint(kind) } => piece.kind = kind,
                _ => {}
            }
        }
        Ok(piece)
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unigram => write!(f, "unigrams"),
            Self::BytePairs => write!(f, "byte pairs"),
            Self::Other(number) => write!(f, "of type {number}"),
        }
    }
}

fn utf8(bytes: &[u8]) -> std::result::Result<String, String> {
    String::from_utf8(bytes.to_vec()).map_err(|_| "a piece is not UTF-8".into())
}
