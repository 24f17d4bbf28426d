//! Drawing: a square picture in floating point, soft shapes, and the camera's faults.
//!
//! Everything is computed with additions, multiplications, divisions and square roots, which IEEE 754 rounds exactly,
//! so that a picture has the same bytes everywhere.

use image::RgbImage;

use crate::dice::Dice;
use crate::noise::Noise;

/// Pixels along each side of a picture.
pub const SIDE: usize = 80;

/// A place in the picture: (0, 0) is the upper left corner, (1, 1) the lower right one.
pub type Point = [f32; 2];

/// Red, green and blue from 0 to 1.
pub type Colour = [f32; 3];

/// How the camera stands to what it looks at.
#[derive(Clone, Copy)]
pub struct Pose {
    /// Magnification.
    pub scale: f32,
    /// Displacement of the centre.
    pub shift: Point,
    /// Whether left and right are exchanged.
    pub mirror: bool,
}

impl Pose {
    /// A pose off the ideal one by at most these amounts.
    pub fn near(dice: &mut Dice, scale: f32, shift: f32) -> Self {
        Self {
            scale: 1.0 + dice.range(-scale, scale),
            shift: [dice.range(-shift, shift), dice.range(-shift, shift)],
            mirror: false,
        }
    }

    /// Where a pixel's centre lies on the object.
    fn point(&self, column: usize, row: usize) -> Point {
        let across = (column as f32 + 0.5) / SIDE as f32 - 0.5 - self.shift[0];
        let down = (row as f32 + 0.5) / SIDE as f32 - 0.5 - self.shift[1];
        let across = if self.mirror { -across } else { across };
        [across / self.scale + 0.5, down / self.scale + 0.5]
    }

    /// Where a point of the object lies, in pixels.
    fn pixel(&self, [x, y]: Point) -> Point {
        let across = (x - 0.5) * self.scale;
        let across = if self.mirror { -across } else { across };
        let place = |offset: f32, shift: f32| (offset + 0.5 + shift) * SIDE as f32;
        [place(across, self.shift[0]), place((y - 0.5) * self.scale, self.shift[1])]
    }
}

/// Something with an extent that covers each point wholly, partly or not.
pub trait Shape {
    /// Upper left and lower right corner of a box that holds the shape.
    fn bounds(&self) -> [Point; 2];

    /// How much of a point is covered, from 0 to 1.
    fn coverage(&self, point: Point) -> f32;
}

/// A round or oval patch with a soft, possibly ragged edge.
pub struct Blob<'a> {
    /// Its middle.
    pub centre: Point,
    /// Half its length along and across `axis`.
    pub radii: Point,
    /// Direction of its length, a unit vector.
    pub axis: Point,
    /// Part of the radius over which the edge fades, from 0 to 1.
    pub softness: f32,
    /// A field that pushes the edge in and out, and how far, as a part of the radius.
    pub ragged: Option<(&'a Noise, f32)>,
}

impl Blob<'_> {
    /// A round patch with an even edge.
    pub fn disc(centre: Point, radius: f32, softness: f32) -> Self {
        Self::oval(centre, [radius, radius], [1.0, 0.0], softness)
    }

    /// An oval patch with an even edge.
    pub fn oval(centre: Point, radii: Point, axis: Point, softness: f32) -> Self {
        Self { centre, radii, axis, softness, ragged: None }
    }
}

impl Shape for Blob<'_> {
    fn bounds(&self) -> [Point; 2] {
        let swell = self.ragged.map_or(0.0, |(_, amount)| 2.0 * amount);
        let reach = self.radii[0].max(self.radii[1]) * (1.0 + self.softness) * (1.0 + swell);
        let [x, y] = self.centre;
        [[x - reach, y - reach], [x + reach, y + reach]]
    }

    fn coverage(&self, point: Point) -> f32 {
        let [x, y] = [point[0] - self.centre[0], point[1] - self.centre[1]];
        let along = (x * self.axis[0] + y * self.axis[1]) / self.radii[0];
        let across = (y * self.axis[0] - x * self.axis[1]) / self.radii[1];
        let swell = self.ragged.map_or(0.0, |(noise, amount)| amount * noise.at(point));
        let distance = (along * along + across * across).sqrt() - swell;
        1.0 - smooth_step(1.0 - self.softness, 1.0 + self.softness, distance)
    }
}

/// A bent line that may grow thinner towards its end.
pub struct Curve {
    points: Vec<Point>,
    widths: [f32; 2],
}

impl Curve {
    /// The quadratic Bézier curve from the first to the last point, with its widths at both ends.
    pub fn new([start, middle, end]: [Point; 3], widths: [f32; 2]) -> Self {
        const PIECES: usize = 10;
        let points = (0..=PIECES)
            .map(|step| {
                let t = step as f32 / PIECES as f32;
                let (a, b, c) = ((1.0 - t) * (1.0 - t), 2.0 * t * (1.0 - t), t * t);
                [a * start[0] + b * middle[0] + c * end[0], a * start[1] + b * middle[1] + c * end[1]]
            })
            .collect();
        Self { points, widths }
    }

    /// A point on the curve: 0 is its start, 1 its end.
    pub fn at(&self, part: f32) -> Point {
        self.points[((self.points.len() - 1) as f32 * part + 0.5) as usize]
    }
}

impl Shape for Curve {
    fn bounds(&self) -> [Point; 2] {
        let reach = self.widths[0].max(self.widths[1]) + PIXEL;
        let mut bounds = [self.points[0], self.points[0]];
        for point in &self.points {
            for axis in 0..2 {
                bounds[0][axis] = bounds[0][axis].min(point[axis] - reach);
                bounds[1][axis] = bounds[1][axis].max(point[axis] + reach);
            }
        }
        bounds
    }

    fn coverage(&self, point: Point) -> f32 {
        let (mut square, mut place) = (f32::MAX, 0.0);
        for (index, ends) in self.points.windows(2).enumerate() {
            let (away, along) = square_to_segment(point, ends[0], ends[1]);
            if away < square {
                (square, place) = (away, index as f32 + along);
            }
        }
        let part = place / (self.points.len() - 1) as f32;
        let half = 0.5 * (self.widths[0] + (self.widths[1] - self.widths[0]) * part);
        // A line thinner than a pixel covers a part of it only.
        let strength = (2.0 * half / PIXEL).min(1.0);
        strength * (1.0 - smooth_step(half - 0.5 * PIXEL, half + 0.5 * PIXEL, square.sqrt()))
    }
}

/// A picture being drawn.
pub struct Canvas {
    pixels: Vec<Colour>,
    pose: Pose,
}

impl Canvas {
    /// A black picture seen from this pose.
    pub fn new(pose: Pose) -> Self {
        Self { pixels: vec![[0.0; 3]; SIDE * SIDE], pose }
    }

    /// Changes every pixel.
    pub fn shade(&mut self, change: impl Fn(Point, &mut Colour)) {
        for row in 0..SIDE {
            for column in 0..SIDE {
                change(self.pose.point(column, row), &mut self.pixels[row * SIDE + column]);
            }
        }
    }

    /// Changes the pixels that a shape covers; `change` is also told how much of each is covered.
    pub fn shade_in(&mut self, shape: &impl Shape, change: impl Fn(Point, f32, &mut Colour)) {
        let corners = shape.bounds().map(|corner| self.pose.pixel(corner));
        let span = |axis: usize| {
            let (a, b) = (corners[0][axis], corners[1][axis]);
            let limit = |value: f32| value.clamp(0.0, SIDE as f32) as usize;
            limit(a.min(b).floor())..limit(a.max(b) + 1.0)
        };
        for row in span(1) {
            for column in span(0) {
                let point = self.pose.point(column, row);
                let coverage = shape.coverage(point);
                if coverage > 0.0 {
                    change(point, coverage, &mut self.pixels[row * SIDE + column]);
                }
            }
        }
    }

    /// Paints a shape over the picture.
    pub fn paint(&mut self, shape: &impl Shape, colour: Colour, opacity: f32) {
        self.shade_in(shape, |_, coverage, pixel| *pixel = mix(*pixel, colour, coverage * opacity));
    }

    /// Adds light, or takes it away, within a shape.
    pub fn lighten(&mut self, shape: &impl Shape, amount: f32) {
        self.shade_in(shape, |_, coverage, pixel| *pixel = pixel.map(|v| v + coverage * amount));
    }

    /// Softens the whole picture: `amount` from 0 (not at all) to 1 (over about three pixels).
    pub fn blur(&mut self, amount: f32) {
        for stride in [1, SIDE] {
            let source = self.pixels.clone();
            for (index, pixel) in self.pixels.iter_mut().enumerate() {
                let place = index / stride % SIDE;
                let before = source[if place > 0 { index - stride } else { index }];
                let after = source[if place + 1 < SIDE { index + stride } else { index }];
                for channel in 0..3 {
                    let around = 0.5 * (before[channel] + after[channel]);
                    pixel[channel] += 0.667 * amount * (around - pixel[channel]);
                }
            }
        }
    }

    /// Adds grain of this standard deviation, the same in each channel where `grey`.
    pub fn grain(&mut self, dice: &mut Dice, deviation: f32, grey: bool) {
        for pixel in &mut self.pixels {
            let common = dice.bell();
            for value in pixel {
                *value += deviation * if grey { common } else { 0.7 * common + 0.7 * dice.bell() };
            }
        }
    }

    /// Changes contrast around middle grey, then brightness by a curve that keeps black and white.
    pub fn expose(&mut self, contrast: f32, brightness: f32) {
        for value in self.pixels.iter_mut().flatten() {
            let stretched = (0.5 + (*value - 0.5) * contrast).clamp(0.0, 1.0);
            *value = stretched * (1.0 + brightness * (1.0 - stretched));
        }
    }

    /// The finished picture with eight bits a channel.
    pub fn finish(&self) -> RgbImage {
        RgbImage::from_fn(SIDE as u32, SIDE as u32, |column, row| {
            let pixel = self.pixels[row as usize * SIDE + column as usize];
            image::Rgb(pixel.map(|value| (value.clamp(0.0, 1.0) * 255.0 + 0.5) as u8))
        })
    }
}

/// Blends two colours: 0 gives the first, 1 the second.
pub fn mix(a: Colour, b: Colour, part: f32) -> Colour {
    [0, 1, 2].map(|channel| a[channel] + (b[channel] - a[channel]) * part)
}

/// Rises smoothly from 0 at `low` to 1 at `high`.
pub fn smooth_step(low: f32, high: f32, value: f32) -> f32 {
    let part = ((value - low) / (high - low)).clamp(0.0, 1.0);
    part * part * (3.0 - 2.0 * part)
}

const PIXEL: f32 = 1.0 / SIDE as f32;

/// Squared distance of a point from a segment, and how far along the segment the nearest place lies, from 0 to 1.
fn square_to_segment(point: Point, start: Point, end: Point) -> (f32, f32) {
    let [dx, dy] = [end[0] - start[0], end[1] - start[1]];
    let [px, py] = [point[0] - start[0], point[1] - start[1]];
    let along = ((px * dx + py * dy) / (dx * dx + dy * dy).max(1e-12)).clamp(0.0, 1.0);
    let [ex, ey] = [px - along * dx, py - along * dy];
    (ex * ex + ey * ey, along)
}
