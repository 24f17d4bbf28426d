//! Attention to a cache, as operations of candle.

use candle_core::{CpuStorage, CudaStorage, CustomOp3, InplaceOp3, Layout, Result, Shape, Tensor};

use super::{Attention, Rows, Tiles, append, attend::attend_tiles};
use crate::{
    decoder::{CacheLayer, Packing},
    kernels::Heads,
};

/// Writes keys and values, which follow `queries` columns of `joint`, to the cache.
pub fn append_rows(layer: &CacheLayer, joint: &Tensor, packing: &Packing, queries: usize) -> Result<()> {
    let places = &packing.tiles(layer.capacity, joint.device())?.places;
    layer.keys.inplace_op3(joint, places, &Append { start: queries })?;
    layer.values.inplace_op3(joint, places, &Append { start: queries + layer.keys.dim(1)? })
}

/// Queries of `joint` to the mean of the values that they attend to.
pub fn attend_cached(joint: &Tensor, layer: &CacheLayer, packing: &Packing, heads: Heads) -> Result<Tensor> {
    let tiles = packing.tiles(layer.capacity, joint.device())?;
    joint.apply_op3_no_bwd(&layer.keys, &layer.values, &AttendTiles { tiles, heads })
}

struct Append {
    /// Column of the keys, or of the values.
    start: usize,
}

struct AttendTiles<'a> {
    tiles: &'a Tiles,
    heads: Heads,
}

impl InplaceOp3 for Append {
    fn name(&self) -> &'static str {
        "append to a cache"
    }

    fn cpu_fwd(
        &self,
        _: &mut CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
    ) -> Result<()> {
        Err(candle_core::Error::msg("this kernel is for CUDA"))
    }

    fn cuda_fwd(
        &self,
        cache: &mut CudaStorage,
        cache_layout: &Layout,
        joint: &CudaStorage,
        joint_layout: &Layout,
        places: &CudaStorage,
        places_layout: &Layout,
    ) -> Result<()> {
        append((cache, cache_layout), (joint, joint_layout), (places, places_layout), self.start)
    }
}

impl CustomOp3 for AttendTiles<'_> {
    fn name(&self) -> &'static str {
        "attention to a cache"
    }

    fn cpu_fwd(
        &self,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        Err(candle_core::Error::msg("this kernel is for CUDA"))
    }

    fn cuda_fwd(
        &self,
        joint: &CudaStorage,
        joint_layout: &Layout,
        keys: &CudaStorage,
        keys_layout: &Layout,
        values: &CudaStorage,
        values_layout: &Layout,
    ) -> Result<(CudaStorage, Shape)> {
        let ((tokens, row), (_, width)) = (joint_layout.shape().dims2()?, keys_layout.shape().dims2()?);
        let Heads { queries, keys: groups, scale, window } = self.heads;
        let head = width / groups;
        let cached = |storage, layout: &Layout| Rows { storage, start: layout.start_offset(), stride: width };
        let attention = Attention {
            queries: Rows { storage: joint, start: joint_layout.start_offset(), stride: row },
            keys: cached(keys, keys_layout),
            values: cached(values, values_layout),
            head,
            heads: queries,
            each: queries / groups,
            scale,
            window,
        };
        Ok((attend_tiles(&attention, self.tiles, tokens)?, (tokens, queries * head).into()))
    }
}
