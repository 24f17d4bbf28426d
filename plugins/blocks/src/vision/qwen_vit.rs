//! The vision transformers of Qwen2-VL (Wang et al. 2024) and Qwen2.5-VL (Bai et al. 2025), which take images of any size
//! as they are; reference `Qwen2VisionTransformerPretrainedModel` and `Qwen2_5_VisionTransformerPretrainedModel` of
//! `transformers`, 4.53.1.
//!
//! The patches of all images lie one after the other. An image is a sequence of its own, and so is a window of one.

mod layer;
mod order;

use candle_core::{DType, Device, Tensor};
use candle_nn::Linear;

use crate::{
    Error, Result, kernels,
    layers::{Activation, linear},
    weights::{Init, Weights},
};
use layer::{AnyNorm, Layer};
use order::Order;

/// Added to variances and mean squares.
const EPS: f64 = 1e-6;
/// Standard deviation of fresh weights.
const STD: f64 = 0.02;

/// Dimensions and choices of a [`QwenVit`].
#[derive(Debug, Clone, PartialEq)]
pub struct QwenVitConfig {
    /// Width of a token.
    pub width: usize,
    /// Number of layers.
    pub depth: usize,
    /// Number of attention heads.
    pub heads: usize,
    /// Width of the hidden layer of the MLP.
    pub mlp: usize,
    /// Which norms and which MLP a layer has.
    pub style: QwenStyle,
    /// Colour channels.
    pub channels: usize,
    /// Frames that make up one patch.
    pub frames: usize,
    /// Side of a square patch, in pixels.
    pub patch: usize,
    /// Side of the square of patches that become one vector.
    pub merge: usize,
    /// Width of the vectors.
    pub output: usize,
    /// Windows that most layers see only; without, all patches of an image see each other everywhere.
    pub windows: Option<QwenWindows>,
}

/// Which norms and which MLP a layer has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QwenStyle {
    /// Layer norms, and an MLP of two layers, as in Qwen2-VL.
    Plain(Activation),
    /// Norms by root mean square, and a gated MLP with biases, as in Qwen2.5-VL.
    Gated,
}

/// Squares that cover an image from its upper left corner on; those at the right and lower edge may be cut.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QwenWindows {
    /// Side, in vectors.
    pub side: usize,
    /// Layers in which all patches of an image see each other.
    pub full: Vec<usize>,
}

/// Patches of an image: rows and columns, both multiples of [`QwenVitConfig::merge`].
pub type Grid = [usize; 2];

/// A vision transformer, for inference.
pub struct QwenVit {
    config: QwenVitConfig,
    patch: Linear,
    layers: Vec<Layer>,
    norm: AnyNorm,
    /// The layers of the merger.
    merger: [Linear; 2],
}

impl QwenVitConfig {
    /// Values of a patch: channels, frames, rows and columns.
    pub fn patch_values(&self) -> usize {
        self.channels * self.frames * self.patch.pow(2)
    }

    fn check(&self) -> Result<()> {
        let Self { width, heads, merge, .. } = *self;
        // Half of the angles follow the row, half the column.
        if heads == 0 || !width.is_multiple_of(heads) || !(width / heads).is_multiple_of(4) {
            let reason =
                format!("a width of {width} cannot be divided among {heads} attention heads of a multiple of 4");
            return Err(Error::Setting(reason));
        }
        match &self.windows {
            Some(QwenWindows { side: 0, .. }) => Err(Error::Setting("a window has no room for a vector".into())),
            _ if merge == 0 => Err(Error::Setting("no patches become one vector".into())),
            _ => Ok(()),
        }
    }
}

impl QwenVit {
    /// Takes `patch`, `layers`, `norm`, `merger.0` and `merger.1`.
    ///
    /// # Errors
    /// As [`Weights::get`], or the dimensions make no sense.
    pub fn new(config: &QwenVitConfig, weights: &Weights) -> Result<Self> {
        config.check()?;
        let QwenVitConfig { width, channels, frames, patch, .. } = *config;
        let kernel = (width, channels, frames, patch, patch);
        let kernel = weights.at("patch").get("weight", kernel, Init::Normal(STD))?;
        let (layers, merger, joined) = (weights.at("layers"), weights.at("merger"), width * config.merge.pow(2));
        Ok(Self {
            // The convolution does not overlap, so it is one product.
            patch: Linear::new(kernels::stored(&kernel.reshape((width, config.patch_values()))?)?, None),
            layers: (0..config.depth).map(|n| Layer::new(config, &layers.at(n))).collect::<Result<_>>()?,
            norm: AnyNorm::new(config.style, width, &weights.at("norm"))?,
            merger: [linear(&merger.at(0), joined, joined, STD)?, linear(&merger.at(1), joined, config.output, STD)?],
            config: config.clone(),
        })
    }

    /// Patches `[patches, values]` of images, each as many as its grid has, to vectors `[patches / merge^2, output]`. The
    /// patches that become one vector follow each other, row by row, and so do the vectors of an image.
    ///
    /// # Errors
    /// The patches are of another shape or number.
    pub fn forward(&self, patches: &Tensor, grids: &[Grid]) -> Result<Tensor> {
        let QwenVitConfig { width, heads, merge, windows, .. } = &self.config;
        let (count, joined) = (patches.dim(0)?, merge.pow(2));
        if let Some([rows, columns]) = grids.iter().find(|grid| grid.iter().any(|n| n % merge != 0)) {
            return Err(Error::Setting(format!("{rows}x{columns} patches cannot be joined {merge} by {merge}")));
        }
        if count != grids.iter().map(|[rows, columns]| rows * columns).sum::<usize>() || count == 0 {
            return Err(Error::Setting(format!("{count} patches do not fill grids of {grids:?}")));
        }
        let (device, dtype) = self.placement();
        let order = Order::new(grids, *merge, windows.as_ref().map(|windows| windows.side));
        let angles = order.angles(width / heads, device)?;
        let mut x = kernels::linear(&self.patch, &patches.to_device(device)?.to_dtype(dtype)?, None, None)?;
        if windows.is_some() {
            let groups = x.reshape((count / joined, joined * width))?;
            x = groups.index_select(&order.forth(device)?, 0)?.reshape((count, *width))?;
        }
        for (n, layer) in self.layers.iter().enumerate() {
            let windowed = windows.as_ref().is_some_and(|windows| !windows.full.contains(&n));
            x = layer.forward(&x, &angles, if windowed { &order.windows } else { &order.images })?;
        }
        let x = self.norm.forward(&x)?.reshape((count / joined, joined * width))?;
        let x = kernels::linear(&self.merger[0], &x, Some(Activation::Gelu), None)?;
        let x = kernels::linear(&self.merger[1], &x, None, None)?;
        if windows.is_some() { Ok(x.index_select(&order.back(device)?, 0)?) } else { Ok(x) }
    }

    /// Dimensions and choices.
    pub fn config(&self) -> &QwenVitConfig {
        &self.config
    }

    /// Device and number format of the weights.
    pub fn placement(&self) -> (&Device, DType) {
        (self.patch.weight().device(), self.patch.weight().dtype())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vit(windows: Option<QwenWindows>) -> QwenVit {
        let config = QwenVitConfig {
            width: 16,
            depth: 2,
            heads: 2,
            mlp: 12,
            style: QwenStyle::Gated,
            channels: 3,
            frames: 2,
            patch: 2,
            merge: 2,
            output: 5,
            windows,
        };
        QwenVit::new(&config, &Weights::fresh(5, &Device::Cpu)).unwrap()
    }

    #[test]
    fn images_do_not_see_each_other() {
        let grids = [[4, 6], [2, 2], [6, 10]];
        let vit = vit(Some(QwenWindows { side: 2, full: vec![1] }));
        let patches = Tensor::randn(0f32, 1.0, (88, 24), &Device::Cpu).unwrap();
        let together = vit.forward(&patches, &grids).unwrap();
        let (mut patch, mut vector) = (0, 0);
        for grid in grids {
            let count = grid[0] * grid[1];
            let alone = vit.forward(&patches.narrow(0, patch, count).unwrap(), &[grid]).unwrap();
            let difference = (together.narrow(0, vector, count / 4).unwrap() - alone).unwrap().abs().unwrap();
            assert!(difference.max_all().unwrap().to_scalar::<f32>().unwrap() < 1e-6, "{grid:?}");
            (patch, vector) = (patch + count, vector + count / 4);
        }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let patches = Tensor::zeros((8, 24), DType::F32, &Device::Cpu).unwrap();
        let refused = |grid| vit(None).forward(&patches, &[grid]).unwrap_err().to_string();
        assert_eq!(refused([2, 3]), "2x3 patches cannot be joined 2 by 2");
        assert_eq!(refused([4, 4]), "8 patches do not fill grids of [[4, 4]]");
    }
}
