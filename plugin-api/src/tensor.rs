//! Images and arrays in their ordinary Rust form.

use crate::{Error, Result};

/// A borrowed RGB8 image, row-major, three bytes a pixel, as decoded by the host.
#[derive(Debug, Clone, Copy)]
pub struct Image<'a> {
    /// Pixels in a row.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// `height * width * 3` bytes.
    pub rgb: &'a [u8],
}

/// Rows of f32: features `[images, dim]`, logits `[images, classes]`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Matrix {
    /// Number of columns.
    pub columns: usize,
    /// `rows * columns` values.
    pub data: Vec<f32>,
}

/// Borrowed values.
#[derive(Debug, Clone, Copy)]
pub enum View<'a> {
    /// Pixels.
    U8(&'a [u8]),
    /// Token ids.
    I64(&'a [i64]),
    /// Everything else.
    F32(&'a [f32]),
}

/// A borrowed array of at most four axes.
#[derive(Debug, Clone, Copy)]
pub struct Blob<'a> {
    /// Extents, slowest first.
    pub shape: &'a [u64],
    /// The values.
    pub data: View<'a>,
}

/// Owned values.
#[derive(Debug, Clone, PartialEq)]
pub enum Data {
    /// Pixels.
    U8(Vec<u8>),
    /// Token ids.
    I64(Vec<i64>),
    /// Everything else.
    F32(Vec<f32>),
}

/// An owned array of at most four axes.
#[derive(Debug, Clone, PartialEq)]
pub struct Array {
    /// Extents, slowest first.
    pub shape: Vec<u64>,
    /// The values.
    pub data: Data,
}

impl Matrix {
    /// A matrix from its rows; all have the same length.
    pub fn from_rows(rows: &[Vec<f32>]) -> Self {
        Self { columns: rows.first().map_or(0, Vec::len), data: rows.concat() }
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.data.len().checked_div(self.columns).unwrap_or(0)
    }

    /// One row.
    pub fn row(&self, index: usize) -> &[f32] {
        &self.data[index * self.columns..(index + 1) * self.columns]
    }
}

impl From<Matrix> for Array {
    fn from(matrix: Matrix) -> Self {
        Self { shape: vec![matrix.rows() as u64, matrix.columns as u64], data: Data::F32(matrix.data) }
    }
}

impl TryFrom<Array> for Matrix {
    type Error = Error;

    fn try_from(array: Array) -> Result<Self> {
        match (array.shape.as_slice(), array.data) {
            (&[rows, columns], Data::F32(data)) if data.len() as u64 == rows * columns => {
                Ok(Self { columns: columns as usize, data })
            }
            (shape, _) => Err(Error::input(format!("expected a matrix of f32, found an array of shape {shape:?}"))),
        }
    }
}

impl Array {
    /// The same array, borrowed.
    pub fn blob(&self) -> Blob<'_> {
        let data = match &self.data {
            Data::U8(v) => View::U8(v),
            Data::I64(v) => View::I64(v),
            Data::F32(v) => View::F32(v),
        };
        Blob { shape: &self.shape, data }
    }
}

impl<'a> Image<'a> {
    /// The image as an array `[height, width, 3]`; `shape` keeps the extents alive.
    pub fn blob(&self, shape: &'a mut [u64; 3]) -> Blob<'a> {
        *shape = [u64::from(self.height), u64::from(self.width), 3];
        Blob { shape, data: View::U8(self.rgb) }
    }
}

impl<'a> TryFrom<Blob<'a>> for Image<'a> {
    type Error = Error;

    fn try_from(blob: Blob<'a>) -> Result<Self> {
        match (blob.shape, blob.data) {
            (&[height, width, 3], View::U8(rgb)) if rgb.len() as u64 == height * width * 3 && !rgb.is_empty() => {
                Ok(Self { width: width as u32, height: height as u32, rgb })
            }
            (shape, _) => Err(Error::input(format!("expected an RGB8 image, found an array of shape {shape:?}"))),
        }
    }
}
