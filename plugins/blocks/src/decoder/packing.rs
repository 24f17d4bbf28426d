//! Which token of a packed batch belongs where.

use std::ops::Range;

use super::Added;

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

/// Tokens that see each other whatever their order and the window, as those of images do in Gemma 3.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Together {
    /// Ranges of tokens in their order, none of which touches another.
    pub blocks: Vec<Range<usize>>,
    /// How far from a token those are that it sees, in its own block or in another.
    pub reach: usize,
}

/// The tokens of one call, span after span.
#[derive(Debug, Clone)]
pub struct Packing {
    spans: Vec<Span>,
    positions: Vec<[u32; 3]>,
    /// Of each span, in positions within it.
    together: Vec<Together>,
    added: Added,
    #[cfg(feature = "cuda")]
    tiles: std::sync::OnceLock<crate::kernels::Tiles>,
}

impl Packing {
    /// Tokens that see those before them and themselves, at the positions in which they lie.
    pub fn new(spans: Vec<Span>) -> Self {
        let all = || spans.iter().flat_map(|span| span.cached..span.cached + span.count);
        let positions = all().map(|position| [position as u32; 3]).collect();
        Self {
            together: vec![Together::default(); spans.len()],
            positions,
            spans,
            added: Added::default(),
            #[cfg(feature = "cuda")]
            tiles: std::sync::OnceLock::new(),
        }
    }

    /// With other positions, one a token: three of them where a model has axes of time, height and width (Wang et al.
    /// 2024), else three times the same.
    pub fn at(self, positions: Vec<[u32; 3]>) -> Self {
        Self { positions, ..self }
    }

    /// With tokens of the span `span` that see each other.
    pub fn seeing_each_other(mut self, span: usize, together: Together) -> Self {
        #[cfg(feature = "cuda")]
        self.tiles.take();
        self.together[span] = together;
        self
    }

    /// With vectors that are added to its tokens on their way, in decoders that have a place for them.
    pub fn adding(self, added: Added) -> Self {
        Self { added, ..self }
    }

    /// The spans, in the order of their tokens.
    pub fn spans(&self) -> &[Span] {
        &self.spans
    }

    /// Number of tokens.
    pub fn tokens(&self) -> usize {
        self.positions.len()
    }

    /// Position of each token on three axes.
    pub fn positions(&self) -> &[[u32; 3]] {
        &self.positions
    }

    /// What is added to the tokens on their way.
    pub fn added(&self) -> &Added {
        &self.added
    }

    /// The tokens of its own sequence that each token sees through a window, itself included: ranges in their order, none
    /// of which touches another.
    pub fn seen(&self, window: Option<usize>) -> Vec<Vec<Range<usize>>> {
        let spans = self.spans.iter().zip(&self.together);
        let of = |(span, together): (&Span, &Together)| {
            let (cached, count) = (span.cached, span.count);
            let seen = |row| {
                let end = cached + row + 1;
                let before = end - window.unwrap_or(end).min(end)..end;
                let further = together.around(row).map(|range| cached + range.start..cached + range.end);
                union(std::iter::once(before).chain(further).collect())
            };
            (0..count).map(seen).collect::<Vec<_>>()
        };
        spans.flat_map(of).collect()
    }

    /// Whether each token sees one range through a window, which nothing but the window begins.
    pub fn is_plain(&self, window: Option<usize>) -> bool {
        let free = |together: &Together| together.blocks.is_empty();
        let ends = || self.spans.iter().flat_map(|span| span.cached + 1..span.cached + span.count + 1);
        let start = |end: usize| end - window.unwrap_or(end).min(end);
        let plain = |(seen, end): (Vec<Range<usize>>, usize)| seen.len() == 1 && seen[0].start == start(end);
        self.together.iter().all(free) || self.seen(window).into_iter().zip(ends()).all(plain)
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

impl Together {
    /// The tokens that token `row` sees beyond those that precede it.
    fn around(&self, row: usize) -> impl Iterator<Item = Range<usize>> {
        let inside = self.blocks.iter().any(|block| block.contains(&row));
        let near = row.saturating_sub(self.reach)..row + self.reach + 1;
        let blocks = self.blocks.iter().filter(move |_| inside);
        let parts = blocks.map(move |block| block.start.max(near.start)..block.end.min(near.end));
        parts.filter(|part| !part.is_empty())
    }
}

/// Ranges in their order, with those joined that touch.
fn union(mut ranges: Vec<Range<usize>>) -> Vec<Range<usize>> {
    ranges.sort_by_key(|range| range.start);
    let mut joined: Vec<Range<usize>> = Vec::with_capacity(ranges.len());
    for range in ranges {
        match joined.last_mut() {
            Some(last) if last.end >= range.start => last.end = last.end.max(range.end),
            _ => joined.push(range),
        }
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_see_what_comes_before_them() {
        let spans = vec![Span { slot: 1, cached: 4, count: 3 }, Span { slot: 0, cached: 0, count: 2 }];
        let packing = Packing::new(spans);
        let ends =
            |packing: &Packing| packing.seen(None).iter().map(|seen| (seen.len(), seen[0].end)).collect::<Vec<_>>();
        assert_eq!(ends(&packing), [(1, 5), (1, 6), (1, 7), (1, 1), (1, 2)]);
        assert!(packing.is_plain(Some(1)));
        assert_eq!(packing.positions(), [[4; 3], [5; 3], [6; 3], [0; 3], [1; 3]]);
        assert_eq!((packing.tokens(), packing.last()), (5, vec![2, 4]));
        let packing = packing.seeing_each_other(0, Together { blocks: std::iter::once(0..2).collect(), reach: 2 });
        assert_eq!(ends(&packing), [(1, 6), (1, 6), (1, 7), (1, 1), (1, 2)]);
        assert!(packing.is_plain(None) && packing.is_plain(Some(2)) && !packing.is_plain(Some(1)));
    }

    /// As `token_type_ids_mask_function` of `transformers.models.gemma3.modeling_gemma3`, 4.53.1, has it.
    #[test]
    fn tokens_in_blocks_see_each_other_as_far_as_they_reach() {
        let blocks = vec![2..6, 8..12, 13..14];
        let packing = Packing::new(vec![Span { slot: 0, cached: 3, count: 16 }]);
        let packing = packing.seeing_each_other(0, Together { blocks: blocks.clone(), reach: 4 });
        let inside = |at: usize| blocks.iter().any(|block| block.contains(&at));
        for window in [None, Some(1), Some(3), Some(7)] {
            for (row, seen) in packing.seen(window).into_iter().enumerate() {
                let expected = (0..19).filter(|&at| {
                    let near = window.is_none_or(|window| at + window > row + 3);
                    let mutual = at >= 3 && inside(row) && inside(at - 3) && (at - 3).abs_diff(row) <= 4;
                    (at <= row + 3 && near) || mutual
                });
                assert!(seen.windows(2).all(|pair| pair[0].end < pair[1].start), "{seen:?}");
                assert_eq!(seen.into_iter().flatten().collect::<Vec<_>>(), expected.collect::<Vec<_>>(), "{row}");
            }
            assert!(!packing.is_plain(window));
        }
    }
}
