//! The way of an image into the language model; reference `Gemma3MultiModalProjector`.

use blocks::{
    Result,
    layers::RmsNorm,
    vision::Vit,
    weights::{Init, Weights},
};
use candle_core::{DType, Tensor};

use super::config::Config;

/// A vision tower, and what makes vectors of the language model of its tokens.
pub struct Sight {
    vit: Vit,
    norm: RmsNorm,
    /// `[width of the tower, width of the language model]`.
    matrix: Tensor,
    /// Patches along the side of an image, and along that of a square of which the mean is taken.
    sides: [usize; 2],
}

impl Sight {
    /// Takes `vision` and `projector`.
    ///
    /// # Errors
    /// As [`Weights::get`].
    pub fn new(config: &Config, weights: &Weights) -> Result<Self> {
        let vit = Vit::new(&config.vision, &weights.at("vision"))?;
        let (input, eps) = (config.vision.encoder.width, config.vision.encoder.eps);
        let projector = weights.at("projector");
        Ok(Self {
            vit,
            norm: RmsNorm::around_one(&projector.at("norm"), input, eps)?,
            matrix: projector.get("matrix", (input, config.text.hidden_size), Init::Normal(0.02))?,
            sides: [config.side(), config.square()],
        })
    }

    /// Pixels `[images, 3, side, side]` to vectors of the language model, `[images, tokens, width]`.
    ///
    /// # Errors
    /// The pixels have another shape.
    pub fn encode(&self, pixels: &Tensor) -> Result<Tensor> {
        let (device, dtype) = self.vit.placement();
        let states = self.vit.token_states(&pixels.to_device(device)?.to_dtype(dtype)?, false)?;
        let pooled = self.pooled(&states)?;
        Ok(self.norm.forward(&pooled, false)?.broadcast_matmul(&self.matrix)?)
    }

    /// Side of the square input, in pixels.
    pub fn side(&self) -> usize {
        self.vit.config().image_size
    }

    /// Means over squares; what a last square would lack is left out.
    fn pooled(&self, states: &Tensor) -> Result<Tensor> {
        let (images, _, width) = states.dims3()?;
        let [side, square] = self.sides;
        let (count, used) = (side / square, side / square * square);
        let grid = states.to_dtype(DType::F32)?.reshape((images, side, side, width))?;
        let grid = grid.narrow(1, 0, used)?.narrow(2, 0, used)?.contiguous()?;
        let squares = grid.reshape(&[images, count, square, count, square, width][..])?;
        let means = squares.mean((2, 4))?.reshape((images, count * count, width))?;
        Ok(means.to_dtype(states.dtype())?)
    }
}
