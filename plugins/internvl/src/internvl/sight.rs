//! The way of a tile into the language model: InternViT, joined tokens and an MLP.

use blocks::{
    Result,
    layers::{Activation, Norm, linear},
    vision::Vit,
    weights::Weights,
};
use candle_core::Tensor;
use candle_nn::{Linear, Module};

use super::config::Config;

/// Tiles that pass the tower at a time.
const TILES: usize = 8;
/// Of the projector's norm, whatever the tower has.
const EPS: f64 = 1e-5;
/// Standard deviation of fresh weights.
const STD: f64 = 0.02;

/// A vision tower and a projector.
pub struct Sight {
    tower: Vit,
    joined: usize,
    norm: Norm,
    first: Linear,
    activation: Activation,
    second: Linear,
}

impl Sight {
    /// Takes `vision` and `projector`.
    ///
    /// # Errors
    /// As [`Weights::get`].
    pub fn new(config: &Config, weights: &Weights) -> Result<Self> {
        let (vision, projector) = (weights.at("vision"), weights.at("projector"));
        let input = config.vit.encoder.width * config.joined.pow(2);
        let output = config.text.hidden_size;
        Ok(Self {
            tower: Vit::particular(&config.vit, config.particulars, config.post_norm, &vision)?,
            joined: config.joined,
            norm: Norm::new(&projector.at("norm"), input, EPS)?,
            first: linear(&projector.at("first"), input, output, STD)?,
            activation: config.activation,
            second: linear(&projector.at("second"), output, output, STD)?,
        })
    }

    /// Pixels `[tiles, 3, side, side]` to vectors of the language model, `[tiles, tokens, width]`.
    ///
    /// # Errors
    /// The pixels have another shape.
    pub fn encode(&self, pixels: &Tensor) -> Result<Tensor> {
        let (device, dtype) = self.tower.placement();
        let total = pixels.dim(0)?;
        let vectors = (0..total).step_by(TILES).map(|start| {
            let tiles = pixels.narrow(0, start, TILES.min(total - start))?;
            let states = self.tower.token_states(&tiles.to_device(device)?.to_dtype(dtype)?, false)?;
            let joined = join(&states.narrow(1, 1, states.dim(1)? - 1)?, self.joined)?;
            let hidden = self.first.forward(&self.norm.forward(&joined, false)?)?;
            Ok(self.second.forward(&self.activation.forward(&hidden)?)?)
        });
        Ok(Tensor::cat(&vectors.collect::<Result<Vec<_>>>()?, 0)?)
    }
}

/// Squares of `[tiles, side * side, width]` with `n` tokens along a side become one each, `[tiles, .., n * n * width]`;
/// reference `InternVLModel.pixel_shuffle`.
fn join(states: &Tensor, n: usize) -> Result<Tensor> {
    let (tiles, tokens, width) = states.dims3()?;
    let few = tokens.isqrt() / n;
    let squares = states.contiguous()?.reshape(&[tiles, few, n, few, n, width][..])?;
    Ok(squares.permute(vec![0, 1, 3, 2, 4, 5])?.reshape((tiles, few * few, n * n * width))?)
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    #[test]
    fn neighbours_are_joined_row_by_row() {
        let states = Tensor::arange(0f32, 16.0, &Device::Cpu).unwrap().reshape((1, 16, 1)).unwrap();
        let joined = join(&states, 2).unwrap().squeeze(0).unwrap().to_vec2::<f32>().unwrap();
        assert_eq!(
            joined,
            [[0.0, 1.0, 4.0, 5.0], [2.0, 3.0, 6.0, 7.0], [8.0, 9.0, 12.0, 13.0], [10.0, 11.0, 14.0, 15.0]]
        );
        assert_eq!(join(&states, 1).unwrap().dims(), [1, 16, 1]);
    }
}
