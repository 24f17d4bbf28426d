//! Pillow's `Image.resize`, bit for bit, on RGB images.
//!
//! A port of `src/libImaging/Resample.c` and of the nearest-neighbour part of `Geometry.c`, Pillow 13: antialiased,
//! two passes, rounded to 8 bits between them, coefficients in 22-bit fixed point. `fast_image_resize` 6 is not equal:
//! up to 47 of 255 steps apart on the images of `tests/parity/resize.py`.

use std::{f64::consts::PI, ops::Range};

use rayon::prelude::*;

const PRECISION_BITS: u32 = 32 - 8 - 2;

/// A resampling filter, numbered as `PIL.Image.Resampling`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Filter {
    /// 0
    Nearest,
    /// 1
    Lanczos,
    /// 2
    Bilinear,
    /// 3
    Bicubic,
    /// 4
    Box,
    /// 5
    Hamming,
}

/// An RGB image, three bytes a pixel, row by row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rgb<T> {
    /// Pixels in a row.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// `height * width * 3` bytes.
    pub data: T,
}

/// Part of an axis of the resized image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// First position.
    pub start: usize,
    /// Number of positions.
    pub length: usize,
}

/// What `image.resize(size, filter)` gives within `columns` and `rows`; nothing outside of them is computed.
/// `size` is (width, height), each at least 1.
pub fn resize(image: Rgb<&[u8]>, size: (usize, usize), filter: Filter, columns: Window, rows: Window) -> Rgb<Vec<u8>> {
    let data = match filter {
        Filter::Nearest => {
            let across = nearest_positions(image.width, size.0, columns);
            nearest(&image, &across, &nearest_positions(image.height, size.1, rows))
        }
        _ => resample(&image, size, filter, columns, rows),
    };
    Rgb { width: columns.length, height: rows.length, data }
}

/// What torchvision's `resize` gives of a tensor of bytes, antialiased, bit for bit: across first, with coefficients of 16
/// bits that are as precise as the largest of them allows. `size` is (width, height), each at least 1.
pub fn resize_tensor(image: Rgb<&[u8]>, size: (usize, usize), filter: Filter) -> Rgb<Vec<u8>> {
    let [columns, rows] = [size.0, size.1].map(|length| Window { start: 0, length });
    if filter == Filter::Nearest {
        let positions = |input: usize, output: usize| -> Vec<usize> {
            let step = input as f32 / output as f32;
            (0..output).map(|at| (((at as f32 + 0.5) * step) as usize).min(input - 1)).collect()
        };
        let data = nearest(&image, &positions(image.width, size.0), &positions(image.height, size.1));
        return Rgb { width: size.0, height: size.1, data };
    }
    let [across, down] = [(image.width, size.0, columns), (image.height, size.1, rows)]
        .map(|(input, output, window)| Axis::new(input, output, filter, window, Axis::bits_of_16));
    let data = horizontal(&image, &across, 0..image.height);
    let narrow = Rgb { width: size.0, height: image.height, data: &data[..] };
    Rgb { width: size.0, height: size.1, data: vertical(&narrow, &down, 0..size.0) }
}

impl Filter {
    /// The filter with this number.
    pub fn from_number(number: u64) -> Option<Self> {
        [Self::Nearest, Self::Lanczos, Self::Bilinear, Self::Bicubic, Self::Box, Self::Hamming]
            .get(usize::try_from(number).ok()?)
            .copied()
    }

    fn support(self) -> f64 {
        match self {
            Self::Nearest => 0.0,
            Self::Box => 0.5,
            Self::Bilinear | Self::Hamming => 1.0,
            Self::Bicubic => 2.0,
            Self::Lanczos => 3.0,
        }
    }

    fn weight(self, x: f64) -> f64 {
        let sinc = |x: f64| if x == 0.0 { 1.0 } else { (x * PI).sin() / (x * PI) };
        let distance = x.abs();
        match self {
            Self::Nearest => 0.0,
            Self::Box if x > -0.5 && x <= 0.5 => 1.0,
            Self::Bilinear if distance < 1.0 => 1.0 - distance,
            Self::Hamming if distance < 1.0 => sinc(distance) * (0.54 + 0.46 * (distance * PI).cos()),
            // Keys' cubic with a = -0.5.
            Self::Bicubic if distance < 1.0 => (1.5 * distance - 2.5) * distance * distance + 1.0,
            Self::Bicubic if distance < 2.0 => -0.5 * (((distance - 5.0) * distance + 8.0) * distance - 4.0),
            Self::Lanczos if (-3.0..3.0).contains(&x) => sinc(x) * sinc(x / 3.0),
            _ => 0.0,
        }
    }
}

/// Where each output position of an axis reads, and with which weights.
struct Axis {
    starts: Vec<usize>,
    weights: Vec<Vec<i32>>,
    /// Bits of the weights behind the point.
    bits: u32,
}

impl Axis {
    /// `bits` tells how precise weights are of which the largest is given.
    fn new(input: usize, output: usize, filter: Filter, window: Window, bits: fn(f64) -> u32) -> Self {
        let scale = input as f64 / output as f64;
        let stretch = scale.max(1.0);
        let support = filter.support() * stretch;
        let (mut starts, mut weights) = (Vec::new(), Vec::new());
        for position in window.start..window.start + window.length {
            let center = (position as f64 + 0.5) * scale;
            // A cast truncates towards zero, and saturates below it, as the reference clamps.
            let start = (center - support + 0.5) as usize;
            let end = ((center + support + 0.5) as usize).min(input);
            let raw: Vec<f64> =
                (start..end).map(|x| filter.weight((x as f64 - center + 0.5) * (1.0 / stretch))).collect();
            let sum: f64 = raw.iter().sum();
            starts.push(start);
            weights.push(raw.into_iter().map(|w| if sum == 0.0 { w } else { w / sum }).collect::<Vec<_>>());
        }
        let bits = bits(weights.iter().flatten().copied().fold(0.0, f64::max));
        let fixed = weights.into_iter().map(|row| row.into_iter().map(|weight| fixed_point(weight, bits)).collect());
        Self { starts, weights: fixed.collect(), bits }
    }

    /// The most with which the largest weight fits 16 bits.
    fn bits_of_16(largest: f64) -> u32 {
        let fits = |bits: &u32| fixed_point(largest, bits + 1) < 1 << 15;
        (0..PRECISION_BITS).take_while(fits).count() as u32
    }

    /// The same axis of an image that begins at `origin`.
    fn moved(mut self, origin: usize) -> Self {
        self.starts.iter_mut().for_each(|start| *start -= origin);
        self
    }

    /// The input positions that are read.
    fn reach(&self) -> Range<usize> {
        let ends = self.starts.iter().zip(&self.weights).map(|(start, weights)| start + weights.len());
        self.starts.iter().copied().min().unwrap_or(0)..ends.max().unwrap_or(0)
    }
}

fn fixed_point(weight: f64, bits: u32) -> i32 {
    let scaled = weight * f64::from(1 << bits);
    (if weight < 0.0 { scaled - 0.5 } else { scaled + 0.5 }) as i32
}

fn clip8(sum: i32, bits: u32) -> u8 {
    (sum >> bits).clamp(0, 255) as u8
}

fn resample(image: &Rgb<&[u8]>, size: (usize, usize), filter: Filter, columns: Window, rows: Window) -> Vec<u8> {
    let across = Axis::new(image.width, size.0, filter, columns, |_| PRECISION_BITS);
    let down = Axis::new(image.height, size.1, filter, rows, |_| PRECISION_BITS);
    if horizontal_first(image, size) {
        let needed = down.reach();
        let data = horizontal(image, &across, needed.clone());
        let narrow = Rgb { width: columns.length, height: needed.len(), data: &data[..] };
        vertical(&narrow, &down.moved(needed.start), 0..columns.length)
    } else {
        let needed = across.reach();
        let data = vertical(image, &down, needed.clone());
        let low = Rgb { width: needed.len(), height: rows.length, data: &data[..] };
        horizontal(&low, &across.moved(needed.start), 0..rows.length)
    }
}

/// Before Pillow 13 this was always so; the order shows in the rounding.
fn horizontal_first(image: &Rgb<&[u8]>, (width, height): (usize, usize)) -> bool {
    let shrink = |from: usize, to: usize| from as i64 - to as i64;
    let (across, down) = (shrink(image.width, width), shrink(image.height, height));
    down <= 0 || down <= 2 * across
}

/// The `rows` of an image, each resampled.
fn horizontal(image: &Rgb<&[u8]>, axis: &Axis, rows: Range<usize>) -> Vec<u8> {
    let stride = axis.starts.len() * 3;
    let mut out = vec![0; rows.len() * stride];
    out.par_chunks_mut(stride.max(1)).zip(rows).for_each(|(out, y)| {
        let row = &image.data[y * image.width * 3..][..image.width * 3];
        for ((pixel, &start), weights) in out.chunks_exact_mut(3).zip(&axis.starts).zip(&axis.weights) {
            let mut sums = [1 << (axis.bits - 1); 3];
            for (source, weight) in row[start * 3..].chunks_exact(3).zip(weights) {
                for (sum, &value) in sums.iter_mut().zip(source) {
                    *sum += i32::from(value) * weight;
                }
            }
            pixel.copy_from_slice(&sums.map(|sum| clip8(sum, axis.bits)));
        }
    });
    out
}

/// The `columns` of an image, each resampled.
fn vertical(image: &Rgb<&[u8]>, axis: &Axis, columns: Range<usize>) -> Vec<u8> {
    let (stride, bytes) = (columns.len() * 3, columns.start * 3..columns.end * 3);
    let mut out = vec![0; axis.starts.len() * stride];
    out.par_chunks_mut(stride.max(1)).zip(axis.starts.par_iter().zip(&axis.weights)).for_each(
        |(out, (start, weights))| {
            let mut sums = vec![1 << (axis.bits - 1); stride];
            let rows = image.data[start * image.width * 3..].chunks_exact(image.width * 3);
            for (weight, row) in weights.iter().zip(rows) {
                for (sum, &value) in sums.iter_mut().zip(&row[bytes.clone()]) {
                    *sum += i32::from(value) * weight;
                }
            }
            for (value, sum) in out.iter_mut().zip(sums) {
                *value = clip8(sum, axis.bits);
            }
        },
    );
    out
}

fn nearest(image: &Rgb<&[u8]>, xs: &[usize], ys: &[usize]) -> Vec<u8> {
    let pixel = |x: usize, y: usize| &image.data[(y * image.width + x) * 3..][..3];
    ys.iter().flat_map(|&y| xs.iter().flat_map(move |&x| pixel(x, y))).copied().collect()
}

/// The reference adds the step up position by position, and its rounding errors are part of the result.
fn nearest_positions(input: usize, output: usize, window: Window) -> Vec<usize> {
    let step = input as f64 / output as f64;
    let positions = std::iter::successors(Some(step * 0.5), |at| Some(at + step));
    positions.skip(window.start).take(window.length).map(|at| (at as usize).min(input - 1)).collect()
}
