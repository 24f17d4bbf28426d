//! The vision transformer (Dosovitskiy et al. 2021), configurable to the variants that published models use.

mod siglip;

use candle_core::{DType, Device, Tensor};

use crate::{
    Error, Result,
    layers::{Encoder, EncoderConfig, Norm, Particulars},
    weights::{Init, Weights},
};

/// Dimensions and choices of a [`Vit`].
#[derive(Debug, Clone, PartialEq)]
pub struct VitConfig {
    /// The transformer.
    pub encoder: EncoderConfig,
    /// Side of the square input, in pixels.
    pub image_size: usize,
    /// Side of a square patch, in pixels; a remainder at the right and lower edge is left out.
    pub patch: usize,
    /// Colour channels.
    pub channels: usize,
    /// A learned class token precedes the patches.
    pub class_token: bool,
    /// Layer norm before the first layer, as CLIP has.
    pub pre_norm: bool,
    /// The patch embedding has a bias.
    pub patch_bias: bool,
}

/// A vision transformer.
pub struct Vit {
    config: VitConfig,
    /// `[channels * patch * patch, width]`: the convolution does not overlap, so it is one product.
    patch_weight: Tensor,
    patch_bias: Option<Tensor>,
    class: Option<Tensor>,
    position: Tensor,
    pre_norm: Option<Norm>,
    encoder: Encoder,
    post_norm: Option<Norm>,
}

impl VitConfig {
    /// Patches along one side.
    fn side(&self) -> usize {
        self.image_size / self.patch.max(1)
    }

    /// Number of tokens of an image.
    pub fn tokens(&self) -> usize {
        self.side().pow(2) + usize::from(self.class_token)
    }
}

impl Vit {
    /// Takes `class`, `patch`, `position`, `pre_norm`, `layers` and `post_norm`, as far as configured.
    ///
    /// # Errors
    /// As [`Weights::get`], or the image is smaller than a patch.
    pub fn new(config: &VitConfig, weights: &Weights) -> Result<Self> {
        Self::particular(config, Particulars::default(), true, weights)
    }

    /// As [`Vit::new`], with particulars of the layers and, unless `post_norm`, without a norm behind the last one.
    ///
    /// # Errors
    /// As [`Vit::new`].
    pub fn particular(
        config: &VitConfig,
        particulars: Particulars,
        post_norm: bool,
        weights: &Weights,
    ) -> Result<Self> {
        let (width, eps, patch) = (config.encoder.width, config.encoder.eps, config.patch);
        if config.side() == 0 {
            let size = config.image_size;
            return Err(Error::Setting(format!("an image of {size} pixels has no patch of {patch} pixels")));
        }
        let embedding = Init::Normal(0.02);
        let area = config.channels * patch * patch;
        let convolution = weights.at("patch").get("weight", (width, config.channels, patch, patch), embedding)?;
        let zero = Init::Constant(0.0);
        Ok(Self {
            patch_weight: convolution.reshape((width, area))?.t()?,
            patch_bias: config.patch_bias.then(|| weights.at("patch").get("bias", width, zero)).transpose()?,
            class: match config.class_token {
                true => Some(weights.get("class", width, Init::Normal((width as f64).powf(-0.5)))?),
                false => None,
            },
            position: weights.get("position", (config.tokens(), width), embedding)?,
            pre_norm: config.pre_norm.then(|| Norm::new(&weights.at("pre_norm"), width, eps)).transpose()?,
            encoder: Encoder::particular(&config.encoder, particulars, &weights.at("layers"))?,
            post_norm: post_norm.then(|| Norm::new(&weights.at("post_norm"), width, eps)).transpose()?,
            config: config.clone(),
        })
    }

    /// Pixels `[batch, channels, side, side]` to the normalised class token `[batch, width]`.
    ///
    /// # Errors
    /// The pixels have another shape.
    pub fn class_state(&self, pixels: &Tensor, train: bool) -> Result<Tensor> {
        let tokens = self.hidden(pixels, self.encoder.depth(), train)?;
        self.normed(tokens.narrow(1, 0, 1)?.squeeze(1)?, train)
    }

    /// Pixels `[batch, channels, side, side]` to all normalised tokens `[batch, tokens, width]`.
    ///
    /// # Errors
    /// The pixels have another shape.
    pub fn token_states(&self, pixels: &Tensor, train: bool) -> Result<Tensor> {
        self.normed(self.hidden(pixels, self.encoder.depth(), train)?, train)
    }

    /// Hidden state `[batch, tokens, width]` after the first `depth` layers, before the last norm; `depth` 0 is the
    /// embedding. Index `depth` of `hidden_states` in `transformers`.
    ///
    /// # Errors
    /// The pixels have another shape, or there are fewer layers.
    pub fn hidden(&self, pixels: &Tensor, depth: usize, train: bool) -> Result<Tensor> {
        let tokens = self.embed(pixels)?;
        let tokens = match &self.pre_norm {
            Some(norm) => norm.forward(&tokens, train)?,
            None => tokens,
        };
        self.encoder.forward(&tokens, None, depth, train)
    }

    /// Dimensions and choices.
    pub fn config(&self) -> &VitConfig {
        &self.config
    }

    /// Device and number format of the weights.
    pub fn placement(&self) -> (&Device, DType) {
        (self.position.device(), self.position.dtype())
    }

    fn normed(&self, states: Tensor, train: bool) -> Result<Tensor> {
        self.post_norm.as_ref().map_or(Ok(states.clone()), |norm| norm.forward(&states, train))
    }

    fn embed(&self, pixels: &Tensor) -> Result<Tensor> {
        let VitConfig { image_size, patch, channels, .. } = self.config;
        let (batch, found, height, width) = pixels.dims4()?;
        if (found, height, width) != (channels, image_size, image_size) {
            return Err(Error::Setting(format!(
                "the tower takes pixels of shape [{channels}, {image_size}, {image_size}], not [{found}, {height}, {width}]"
            )));
        }
        let side = self.config.side();
        let patches = pixels.narrow(2, 0, side * patch)?.narrow(3, 0, side * patch)?.contiguous()?;
        let patches = patches.reshape(&[batch, channels, side, patch, side, patch][..])?;
        let patches =
            patches.permute(vec![0, 2, 4, 1, 3, 5])?.reshape((batch * side * side, channels * patch * patch))?;
        let mut tokens =
            patches.matmul(&self.patch_weight)?.reshape((batch, side * side, self.config.encoder.width))?;
        if let Some(bias) = &self.patch_bias {
            tokens = tokens.broadcast_add(bias)?;
        }
        if let Some(class) = &self.class {
            let class = class.broadcast_as((batch, 1, self.config.encoder.width))?;
            tokens = Tensor::cat(&[&class.contiguous()?, &tokens], 1)?;
        }
        Ok(tokens.broadcast_add(&self.position)?)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use crate::{layers::Activation, weights::Names};

    const NAMES: Names = Names { rename: &[], ignore: &[] };

    fn config(fused_qkv: bool) -> VitConfig {
        let activation = Activation::GeluTanh;
        VitConfig {
            encoder: EncoderConfig { width: 12, depth: 2, heads: 3, mlp: 20, activation, eps: 1e-6, fused_qkv },
            image_size: 17,
            patch: 5,
            channels: 3,
            class_token: false,
            pre_norm: false,
            patch_bias: true,
        }
    }

    fn pixels() -> Tensor {
        Tensor::randn(0f32, 1.0, (2, 3, 17, 17), &Device::Cpu).unwrap()
    }

    fn assert_close(a: &Tensor, b: &Tensor) {
        let difference = (a - b).unwrap().abs().unwrap().flatten_all().unwrap().max(0).unwrap();
        assert!(difference.to_scalar::<f32>().unwrap() < 1e-5, "{difference}");
    }

    #[test]
    fn the_embedding_is_a_strided_convolution() {
        let weights = Weights::fresh(3, &Device::Cpu);
        let vit = Vit::new(&config(true), &weights).unwrap();
        let vars: HashMap<String, candle_core::Var> = weights.vars().into_iter().collect();
        let bias = Tensor::randn(0f32, 1.0, 12, &Device::Cpu).unwrap();
        vars["patch.bias"].set(&bias).unwrap();
        let pixels = pixels();
        let convolved = pixels.conv2d(&vars["patch.weight"], 0, 5, 1, 1).unwrap();
        let tokens = convolved.flatten_from(2).unwrap().transpose(1, 2).unwrap().broadcast_add(&bias).unwrap();
        let expected = tokens.broadcast_add(&vars["position"]).unwrap();
        assert_close(&vit.hidden(&pixels, 0, false).unwrap(), &expected);
        assert!(vit.hidden(&pixels.narrow(3, 0, 16).unwrap(), 0, false).is_err());
    }

    #[test]
    fn a_fused_checkpoint_equals_a_split_one() {
        let weights = Weights::fresh(4, &Device::Cpu);
        let split = Vit::new(&config(false), &weights).unwrap();
        let mut tensors: HashMap<String, Tensor> =
            weights.vars().into_iter().map(|(name, var)| (name, var.as_tensor().clone())).collect();
        for layer in 0..2 {
            for kind in ["weight", "bias"] {
                let at = |name: &str| format!("layers.{layer}.attention.{name}.{kind}");
                let parts = ["query", "key", "value"].map(|name| tensors.remove(&at(name)).unwrap());
                tensors.insert(at("qkv"), Tensor::cat(&parts, 0).unwrap());
            }
        }
        let dir = tempfile::tempdir().unwrap();
        candle_core::safetensors::save(&tensors, dir.path().join("model.safetensors")).unwrap();
        let checkpoint = Weights::open(dir.path(), &NAMES, DType::F32, &Device::Cpu).unwrap();
        let fused = Vit::new(&config(true), &checkpoint).unwrap();
        checkpoint.finish().unwrap();
        let pixels = pixels();
        assert_close(&fused.hidden(&pixels, 2, false).unwrap(), &split.hidden(&pixels, 2, true).unwrap());
    }
}
