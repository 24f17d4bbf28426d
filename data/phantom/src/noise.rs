//! Smooth random texture.

use crate::dice::Dice;

/// A smooth random field over the plane, about -1 to 1, that repeats every unit square.
pub struct Noise {
    octaves: Vec<Lattice>,
}

impl Noise {
    /// `cells` is the number of bumps along the unit length; each further octave doubles it at half the strength.
    pub fn new(dice: &mut Dice, cells: usize, octaves: usize) -> Self {
        Self { octaves: (0..octaves).map(|octave| Lattice::new(dice, cells << octave)).collect() }
    }

    /// The value of the field at a point.
    pub fn at(&self, [x, y]: [f32; 2]) -> f32 {
        let mut strength = 1.0;
        let mut sum = 0.0;
        for lattice in &self.octaves {
            sum += strength * lattice.at(x, y);
            strength *= 0.5;
        }
        sum
    }
}

/// Random values at the points of a square grid, blended in between.
struct Lattice {
    cells: usize,
    values: Vec<f32>,
}

impl Lattice {
    fn new(dice: &mut Dice, cells: usize) -> Self {
        Self { cells, values: (0..cells * cells).map(|_| dice.range(-1.0, 1.0)).collect() }
    }

    fn at(&self, x: f32, y: f32) -> f32 {
        let (left, right, across) = self.cell(x);
        let (top, bottom, down) = self.cell(y);
        let row = |row: usize| {
            let values = &self.values[row * self.cells..];
            mix(values[left], values[right], across)
        };
        mix(row(top), row(bottom), down)
    }

    /// The grid lines before and after a position, and the weight of the latter.
    fn cell(&self, position: f32) -> (usize, usize, f32) {
        let scaled = (position - position.floor()) * self.cells as f32;
        let before = (scaled as usize).min(self.cells - 1);
        let after = if before + 1 < self.cells { before + 1 } else { 0 };
        let part = scaled - before as f32;
        (before, after, part * part * (3.0 - 2.0 * part))
    }
}

fn mix(a: f32, b: f32, part: f32) -> f32 {
    a + (b - a) * part
}
