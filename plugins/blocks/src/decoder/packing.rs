//! Which token of a packed batch belongs where.

use std::ops::Range;

/// Consecutive tokens of one sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// Slot of the sequence in the cache.
    pub slot: usize,
    /// Tokens of the sequence that are in the cache already.
    pub cached: usize,
    /// Tokens that are added.
    pub count: usize,
}

/// The tokens of one call, span after span.
#[derive(Debug, Clone)]
pub struct Packing {
    spans: Vec<Span>,
    positions: Vec<[u32; 3]>,
    visible: Vec<usize>,
    #[cfg(feature = "cuda")]
    tiles: std::sync::OnceLock<crate::kernels::Tiles>,
}

impl Packing {
    /// Tokens that see those before them and themselves, at the positions in which they lie.
    pub fn new(spans: Vec<Span>) -> Self {
        let all = || spans.iter().flat_map(|span| span.cached..span.cached + span.count);
        let positions = all().map(|position| [position as u32; 3]).collect();
        Self {
            visible: all().map(|position| position + 1).collect(),
            positions,
            spans,
            #[cfg(feature = "cuda")]
            tiles: std::sync::OnceLock::new(),
        }
    }

    /// With other positions, one a token: three of them where a model has axes of time, height and width (Wang et al.
    /// 2024), else three times the same.
    pub fn at(self, positions: Vec<[u32; 3]>) -> Self {
        Self { positions, ..self }
    }

    /// With tokens that see each other whatever their order, as those of an image do in Gemma 3: ranges of positions
    /// within the span `span`.
    pub fn seeing_each_other(mut self, span: usize, blocks: &[Range<usize>]) -> Self {
        #[cfg(feature = "cuda")]
        self.tiles.take();
        let first: usize = self.spans[..span].iter().map(|span| span.count).sum();
        for block in blocks {
            let seen = self.spans[span].cached + block.end;
            self.visible[first..][block.clone()].iter_mut().for_each(|visible| *visible = seen);
        }
        self
    }

    /// The spans, in the order of their tokens.
    pub fn spans(&self) -> &[Span] {
        &self.spans
    }

    /// Number of tokens.
    pub fn tokens(&self) -> usize {
        self.visible.len()
    }

    /// Position of each token on three axes.
    pub fn positions(&self) -> &[[u32; 3]] {
        &self.positions
    }

    /// How many tokens of its own sequence, from the first on, each token sees.
    pub fn visible(&self) -> &[usize] {
        &self.visible
    }

    /// The packing on a device, made once; a packing belongs to one cache.
    #[cfg(feature = "cuda")]
    pub(crate) fn tiles(
        &self,
        capacity: usize,
        device: &candle_core::Device,
    ) -> candle_core::Result<&crate::kernels::Tiles> {
        match self.tiles.get() {
            Some(tiles) if tiles.capacity == capacity => Ok(tiles),
            Some(_) => Err(candle_core::Error::msg("a packing was used with caches of different sizes")),
            None => {
                let tiles = crate::kernels::Tiles::new(self, capacity, device)?;
                Ok(self.tiles.get_or_init(|| tiles))
            }
        }
    }

    /// Index of the last token of each span.
    pub fn last(&self) -> Vec<u32> {
        let mut end = 0;
        let ends = self.spans.iter().map(|span| {
            end += span.count as u32;
            end - 1
        });
        ends.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_see_what_comes_before_them() {
        let spans = vec![Span { slot: 1, cached: 4, count: 3 }, Span { slot: 0, cached: 0, count: 2 }];
        let packing = Packing::new(spans);
        assert_eq!(packing.visible(), [5, 6, 7, 1, 2]);
        assert_eq!(packing.positions(), [[4; 3], [5; 3], [6; 3], [0; 3], [1; 3]]);
        assert_eq!((packing.tokens(), packing.last()), (5, vec![2, 4]));
        let packing = packing.seeing_each_other(0, std::slice::from_ref(&(0..2)));
        assert_eq!(packing.visible(), [6, 6, 7, 1, 2]);
    }
}
