//! A packing on the device.

use candle_core::{Device, Result, Tensor};

use super::attend::ROWS;
use crate::decoder::Packing;

/// Where the tokens of a packing lie in a cache, and what they see; see `Tile` in `attend.cu`.
#[derive(Debug, Clone)]
pub struct Tiles {
    /// Rows of the cache that a sequence has.
    pub capacity: usize,
    /// Row of the cache of each token.
    pub places: Tensor,
    /// How many tokens each token sees.
    pub visible: Tensor,
    /// Tiles of several rows, `[n, 6]`.
    pub many: Option<Tensor>,
    /// Tiles of one row, `[n, 6]`.
    pub one: Option<Tensor>,
}

impl Tiles {
    /// Of a packing, for a cache of `capacity` rows a sequence.
    pub fn new(packing: &Packing, capacity: usize, device: &Device) -> Result<Self> {
        let (mut places, mut many, mut one) = (Vec::with_capacity(packing.tokens()), Vec::new(), Vec::new());
        // Where a packing tells more than that, its tiles are not used.
        let ends = packing.seen(None).iter().map(|seen| seen.last().map_or(0, |seen| seen.end)).collect::<Vec<_>>();
        let mut first = 0;
        for span in packing.spans() {
            let sequence = span.slot * capacity;
            places.extend((0..span.count).map(|row| (sequence + span.cached + row) as u32));
            for start in (0..span.count).step_by(ROWS) {
                let count = ROWS.min(span.count - start);
                let seen = &ends[first + start..][..count];
                let (least, most) = (seen.iter().min().copied(), seen.iter().max().copied());
                let (least, most) = (least.unwrap_or_default(), most.unwrap_or_default());
                let tile = [first + start, count, sequence, most, least, span.cached + start];
                let tiles = if span.count == 1 { &mut one } else { &mut many };
                tiles.extend(tile.map(|value| value as u32));
            }
            first += span.count;
        }
        let visible: Vec<u32> = ends.iter().map(|&seen| seen as u32).collect();
        let table = |tiles: Vec<u32>| match tiles.len() / 6 {
            0 => Ok(None),
            rows => Tensor::from_vec(tiles, (rows, 6), device).map(Some),
        };
        Ok(Self {
            capacity,
            places: Tensor::new(places, device)?,
            visible: Tensor::new(visible, device)?,
            many: table(many)?,
            one: table(one)?,
        })
    }
}
