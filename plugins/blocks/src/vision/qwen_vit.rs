//! The vision transformers of Qwen2-VL (Wang et al. 2024), Qwen2.5-VL and Qwen3-VL (Bai et al. 2025), which take images of
//! any size as they are; reference `Qwen2VisionTransformerPretrainedModel` and `Qwen2_5_VisionTransformerPretrainedModel`
//! of `transformers`, 4.53.1, and `Qwen3VLVisionModel`, 4.57.6.
//!
//! The patches of all images lie one after the other. An image is a sequence of its own, and so is a window of one.

mod layer;
mod merger;
mod order;
mod positions;

use candle_core::{DType, Device, Tensor};
use candle_nn::Linear;

use crate::{
    Error, Result, kernels,
    layers::Activation,
    weights::{Init, Weights},
};
use layer::Layer;
use merger::Merger;
use order::Order;
use positions::Positions;

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
    /// The projection of patches has a bias.
    pub patch_bias: bool,
    /// Number of learned positions, of which a square is stretched over an image; without, patches only have angles.
    pub positions: Option<usize>,
    /// Side of the square of patches that become one vector.
    pub merge: usize,
    /// Width of the vectors.
    pub output: usize,
    /// Windows that most layers see only; without, all patches of an image see each other everywhere.
    pub windows: Option<QwenWindows>,
    /// Layers behind which patches become vectors of their own, each by a merger at the place where the layer is named, as
    /// in DeepStack (Meng et al. 2024).
    pub taps: Vec<usize>,
}

/// Which norms and which MLP a layer has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QwenStyle {
    /// Layer norms, and an MLP of two layers, as in Qwen2-VL and Qwen3-VL.
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
    positions: Option<Positions>,
    layers: Vec<Layer>,
    merger: Merger,
    /// Those of the tapped layers.
    tapped: Vec<Merger>,
}

impl QwenVitConfig {
    /// Values of a patch: channels, frames, rows and columns.
    pub fn patch_values(&self) -> usize {
        self.channels * self.frames * self.patch.pow(2)
    }

    /// Number of layers that are tapped.
    pub fn tapped(&self) -> usize {
        (0..self.depth).filter(|layer| self.taps.contains(layer)).count()
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
            _ if self.positions == Some(0) => Err(Error::Setting("there are no positions to be stretched".into())),
            _ => Ok(()),
        }
    }
}

impl QwenVit {
    /// Takes `patch`, `layers`, `merger` and, where there are such, `positions` and, one for each tap, `mergers`.
    ///
    /// # Errors
    /// As [`Weights::get`], or the dimensions make no sense.
    pub fn new(config: &QwenVitConfig, weights: &Weights) -> Result<Self> {
        config.check()?;
        let QwenVitConfig { width, channels, frames, patch, .. } = *config;
        let kernel = (width, channels, frames, patch, patch);
        let kernel = weights.at("patch").get("weight", kernel, Init::Normal(STD))?;
        let bias = || weights.at("patch").get("bias", width, Init::Constant(0.0));
        let (layers, mergers) = (weights.at("layers"), weights.at("mergers"));
        let positions = |count| Positions::new(count, width, &weights.at("positions"));
        let bias = config.patch_bias.then(bias).transpose()?;
        Ok(Self {
            // The convolution does not overlap, so it is one product.
            patch: Linear::new(kernels::stored(&kernel.reshape((width, config.patch_values()))?)?, bias),
            positions: config.positions.map(positions).transpose()?,
            layers: (0..config.depth).map(|n| Layer::new(config, &layers.at(n))).collect::<Result<_>>()?,
            merger: Merger::new(config, false, &weights.at("merger"))?,
            tapped: (0..config.taps.len()).map(|n| Merger::new(config, true, &mergers.at(n))).collect::<Result<_>>()?,
            config: config.clone(),
        })
    }

    /// Patches `[patches, values]` of images, each as many as its grid has, to vectors `[patches / merge^2, output]`, beside
    /// which those of the tapped layers lie in the order of the layers. The patches that become one vector follow each
    /// other, row by row, and so do the vectors of an image.
    ///
    /// # Errors
    /// The patches are of another shape or number.
    pub fn forward(&self, patches: &Tensor, grids: &[Grid]) -> Result<Tensor> {
        let QwenVitConfig { width, heads, merge, windows, taps, .. } = &self.config;
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
        if let Some(positions) = &self.positions {
            x = (x + positions.forward(grids, &order)?)?;
        }
        let mut vectors = Vec::new();
        for (n, layer) in self.layers.iter().enumerate() {
            let windowed = windows.as_ref().is_some_and(|windows| !windows.full.contains(&n));
            x = layer.forward(&x, &angles, if windowed { &order.windows } else { &order.images })?;
            if let Some(tap) = taps.iter().position(|tap| *tap == n) {
                vectors.push(self.tapped[tap].forward(&x)?);
            }
        }
        vectors.insert(0, self.merger.forward(&x)?);
        let x = Tensor::cat(&vectors, 1)?;
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
            patch_bias: true,
            positions: Some(9),
            merge: 2,
            output: 5,
            windows,
            taps: vec![1, 0],
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
