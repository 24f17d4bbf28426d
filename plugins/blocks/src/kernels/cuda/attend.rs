//! Attention on tensor cores.
#![allow(unsafe_code, reason = "a launch trusts the shapes that it is given; its callers have checked them")]

use std::ops::Deref;

use candle_core::{
    CudaDevice, CudaStorage, DType, Error, Layout, Result, Storage, Tensor,
    backend::BackendStorage,
    cuda_backend::{
        WrapErr,
        cudarc::driver::{CudaSlice, CudaView, PushKernelArg},
    },
};
use half::{bf16, f16};

use super::{Kernel, Number, Tiles, blocks, by_format, compiled, view};

/// Rows of queries in a tile.
pub const ROWS: usize = 128;
const LOG2_E: f32 = std::f32::consts::LOG2_E;

/// Rows of queries, and what they attend to: each a storage with the place of its first value and the length of a row.
pub struct Attention<'a> {
    /// Rows of queries.
    pub queries: Rows<'a>,
    /// Rows of keys.
    pub keys: Rows<'a>,
    /// Rows of values.
    pub values: Rows<'a>,
    /// Size of a head.
    pub head: usize,
    /// Heads of queries.
    pub heads: usize,
    /// Heads of queries that share a head of keys.
    pub each: usize,
    /// Factor of the scores.
    pub scale: f64,
    /// Tokens that a token sees at most.
    pub window: Option<usize>,
}

impl<'a> Rows<'a> {
    fn view<T: Number>(&self) -> Result<CudaView<'a, T>> {
        let all = self.storage.as_cuda_slice::<T>()?;
        Ok(all.slice(self.start..all.len()))
    }
}

/// Rows in a storage.
#[derive(Clone, Copy)]
pub struct Rows<'a> {
    /// Where they lie.
    pub storage: &'a CudaStorage,
    /// Index of the first value.
    pub start: usize,
    /// Values from one row to the next.
    pub stride: usize,
}

/// Attention within each of `batch` sequences of `tokens` rows, all of which see each other: `[batch * tokens, heads *
/// head]`.
pub fn attend_all(attention: &Attention<'_>, batch: usize, tokens: usize) -> Result<CudaStorage> {
    fn run<T: Number>(a: &Attention<'_>, batch: usize, tokens: usize) -> Result<CudaStorage> {
        let device = a.queries.storage.device().clone();
        // SAFETY: the kernel writes every value.
        let mut out = unsafe { device.alloc::<T>(batch * tokens * a.heads * a.head)? };
        let grid = (batch * tokens.div_ceil(ROWS), a.heads);
        launch::<T>(&device, a, &mut out, None, None, tokens, grid)?;
        Ok(CudaStorage::wrap_cuda_slice(out, device))
    }
    by_format!(attention.queries.storage, run(attention, batch, tokens))
}

/// Attention of packed tokens: `[tokens, heads * head]`.
pub fn attend_tiles(attention: &Attention<'_>, tiles: &Tiles, tokens: usize) -> Result<CudaStorage> {
    fn run<T: Number>(a: &Attention<'_>, tiles: &Tiles, tokens: usize) -> Result<CudaStorage> {
        let device = a.queries.storage.device().clone();
        // SAFETY: the tiles cover every token, so that every value is written.
        let mut out = unsafe { device.alloc::<T>(tokens * a.heads * a.head)? };
        if let Some(many) = &tiles.many {
            let grid = (many.dim(0)?, a.heads);
            launch::<T>(&device, a, &mut out, Some(many), Some(&tiles.visible), 0, grid)?;
        }
        if let Some(one) = &tiles.one {
            launch::<T>(&device, a, &mut out, Some(one), None, 0, (one.dim(0)?, a.heads))?;
        }
        Ok(CudaStorage::wrap_cuda_slice(out, device))
    }
    by_format!(attention.queries.storage, run(attention, tiles, tokens))
}

/// One launch; tiles without `visible` are of one row each, no tiles are sequences of `tokens` rows.
fn launch<T: Number>(
    device: &CudaDevice,
    a: &Attention<'_>,
    out: &mut CudaSlice<T>,
    tiles: Option<&Tensor>,
    visible: Option<&Tensor>,
    tokens: usize,
    grid: (usize, usize),
) -> Result<()> {
    let single = tiles.is_some() && visible.is_none();
    let (name, threads) = match (single, [64, 80, 96, 128].into_iter().find(|&padded| a.head <= padded)) {
        (true, _) => (format!("attend_one_{}", T::NAME), 128),
        // Of small heads, a warp takes twice as many rows.
        (false, Some(padded)) => (format!("attend_{}_{padded}", T::NAME), if padded == 64 { 128 } else { 256 }),
        (false, None) => return Err(Error::msg("no kernel takes such heads")),
    };
    let function = Kernel::new(device, &name, "attend", compiled::ATTEND)?;
    let (queries, keys, values) = (a.queries.view::<T>()?, a.keys.view::<T>()?, a.values.view::<T>()?);
    let (tiles, visible) = (tiles.map(Tensor::storage_and_layout), visible.map(Tensor::storage_and_layout));
    let (tiles, visible) = (words(tiles.as_ref())?, words(visible.as_ref())?);
    let none = 0u64;
    let (q_stride, kv_stride, out_stride) = (a.queries.stride as i32, a.keys.stride as i32, (a.heads * a.head) as i32);
    let (head, each, scale) = (a.head as i32, a.each as i32, a.scale as f32 * LOG2_E);
    let (window, tokens) = (a.window.unwrap_or(0) as i32, tokens as i32);
    let mut builder = function.builder();
    builder.arg(&queries).arg(&keys).arg(&values).arg(out);
    match &tiles {
        Some(tiles) => builder.arg(tiles),
        None => builder.arg(&none),
    };
    if !single {
        match &visible {
            Some(visible) => builder.arg(visible),
            None => builder.arg(&none),
        };
    }
    builder.arg(&q_stride).arg(&kv_stride).arg(&out_stride).arg(&head).arg(&each).arg(&scale).arg(&window);
    if !single {
        builder.arg(&tokens);
    }
    // SAFETY: the tiles name rows of the queries, and rows of the cache that hold what was added to it; strides and heads
    // are those of the storages, and starts are whole vectors, which `kernels::attends` checks.
    unsafe { builder.launch(blocks(grid, threads)) }.w().map(|_| ())
}

/// A table that lies on the device.
fn words<'a, G: Deref<Target = Storage>>(table: Option<&'a (G, &Layout)>) -> Result<Option<CudaView<'a, u32>>> {
    match table.map(|(storage, layout)| (&**storage, *layout)) {
        Some((Storage::Cuda(storage), layout)) => view::<u32>((storage, layout)).map(Some),
        Some(_) => Err(Error::msg("a packing lies on another device")),
        None => Ok(None),
    }
}
