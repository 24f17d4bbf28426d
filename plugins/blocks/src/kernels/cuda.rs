//! The kernels on CUDA: what `cuda/*.cu` compute, launched on storages of candle.
#![allow(unsafe_code, reason = "a launch trusts the shapes that it is given; each function checks them first")]

use std::sync::Arc;

use candle_core::{
    CudaDevice, CudaStorage, DType, Error, Layout, Result,
    backend::BackendStorage,
    cuda_backend::{
        CudaDType, WrapErr,
        cudarc::driver::{CudaFunction, CudaStream, CudaView, DeviceRepr, LaunchArgs, LaunchConfig, PushKernelArg},
    },
};
use half::{bf16, f16};

use crate::layers::Activation;
pub use attend::{Attention, Rows, attend_all};
pub use cached::{append_rows, attend_cached};
pub use tiles::Tiles;

mod attend;
mod cached;
#[cfg(test)]
mod tests;
mod tiles;

#[allow(missing_docs, reason = "written by the build script")]
mod compiled {
    include!(concat!(env!("OUT_DIR"), "/cuda.rs"));
}

/// Bytes of the widest row that [`norm`] takes.
pub const WIDEST: usize = 128 * 8 * 16;

/// A number format that the kernels know, and its name there.
trait Number: CudaDType + DeviceRepr {
    const NAME: &'static str;
}

impl Number for f32 {
    const NAME: &'static str = "f32";
}

impl Number for f16 {
    const NAME: &'static str = "f16";
}

impl Number for bf16 {
    const NAME: &'static str = "bf16";
}

/// Calls a function that is generic over [`Number`] for the format of a storage.
macro_rules! by_format {
    ($storage:expr, $function:ident($($argument:expr),* $(,)?)) => {
        match $storage.dtype() {
            DType::F32 => $function::<f32>($($argument),*),
            DType::F16 => $function::<f16>($($argument),*),
            DType::BF16 => $function::<bf16>($($argument),*),
            other => Err(Error::msg(format!("no kernel computes in {other:?}"))),
        }
    };
}
use by_format;

/// `activation(product + bias) + residual` in place; bias `[width]`.
pub fn finish(
    product: (&mut CudaStorage, &Layout),
    bias: Option<(&CudaStorage, &Layout)>,
    residual: Option<(&CudaStorage, &Layout)>,
    width: usize,
    activation: Option<Activation>,
) -> Result<()> {
    fn run<T: Number>(
        (product, layout): (&mut CudaStorage, &Layout),
        bias: Option<(&CudaStorage, &Layout)>,
        residual: Option<(&CudaStorage, &Layout)>,
        width: usize,
        activation: Option<Activation>,
    ) -> Result<()> {
        let device = product.device().clone();
        let (start, end) = range(layout)?;
        let same = |other: Option<(&CudaStorage, &Layout)>, length: usize| {
            other.is_none_or(|(_, layout)| layout.shape().elem_count() == length)
        };
        if !same(bias, width) || !same(residual, end - start) || !aligned::<T>(&[width, start]) {
            return Err(Error::msg("what follows a product does not fit it"));
        }
        let [bias, residual] = [bias, residual].map(|other| other.map(|other| view::<T>(other)).transpose());
        let (bias, residual) = (bias?, residual?);
        let vectors = count((end - start) * size_of::<T>() / 16)?;
        let activation = match activation {
            None => 0i32,
            Some(Activation::QuickGelu) => 1,
            Some(Activation::Gelu) => 2,
            Some(Activation::GeluTanh) => 3,
            Some(Activation::Relu) => 4,
        };
        let function = function::<T>(&device, "finish")?;
        let mut product = product.as_cuda_slice_mut::<T>()?.slice_mut(start..end);
        let (none, width) = (0u64, width as u32);
        let mut builder = function.builder();
        builder.arg(&mut product);
        match &bias {
            Some(bias) => builder.arg(bias),
            None => builder.arg(&none),
        };
        match &residual {
            Some(residual) => builder.arg(residual),
            None => builder.arg(&none),
        };
        builder.arg(&width).arg(&vectors).arg(&activation);
        // SAFETY: product and residual have `vectors` whole vectors, the bias `width` values, as was checked.
        unsafe { builder.launch(spread(vectors as usize)) }.w().map(|_| ())
    }
    by_format!(product.0, run(product, bias, residual, width, activation))
}

/// `x w^T` of at most four rows `[.., inputs]` and a weight `[outputs, inputs]`.
pub fn few_rows(x: (&CudaStorage, &Layout), weight: (&CudaStorage, &Layout)) -> Result<CudaStorage> {
    fn run<T: Number>(x: (&CudaStorage, &Layout), weight: (&CudaStorage, &Layout)) -> Result<CudaStorage> {
        let device = x.0.device().clone();
        let (outputs, inputs) = weight.1.shape().dims2()?;
        let starts = [inputs, x.1.start_offset(), weight.1.start_offset()];
        let (x, weight) = (view::<T>(x)?, view::<T>(weight)?);
        let rows = x.len() / inputs.max(1);
        if rows * inputs != x.len() || rows > 4 || !aligned::<T>(&starts) {
            return Err(Error::msg("these are not few rows"));
        }
        // SAFETY: the kernel writes every value.
        let mut to = unsafe { device.alloc::<T>(rows * outputs)? };
        let function = function::<T>(&device, "few_rows")?;
        let (wide, high, count) = (inputs as u32, outputs as u32, rows as i32);
        let mut builder = function.builder();
        builder.arg(&x).arg(&weight).arg(&mut to).arg(&wide).arg(&high).arg(&count);
        // SAFETY: `x` has `rows` rows and the weight `outputs` rows of `inputs` values, as was checked.
        unsafe { builder.launch(blocks((outputs.div_ceil(4), 1), 128)) }.w()?;
        Ok(CudaStorage::wrap_cuda_slice(to, device))
    }
    by_format!(x.0, run(x, weight))
}

/// `silu(gate) * up` of rows of both, `[tokens, 2 * width]`.
pub fn gate(joint: (&CudaStorage, &Layout), tokens: usize, width: usize) -> Result<CudaStorage> {
    fn run<T: Number>(joint: (&CudaStorage, &Layout), tokens: usize, width: usize) -> Result<CudaStorage> {
        let device = joint.0.device().clone();
        let from = view::<T>(joint)?;
        if from.len() != 2 * tokens * width || !aligned::<T>(&[width, joint.1.start_offset()]) {
            return Err(Error::msg("a gate has another shape"));
        }
        // SAFETY: the kernel writes every value.
        let mut to = unsafe { device.alloc::<T>(tokens * width)? };
        let vectors = count(tokens * width * size_of::<T>() / 16)?;
        let function = function::<T>(&device, "gate")?;
        let width = width as u32;
        let mut builder = function.builder();
        builder.arg(&from).arg(&mut to).arg(&width).arg(&vectors);
        // SAFETY: `joint` has twice as many vectors and `to` as many, as was checked.
        unsafe { builder.launch(spread(vectors as usize)) }.w()?;
        Ok(CudaStorage::wrap_cuda_slice(to, device))
    }
    by_format!(joint.0, run(joint, tokens, width))
}

/// Rows of `x`, `[.., width]`, divided by their deviation, times `weight`, plus `bias`; without a bias, by the root of
/// their mean square, and not centred.
pub fn norm(
    x: (&CudaStorage, &Layout),
    weight: (&CudaStorage, &Layout),
    bias: Option<(&CudaStorage, &Layout)>,
    eps: f32,
) -> Result<CudaStorage> {
    fn run<T: Number>(
        x: (&CudaStorage, &Layout),
        weight: (&CudaStorage, &Layout),
        bias: Option<(&CudaStorage, &Layout)>,
        eps: f32,
    ) -> Result<CudaStorage> {
        let device = x.0.device().clone();
        let (x, start, weight) = (view::<T>(x)?, x.1.start_offset(), view::<T>(weight)?);
        let bias = bias.map(view::<T>).transpose()?;
        let width = weight.len();
        let rows = x.len() / width.max(1);
        let whole = width > 0 && rows * width == x.len() && bias.as_ref().is_none_or(|bias| bias.len() == width);
        if !whole || !aligned::<T>(&[width, start]) || width * size_of::<T>() > WIDEST {
            return Err(Error::msg("a norm has another width"));
        }
        // SAFETY: the kernel writes every value.
        let mut to = unsafe { device.alloc::<T>(rows * width)? };
        let function = function::<T>(&device, "norm")?;
        let (none, wide) = (0u64, width as u32);
        let mut builder = function.builder();
        builder.arg(&x).arg(&mut to).arg(&weight);
        match &bias {
            Some(bias) => builder.arg(bias),
            None => builder.arg(&none),
        };
        builder.arg(&wide).arg(&eps);
        // SAFETY: each block takes one of `rows` rows of `width` values, as was checked.
        unsafe { builder.launch(blocks((rows, 1), 128)) }.w()?;
        Ok(CudaStorage::wrap_cuda_slice(to, device))
    }
    by_format!(x.0, run(x, weight, bias, eps))
}

/// Turns the first `heads` heads of each row of `joint`, `[tokens, row]`, in place.
pub fn rotate(
    joint: (&mut CudaStorage, &Layout),
    cos: (&CudaStorage, &Layout),
    sin: (&CudaStorage, &Layout),
    heads: usize,
) -> Result<()> {
    fn run<T: Number>(
        (joint, layout): (&mut CudaStorage, &Layout),
        cos: (&CudaStorage, &Layout),
        sin: (&CudaStorage, &Layout),
        heads: usize,
    ) -> Result<()> {
        let device = joint.device().clone();
        let ((tokens, row), (rows, half)) = (layout.shape().dims2()?, cos.1.shape().dims2()?);
        let (start, end) = range(layout)?;
        let (cos, sin) = (view::<f32>(cos)?, view::<f32>(sin)?);
        if rows != tokens || sin.len() != cos.len() || 2 * half * heads > row {
            return Err(Error::msg("queries and keys cannot be turned by these angles"));
        }
        let function = function::<T>(&device, "rotate")?;
        let mut joint = joint.as_cuda_slice_mut::<T>()?.slice_mut(start..end);
        let (heads, half, row) = (heads as i32, half as i32, row as i32);
        let mut builder = function.builder();
        builder.arg(&mut joint).arg(&cos).arg(&sin).arg(&heads).arg(&half).arg(&row);
        // SAFETY: there are as many rows of angles as of `joint`, and the heads lie within a row, as was checked.
        unsafe { builder.launch(blocks((tokens, 1), 128)) }.w().map(|_| ())
    }
    by_format!(joint.0, run(joint, cos, sin, heads))
}

/// Copies columns from `start` on of each row of `joint` to the row of `cache` that `places` names.
pub fn append(
    cache: (&mut CudaStorage, &Layout),
    joint: (&CudaStorage, &Layout),
    places: (&CudaStorage, &Layout),
    start: usize,
) -> Result<()> {
    fn run<T: Number>(
        (cache, layout): (&mut CudaStorage, &Layout),
        joint: (&CudaStorage, &Layout),
        places: (&CudaStorage, &Layout),
        start: usize,
    ) -> Result<()> {
        let device = cache.device().clone();
        let ((tokens, row), (_, width)) = (joint.1.shape().dims2()?, layout.shape().dims2()?);
        let (first, end) = range(layout)?;
        let (joint, places) = (view::<T>(joint)?, view::<u32>(places)?);
        if places.len() != tokens || start + width > row {
            return Err(Error::msg("rows cannot be added to this cache"));
        }
        let function = function::<T>(&device, "append")?;
        let mut cache = cache.as_cuda_slice_mut::<T>()?.slice_mut(first..end);
        let (row, start, width) = (row as i32, start as i32, width as i32);
        let mut builder = function.builder();
        builder.arg(&mut cache).arg(&joint).arg(&places).arg(&row).arg(&start).arg(&width);
        // SAFETY: columns lie within a row; the places lie within the cache, which `Cache::append` checks.
        unsafe { builder.launch(blocks((tokens, 1), 128)) }.w().map(|_| ())
    }
    by_format!(joint.0, run(cache, joint, places, start))
}

/// A kernel, and the stream that it is launched on.
struct Kernel {
    function: CudaFunction,
    stream: Arc<CudaStream>,
}

impl Kernel {
    fn new(device: &CudaDevice, name: &str, module: &str, ptx: &str) -> Result<Self> {
        let function = device.get_or_load_custom_func(name, module, ptx)?.into_cuda_function();
        Ok(Self { function, stream: device.cuda_stream() })
    }

    fn builder(&self) -> LaunchArgs<'_> {
        self.stream.launch_builder(&self.function)
    }
}

fn function<T: Number>(device: &CudaDevice, name: &str) -> Result<Kernel> {
    Kernel::new(device, &format!("{name}_{}", T::NAME), "rows", compiled::ROWS)
}

/// Whether widths are whole vectors of 16 bytes.
fn aligned<T>(widths: &[usize]) -> bool {
    widths.iter().all(|width| (width * size_of::<T>()).is_multiple_of(16))
}

fn count(vectors: usize) -> Result<u32> {
    u32::try_from(vectors).map_err(|_| Error::msg("a tensor is too large for this kernel"))
}

fn range(layout: &Layout) -> Result<(usize, usize)> {
    layout.contiguous_offsets().ok_or_else(|| Error::msg("a kernel takes contiguous tensors only"))
}

fn view<'a, T: CudaDType>((storage, layout): (&'a CudaStorage, &Layout)) -> Result<CudaView<'a, T>> {
    let (start, end) = range(layout)?;
    Ok(storage.as_cuda_slice::<T>()?.slice(start..end))
}

fn blocks((x, y): (usize, usize), threads: u32) -> LaunchConfig {
    LaunchConfig { grid_dim: (x as u32, y as u32, 1), block_dim: (threads, 1, 1), shared_mem_bytes: 0 }
}

/// One thread a vector, but no more blocks than are useful.
fn spread(vectors: usize) -> LaunchConfig {
    let grid = vectors.div_ceil(256).clamp(1, 1 << 15) as u32;
    LaunchConfig { grid_dim: (grid, 1, 1), block_dim: (256, 1, 1), shared_mem_bytes: 0 }
}
