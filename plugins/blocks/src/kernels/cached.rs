//! Attention of packed tokens to what their sequences have shown so far.

use std::ops::Range;

use candle_core::{CpuStorage, CustomOp3, DType, Device, Layout, Result, Shape, Tensor};
use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

#[cfg(feature = "cuda")]
use super::cuda;
use super::{
    on_cpu,
    panels::{Panels, exponentials},
    softmax, values,
};
use crate::decoder::{CacheLayer, Packing, Span};

/// The most rows of queries whose scores one core holds at a time.
const TILE: usize = 128;
/// With fewer rows, it costs more to arrange the keys than to multiply them.
const FEW: usize = 12;

/// How queries attend to keys.
#[derive(Debug, Clone, Copy)]
pub struct Heads {
    /// Heads of queries.
    pub queries: usize,
    /// Heads of keys, each of which serves as many heads of queries.
    pub keys: usize,
    /// Factor of the scores.
    pub scale: f64,
    /// Tokens that a token sees at most, itself included.
    pub window: Option<usize>,
}

/// Writes keys and values, which follow the queries in `joint`, `[tokens, queries + 2 * width]`, behind what is cached.
///
/// # Errors
/// Shapes do not agree.
pub fn append(layer: &CacheLayer, joint: &Tensor, packing: &Packing) -> crate::Result<()> {
    let width = layer.keys.dim(1)?;
    let queries = joint.dim(1)? - 2 * width;
    #[cfg(feature = "cuda")]
    if super::on_gpu(joint, &[]) && joint.is_contiguous() {
        return Ok(cuda::append_rows(layer, joint, packing, queries)?);
    }
    for (cache, start) in [(&layer.keys, queries), (&layer.values, queries + width)] {
        let part = joint.narrow(1, start, width)?.contiguous()?;
        let mut first = 0;
        for span in packing.spans() {
            cache.slice_set(&part.narrow(0, first, span.count)?, 0, span.slot * layer.capacity + span.cached)?;
            first += span.count;
        }
    }
    Ok(())
}

/// Queries of `joint` to the mean of the values that they attend to, `[tokens, queries]`, without gradients.
///
/// # Errors
/// Shapes do not agree.
pub fn attend(joint: &Tensor, layer: &CacheLayer, packing: &Packing, heads: Heads) -> crate::Result<Tensor> {
    if on_cpu(joint) && joint.is_contiguous() {
        let capacity = layer.capacity;
        return Ok(joint.apply_op3_no_bwd(&layer.keys, &layer.values, &Attend { packing, heads, capacity })?);
    }
    #[cfg(feature = "cuda")]
    {
        let (head, width) = (layer.keys.dim(1)? / heads.keys, layer.keys.dim(1)?);
        // What the tiles tell of a token is how many it sees.
        let plain = packing.is_plain(heads.window);
        if plain && super::attends(joint, head, &[width, joint.dim(1)?]) && joint.is_contiguous() {
            return Ok(cuda::attend_cached(joint, layer, packing, heads)?);
        }
    }
    let seen = packing.seen(heads.window);
    let mut first = 0;
    let mixed = packing.spans().iter().map(|span| {
        let part = joint.narrow(0, first, span.count)?;
        let seen = &seen[first..][..span.count];
        first += span.count;
        attend_one(&part, layer, *span, seen, heads)
    });
    Ok(Tensor::cat(&mixed.collect::<crate::Result<Vec<_>>>()?, 0)?)
}

/// The same for one sequence, in operations of candle.
fn attend_one(
    joint: &Tensor,
    layer: &CacheLayer,
    span: Span,
    seen: &[Vec<Range<usize>>],
    heads: Heads,
) -> crate::Result<Tensor> {
    let (head, length) = (layer.keys.dim(1)? / heads.keys, length(seen));
    let (groups, each) = (heads.keys, heads.queries / heads.keys);
    let query = joint.narrow(1, 0, heads.queries * head)?.reshape((span.count, groups, each, head))?;
    let query = query.permute((1, 2, 0, 3))?.reshape((groups, each * span.count, head))?;
    let part = |cache: &Tensor| {
        let rows = cache.narrow(0, span.slot * layer.capacity, length)?;
        rows.reshape((length, groups, head))?.transpose(0, 1)?.contiguous()
    };
    let scores = (query * heads.scale)?.matmul(&part(&layer.keys)?.transpose(1, 2)?)?;
    let all = |seen: &Vec<Range<usize>>| seen.len() == 1 && seen[0] == (0..length);
    let scores = match seen.iter().all(all) {
        true => scores,
        false => {
            let mask = mask(seen, length, scores.dtype(), scores.device())?;
            let scores = scores.reshape((groups, each, span.count, length))?.broadcast_add(&mask)?;
            scores.reshape((groups, each * span.count, length))?
        }
    };
    let mixed = softmax(&scores)?.matmul(&part(&layer.values)?)?;
    let mixed = mixed.reshape((groups, each, span.count, head))?.permute((2, 0, 1, 3))?;
    Ok(mixed.reshape((span.count, heads.queries * head))?)
}

fn mask(seen: &[Vec<Range<usize>>], length: usize, dtype: DType, device: &Device) -> Result<Tensor> {
    let mut mask = vec![f32::NEG_INFINITY; seen.len() * length];
    for (row, seen) in mask.chunks_exact_mut(length.max(1)).zip(seen) {
        seen.iter().for_each(|seen| row[seen.clone()].fill(0.0));
    }
    Tensor::from_vec(mask, (seen.len(), length), device)?.to_dtype(dtype)
}

/// How many tokens of their sequence rows need.
fn length(seen: &[Vec<Range<usize>>]) -> usize {
    seen.iter().flatten().map(|seen| seen.end).max().unwrap_or(0)
}

struct Attend<'a> {
    packing: &'a Packing,
    heads: Heads,
    capacity: usize,
}

/// Some tokens of one sequence and one head of keys.
struct Tile<'a> {
    /// Rows of `joint`, from the first query of the head on.
    queries: &'a [f32],
    joint: usize,
    /// Keys and values of the sequence, from the head on.
    keys: &'a [f32],
    values: &'a [f32],
    /// Length of a row of the cache.
    width: usize,
    head: usize,
    /// Heads of queries that share the head of keys.
    each: usize,
    scale: f32,
    /// The tokens that each row sees.
    seen: &'a [Vec<Range<usize>>],
    /// Index of the first row among all tokens, and of the first head of queries.
    place: (usize, usize),
}

impl CustomOp3 for Attend<'_> {
    fn name(&self) -> &'static str {
        "attention to a cache"
    }

    fn cpu_fwd(
        &self,
        joint: &CpuStorage,
        joint_layout: &Layout,
        keys: &CpuStorage,
        keys_layout: &Layout,
        all_values: &CpuStorage,
        values_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (tokens, row) = joint_layout.shape().dims2()?;
        let (_, width) = keys_layout.shape().dims2()?;
        let joint = values(joint, joint_layout)?;
        let (keys, values) = (values(keys, keys_layout)?, values(all_values, values_layout)?);
        let Heads { queries, keys: groups, scale, window } = self.heads;
        let (head, each) = (width / groups, queries / groups);
        let seen = self.packing.seen(window);
        let mut tiles = Vec::new();
        let mut first = 0;
        for span in self.packing.spans() {
            let step = (TILE / each).max(1);
            for start in (0..span.count).step_by(step) {
                let seen = &seen[first..][start..span.count.min(start + step)];
                let sequence = span.slot * self.capacity * width;
                tiles.extend((0..groups).map(|group| Tile {
                    queries: &joint[(first + start) * row + group * each * head..],
                    joint: row,
                    keys: &keys[sequence + group * head..],
                    values: &values[sequence + group * head..],
                    width,
                    head,
                    each,
                    scale: scale as f32,
                    seen,
                    place: (first + start, group * each),
                }));
            }
            first += span.count;
        }
        let arch = Arch::new();
        let done: Vec<Vec<f32>> = tiles.par_iter().map(|tile| arch.dispatch(tile)).collect();
        let mut mixed = vec![0.0; tokens * queries * head];
        for (tile, rows) in tiles.iter().zip(&done) {
            let (first, start) = tile.place;
            for (n, from) in rows.chunks_exact(head).enumerate() {
                let (token, query) = (first + n % tile.seen.len(), start + n / tile.seen.len());
                mixed[(token * queries + query) * head..][..head].copy_from_slice(from);
            }
        }
        Ok((CpuStorage::F32(mixed), (tokens, queries * head).into()))
    }
}

impl WithSimd for &Tile<'_> {
    type Output = Vec<f32>;

    /// `[each, rows, head]`.
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> Vec<f32> {
        let length = length(self.seen);
        let mut mixed = vec![0.0; self.each * self.seen.len() * self.head];
        if self.each * self.seen.len() < FEW {
            self.directly(simd, length, &mut mixed);
        } else {
            self.by_panels(simd, length, &mut mixed);
        }
        mixed
    }
}

impl Tile<'_> {
    #[inline(always)]
    fn by_panels<S: Simd>(&self, simd: S, length: usize, mixed: &mut [f32]) {
        let (mut keys, mut values) = (Panels::new(self.head, length), Panels::new(length, self.head));
        for token in 0..length {
            keys.set_column(token, &self.keys[token * self.width..][..self.head]);
            values.set_row(token, &self.values[token * self.width..][..self.head]);
        }
        let row = keys.row();
        let mut scores = vec![0.0; self.seen.len() * row];
        for (query, mixed) in mixed.chunks_exact_mut(self.seen.len() * self.head).enumerate() {
            keys.times(simd, &self.queries[query * self.head..], self.joint, &mut scores, row, self.scale);
            let sums: Vec<f32> = scores
                .chunks_exact_mut(row)
                .zip(self.seen)
                .map(|(row, seen)| {
                    let whole = hide(row, seen);
                    row[..whole.start].fill(0.0);
                    row[whole.end..].fill(0.0);
                    exponentials(&mut row[whole])
                })
                .collect();
            values.times(simd, &scores, row, mixed, self.head, 1.0);
            for (row, sum) in mixed.chunks_exact_mut(self.head).zip(sums) {
                row.iter_mut().for_each(|x| *x /= sum);
            }
        }
    }

    #[inline(always)]
    fn directly<S: Simd>(&self, simd: S, length: usize, mixed: &mut [f32]) {
        let mut scores = vec![0.0; length];
        for (n, to) in mixed.chunks_exact_mut(self.head).enumerate() {
            let (query, row) = (n / self.seen.len(), n % self.seen.len());
            let seen = &self.seen[row];
            let query = &self.queries[row * self.joint + query * self.head..][..self.head];
            for token in seen.iter().cloned().flatten() {
                scores[token] = self.scale * dot(simd, query, &self.keys[token * self.width..][..self.head]);
            }
            let whole = hide(&mut scores, seen);
            let sum = exponentials(&mut scores[whole]);
            for token in seen.iter().cloned().flatten() {
                let (weight, value) = (scores[token], &self.values[token * self.width..][..self.head]);
                to.iter_mut().zip(value).for_each(|(to, value)| *to += weight * value);
            }
            to.iter_mut().for_each(|x| *x /= sum);
        }
    }
}

/// Sets scores between ranges to what has no weight; returns the range from the first of them to the last.
#[inline(always)]
fn hide(scores: &mut [f32], seen: &[Range<usize>]) -> Range<usize> {
    seen.windows(2).for_each(|pair| scores[pair[0].end..pair[1].start].fill(f32::NEG_INFINITY));
    seen.first().map_or(0, |seen| seen.start)..seen.last().map_or(0, |seen| seen.end)
}

#[inline(always)]
fn dot<S: Simd>(simd: S, a: &[f32], b: &[f32]) -> f32 {
    let ((a, a_rest), (b, b_rest)) = (S::as_simd_f32s(a), S::as_simd_f32s(b));
    let sum = a.iter().zip(b).fold(simd.splat_f32s(0.0), |sum, (a, b)| simd.mul_add_f32s(*a, *b, sum));
    simd.reduce_sum_f32s(sum) + a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum::<f32>()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decoder::Together;

    fn layer(rows: usize, width: usize, capacity: usize) -> CacheLayer {
        let normal = || Tensor::randn(0f32, 1.0, (rows, width), &Device::Cpu).unwrap();
        CacheLayer { keys: normal(), values: normal(), capacity }
    }

    fn wide(tensor: &Tensor) -> Tensor {
        tensor.to_dtype(DType::F64).unwrap()
    }

    #[test]
    fn equals_the_operations_of_candle() {
        let spans = vec![
            Span { slot: 2, cached: 5, count: 40 },
            Span { slot: 0, cached: 69, count: 1 },
            Span { slot: 1, cached: 0, count: 3 },
        ];
        let together = Together { blocks: vec![3..9, 11..12, 30..34], reach: 6 };
        let packing = Packing::new(spans).seeing_each_other(0, together);
        for (queries, keys, head, window) in [(4, 4, 8, None), (6, 2, 5, None), (6, 3, 16, Some(7))] {
            let layer = layer(3 * 70, keys * head, 70);
            let joint = Tensor::randn(0f32, 1.0, (44, (queries + 2 * keys) * head), &Device::Cpu).unwrap();
            let heads = Heads { queries, keys, scale: 0.3, window };
            append(&layer, &joint, &packing).unwrap();
            let fused = attend(&joint, &layer, &packing, heads).unwrap();
            let exact = CacheLayer { keys: wide(&layer.keys), values: wide(&layer.values), capacity: 70 };
            let exact = attend(&wide(&joint), &exact, &packing, heads).unwrap();
            let difference = (wide(&fused) - exact).unwrap().abs().unwrap().max_all().unwrap();
            assert!(difference.to_scalar::<f64>().unwrap() < 2e-5, "{queries} and {keys}: {difference}");
        }
    }

    #[test]
    fn what_is_appended_lies_behind_what_is_cached() {
        let layer = layer(2 * 4, 2, 4);
        let before = layer.keys.to_vec2::<f32>().unwrap();
        let joint = Tensor::arange(0f32, 12.0, &Device::Cpu).unwrap().reshape((2, 6)).unwrap();
        append(&layer, &joint, &Packing::new(vec![Span { slot: 1, cached: 1, count: 2 }])).unwrap();
        let after = layer.keys.to_vec2::<f32>().unwrap();
        assert_eq!((&after[5], &after[6]), (&vec![2.0, 3.0], &vec![8.0, 9.0]));
        assert_eq!((&after[..5], &after[7..]), (&before[..5], &before[7..]));
        assert_eq!(layer.values.to_vec2::<f32>().unwrap()[6], [10.0, 11.0]);
    }
}
