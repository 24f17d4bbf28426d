//! The Swin transformer (Liu et al. 2021); reference `transformers.SwinModel` (4.53.1).

mod config;
mod windows;

use candle_core::{DType, Device, Tensor};
use candle_nn::{Linear, Module};

use crate::{
    Error, Result,
    layers::{Activation, Attention, EncoderConfig, Norm, linear, projection},
    weights::{Init, Weights},
};
pub use config::SwinConfig;
use windows::{Rows, Windows};

/// Standard deviation of fresh weights.
const STD: f64 = 0.02;
/// Added to the variance in the norms of the embedding and of merging, which the reference does not configure.
const EPS: f64 = 1e-5;

/// A vision transformer that attends within windows, shifted in every second layer, over a grid of patches that halves
/// from stage to stage.
pub struct Swin {
    config: SwinConfig,
    /// `[channels * patch * patch, width]`: the convolution does not overlap, so it is one product.
    patch_weight: Tensor,
    patch_bias: Tensor,
    norm: Norm,
    stages: Vec<Stage>,
    final_norm: Norm,
}

struct Stage {
    layers: Vec<SwinLayer>,
    plain: Windows,
    shifted: Windows,
    merge: Option<Merge>,
}

/// `x + attention(norm1(x))` within windows, then `x + mlp(norm2(x))`.
struct SwinLayer {
    norm1: Norm,
    attention: Attention,
    /// `[(2 window - 1)^2, heads]`
    relative: Tensor,
    norm2: Norm,
    fc1: Linear,
    activation: Activation,
    fc2: Linear,
}

/// Makes one token of 2x2 neighbours; a missing neighbour counts as zero.
struct Merge {
    neighbours: Rows,
    norm: Norm,
    reduction: Linear,
}

impl Swin {
    /// Takes `patch`, `norm`, `stages` and `final_norm`.
    ///
    /// # Errors
    /// A width is no multiple of the number of heads, a grid is smaller than a window, or as [`Weights::get`].
    pub fn new(config: &SwinConfig, weights: &Weights) -> Result<Self> {
        let (width, patch) = (config.embed_dim, config.patch_size);
        config.check()?;
        let kernel = (width, config.num_channels, patch, patch);
        let convolution = weights.at("patch").get("weight", kernel, Init::Normal(STD))?;
        let placement = (convolution.device(), convolution.dtype());
        let stages = (0..config.depths.len()).map(|n| Stage::new(config, n, placement, &weights.at("stages").at(n)));
        Ok(Self {
            stages: stages.collect::<Result<_>>()?,
            patch_weight: convolution.flatten_from(1)?.t()?,
            patch_bias: weights.at("patch").get("bias", width, Init::Constant(0.0))?,
            norm: Norm::new(&weights.at("norm"), width, EPS)?,
            final_norm: Norm::new(&weights.at("final_norm"), config.width(), config.layer_norm_eps)?,
            config: config.clone(),
        })
    }

    /// Pixels `[batch, channels, side, side]` to the mean of the normalised last tokens `[batch, width]`:
    /// `pooler_output` in `transformers`.
    ///
    /// # Errors
    /// The pixels have another shape.
    pub fn pooled(&self, pixels: &Tensor, train: bool) -> Result<Tensor> {
        let tokens = self.hidden(pixels, self.stages.len(), train)?;
        // In half precision, a sum over many tokens loses its last summands.
        let tokens = self.final_norm.forward(&tokens, train)?.to_dtype(DType::F32)?;
        Ok(tokens.mean(1)?.to_dtype(self.placement().1)?)
    }

    /// Tokens `[batch, side * side, width]` after the first `depth` stages, merging included, before the last norm;
    /// `depth` 0 is the embedding. Index `depth` of `hidden_states` in `transformers`.
    ///
    /// # Errors
    /// The pixels have another shape, or there are fewer stages.
    pub fn hidden(&self, pixels: &Tensor, depth: usize, train: bool) -> Result<Tensor> {
        let stages = self.stages.get(..depth).ok_or_else(|| {
            Error::Setting(format!("stage {depth} was asked for, but this tower has {}", self.stages.len()))
        })?;
        stages.iter().try_fold(self.embed(pixels, train)?, |x, stage| stage.forward(&x, train))
    }

    /// Dimensions and choices.
    pub fn config(&self) -> &SwinConfig {
        &self.config
    }

    /// Device and number format of the weights.
    pub fn placement(&self) -> (&Device, DType) {
        (self.patch_bias.device(), self.patch_bias.dtype())
    }

    fn embed(&self, pixels: &Tensor, train: bool) -> Result<Tensor> {
        let SwinConfig { image_size, patch_size, num_channels, .. } = self.config;
        let (batch, channels, height, width) = pixels.dims4()?;
        if (channels, height, width) != (num_channels, image_size, image_size) {
            return Err(Error::Setting(format!(
                "the tower takes pixels of shape [{num_channels}, {image_size}, {image_size}], \
                 not [{channels}, {height}, {width}]"
            )));
        }
        let rest = self.config.side(0) * patch_size - image_size;
        let pixels = pixels.pad_with_zeros(2, 0, rest)?.pad_with_zeros(3, 0, rest)?;
        let (side, area) = (self.config.side(0), channels * patch_size * patch_size);
        let patches = pixels.reshape(&[batch, channels, side, patch_size, side, patch_size][..])?;
        let patches = patches.permute(vec![0, 2, 4, 1, 3, 5])?.reshape((batch * side * side, area))?;
        let tokens = patches.matmul(&self.patch_weight)?.reshape((batch, side * side, self.config.embed_dim))?;
        self.norm.forward(&tokens.broadcast_add(&self.patch_bias)?, train)
    }
}

impl Stage {
    fn new(config: &SwinConfig, stage: usize, placement: (&Device, DType), weights: &Weights) -> Result<Self> {
        let (side, window, width) = (config.side(stage), config.window_size, config.embed_dim << stage);
        // One window that fills the grid has nowhere to go.
        let shift = if side > window { window / 2 } else { 0 };
        let last = stage + 1 == config.depths.len();
        let layers = weights.at("layers");
        let layers = (0..config.depths[stage]).map(|n| SwinLayer::new(config, stage, &layers.at(n)));
        let layers = layers.collect::<Result<Vec<_>>>()?;
        let merge = || Merge::new(side, width, placement.0, &weights.at("merge"));
        Ok(Self {
            layers,
            plain: Windows::new(side, window, 0, placement)?,
            shifted: Windows::new(side, window, shift, placement)?,
            merge: (!last).then(merge).transpose()?,
        })
    }

    fn forward(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        let windows = [&self.plain, &self.shifted].into_iter().cycle();
        let x = self.layers.iter().zip(windows).try_fold(x.clone(), |x, (layer, w)| layer.forward(&x, w, train))?;
        match &self.merge {
            Some(merge) => merge.forward(&x, train),
            None => Ok(x),
        }
    }
}

impl SwinLayer {
    fn new(config: &SwinConfig, stage: usize, weights: &Weights) -> Result<Self> {
        let (width, heads, mlp, eps) =
            (config.embed_dim << stage, config.num_heads[stage], config.mlp(stage), config.layer_norm_eps);
        let attention = EncoderConfig {
            width,
            depth: config.depths.iter().sum(),
            heads,
            mlp,
            activation: config.hidden_act,
            eps,
            fused_qkv: false,
        };
        let offsets = (2 * config.window_size - 1).pow(2);
        Ok(Self {
            norm1: Norm::new(&weights.at("norm1"), width, eps)?,
            attention: Attention::new(&attention, &weights.at("attention"))?,
            relative: weights.at("attention").get("relative", (offsets, heads), Init::Normal(STD))?,
            norm2: Norm::new(&weights.at("norm2"), width, eps)?,
            fc1: linear(&weights.at("fc1"), width, mlp, STD)?,
            activation: config.hidden_act,
            fc2: linear(&weights.at("fc2"), mlp, width, STD)?,
        })
    }

    fn forward(&self, x: &Tensor, windows: &Windows, train: bool) -> Result<Tensor> {
        let parts = windows.split(&self.norm1.forward(x, train)?)?;
        let mixed = self.attention.forward(&parts, Some(&windows.scores(&self.relative)?), train)?;
        let x = (x + windows.join(&mixed)?)?;
        let hidden = self.activation.forward(&self.fc1.forward(&self.norm2.forward(&x, train)?)?)?;
        Ok((&x + self.fc2.forward(&hidden)?)?)
    }
}

impl Merge {
    fn new(side: usize, width: usize, device: &Device, weights: &Weights) -> Result<Self> {
        Ok(Self {
            neighbours: Rows::neighbours(side, device)?,
            norm: Norm::new(&weights.at("norm"), 4 * width, EPS)?,
            reduction: projection(&weights.at("reduction"), 4 * width, 2 * width, STD)?,
        })
    }

    fn forward(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        let (batch, _, width) = x.dims3()?;
        let joined = self.neighbours.of(x)?.reshape((batch, (), 4 * width))?;
        Ok(self.reduction.forward(&self.norm.forward(&joined, train)?)?)
    }
}
