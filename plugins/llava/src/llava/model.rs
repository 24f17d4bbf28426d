//! The way of an image into the language model: some states of a vision tower through a projector.

use blocks::{
    Result,
    layers::{Activation, EncoderConfig, EncoderLayer, linear, projection},
    vision::{Vit, VitConfig},
    weights::Weights,
};
use candle_core::{D, Tensor};
use candle_nn::{Linear, Module};

use super::config::Config;

/// Standard deviation of fresh weights.
const STD: f64 = 0.02;

/// A vision tower up to the last state that is handed on, and the projector.
pub struct Sight {
    vit: Vit,
    /// Layers that precede each state.
    depths: Vec<usize>,
    without_first: bool,
    projector: Vec<Linear>,
    activation: Activation,
}

impl Sight {
    /// Takes the tower from `vision` and the projector from `weights`. Layers behind the last state are read, so that a
    /// wrong one is noticed, and dropped.
    ///
    /// # Errors
    /// As [`Weights::get`], or there are fewer layers than asked for.
    pub fn new(config: &Config, tower: &VitConfig, vision: &Weights, weights: &Weights) -> Result<Self> {
        let depths = config.features.depths(tower.encoder.depth).map_err(blocks::Error::Setting)?;
        let deepest = depths.iter().copied().max().unwrap_or(0);
        let needed = EncoderConfig { depth: deepest, ..tower.encoder.clone() };
        let vit = Vit::new(&VitConfig { encoder: needed, ..tower.clone() }, vision)?;
        for layer in deepest..tower.encoder.depth {
            EncoderLayer::new(&tower.encoder, &vision.at("layers").at(layer))?;
        }
        let width = config.text.hidden_size;
        let mut input = tower.encoder.width * depths.len();
        let layers = config.projector.layers.iter().map(|name| {
            let layer = if config.projector.bias { linear } else { projection };
            layer(&weights.at(name), std::mem::replace(&mut input, width), width, STD)
        });
        let projector = layers.collect::<Result<_>>()?;
        let (without_first, activation) = (config.features.without_first, config.projector.activation);
        Ok(Self { vit, depths, without_first, projector, activation })
    }

    /// Pixels `[images, 3, side, side]` to vectors of the language model, `[images, tokens, width]`.
    ///
    /// # Errors
    /// The pixels have another shape.
    pub fn encode(&self, pixels: &Tensor) -> Result<Tensor> {
        let (device, dtype) = self.vit.placement();
        let pixels = pixels.to_device(device)?.to_dtype(dtype)?;
        let states = self.depths.iter().map(|&depth| self.vit.hidden(&pixels, depth, false));
        let mut x = Tensor::cat(&states.collect::<Result<Vec<_>>>()?, D::Minus1)?;
        if self.without_first {
            x = x.narrow(1, 1, x.dim(1)? - 1)?.contiguous()?;
        }
        for (n, layer) in self.projector.iter().enumerate() {
            if n > 0 {
                x = self.activation.forward(&x)?;
            }
            x = layer.forward(&x)?;
        }
        Ok(x)
    }

    /// Side of the square input, in pixels.
    pub fn side(&self) -> usize {
        self.vit.config().image_size
    }
}
