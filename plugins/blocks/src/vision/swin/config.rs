//! Dimensions of a [`Swin`](super::Swin).

use serde::{Deserialize, Serialize};

use crate::{Error, Result, layers::Activation, weights::Weights};

/// Dimensions and choices of a [`Swin`](super::Swin); reads `config.json`, and what is absent there is as in
/// `swin-tiny-patch4-window7-224`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[allow(missing_docs, reason = "the names are those of transformers.SwinConfig")]
pub struct SwinConfig {
    pub image_size: usize,
    pub patch_size: usize,
    pub num_channels: usize,
    pub embed_dim: usize,
    pub depths: Vec<usize>,
    pub num_heads: Vec<usize>,
    pub window_size: usize,
    pub mlp_ratio: f64,
    pub hidden_act: Activation,
    pub layer_norm_eps: f64,
}

impl Default for SwinConfig {
    fn default() -> Self {
        Self {
            image_size: 224,
            patch_size: 4,
            num_channels: 3,
            embed_dim: 96,
            depths: vec![2, 2, 6, 2],
            num_heads: vec![3, 6, 12, 24],
            window_size: 7,
            mlp_ratio: 4.0,
            hidden_act: Activation::Gelu,
            layer_norm_eps: 1e-5,
        }
    }
}

impl SwinConfig {
    /// What the shapes in a checkpoint tell: all but the size of the image, the activation and the epsilon, which
    /// are the defaults. `None` if there is no Swin at `weights`.
    pub fn from_tensors(weights: &Weights) -> Option<Self> {
        let kernel = weights.shape("patch.weight")?;
        let stages = weights.at("stages");
        let count = stages.count("layers.0.norm1.weight");
        let tables = (0..count).map(|n| stages.shape(&format!("{n}.layers.0.attention.relative")));
        let tables = tables.collect::<Option<Vec<_>>>()?;
        let last = stages.at(count.checked_sub(1)?).shape("layers.0.fc1.weight")?;
        let (mlp, width) = (*last.first()?, *last.get(1)?);
        Some(Self {
            patch_size: *kernel.get(2)?,
            num_channels: *kernel.get(1)?,
            embed_dim: *kernel.first()?,
            depths: (0..count).map(|n| stages.at(n).at("layers").count("norm1.weight")).collect(),
            num_heads: tables.iter().map(|table| table.get(1).copied()).collect::<Option<_>>()?,
            window_size: tables[0].first()?.isqrt().div_ceil(2),
            // The quotient may be rounded down, and its product with the width is truncated.
            mlp_ratio: (mlp as f64 + 1e-6) / width as f64,
            ..Self::default()
        })
    }

    /// Width of the last stage.
    pub fn width(&self) -> usize {
        self.embed_dim << (self.depths.len().saturating_sub(1))
    }

    /// Tokens along one side of the grid in a stage.
    pub(super) fn side(&self, stage: usize) -> usize {
        (0..stage).fold(self.image_size.div_ceil(self.patch_size), |side, _| side.div_ceil(2))
    }

    /// Width of the hidden layer of the MLP in a stage.
    pub(super) fn mlp(&self, stage: usize) -> usize {
        (self.mlp_ratio * (self.embed_dim << stage) as f64) as usize
    }

    pub(super) fn check(&self) -> Result<()> {
        let Self { depths, num_heads, window_size: window, image_size: image, patch_size: patch, .. } = self;
        if depths.is_empty() || depths.len() != num_heads.len() || *window == 0 || *image == 0 || *patch == 0 {
            return Err(Error::Setting(format!(
                "{} stages with heads for {}, windows of {window} and {image} pixels in patches of {patch} make no Swin",
                depths.len(),
                num_heads.len()
            )));
        }
        for (stage, &heads) in num_heads.iter().enumerate() {
            let (width, side) = (self.embed_dim << stage, self.side(stage));
            if heads == 0 || !width.is_multiple_of(heads) {
                return Err(Error::Setting(format!(
                    "a width of {width} cannot be divided among {heads} attention heads in stage {stage}"
                )));
            }
            if side < *window {
                return Err(Error::Setting(format!(
                    "an image of {image} pixels leaves {side}x{side} tokens in stage {stage}, fewer than a window of \
                     {window}x{window}"
                )));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sides_round_up() {
        let config = SwinConfig { image_size: 45, patch_size: 4, window_size: 3, ..SwinConfig::default() };
        assert_eq!((0..4).map(|stage| config.side(stage)).collect::<Vec<_>>(), [12, 6, 3, 2]);
        assert!(config.check().unwrap_err().to_string().contains("leaves 2x2 tokens in stage 3"));
        let default = SwinConfig::default();
        assert_eq!((0..4).map(|stage| default.side(stage)).collect::<Vec<_>>(), [56, 28, 14, 7]);
        assert!(default.check().is_ok());
    }
}
