//! From states of the vision tower to vectors of the language model; reference `llava.model.multimodal_projector` of the
//! VILA repository (`DownSampleBlock`, `DownSample2x2BlockFix`, `DownSample3x3BlockFix`).

use blocks::{
    Error, Result,
    layers::{Activation, Norm, linear},
    weights::Weights,
};
use candle_core::Tensor;
use candle_nn::{Linear, Module};

/// Variance that PyTorch's layer norms add by default.
const EPS: f64 = 1e-5;
/// Standard deviation of fresh weights.
const STD: f64 = 0.02;

/// The architecture of a projector, as `mm_projector_type` names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `mlp_downsample`, `mlp_downsample_2x2_fix` and `mlp_downsample_3x3_fix`: squares of so many tokens a side become
    /// one.
    Join {
        /// Tokens along a side.
        side: usize,
        /// Joined tokens follow each other column by column, as in the first releases, rather than row by row.
        by_columns: bool,
    },
    /// `mlp2x_gelu` and the like: so many linear layers.
    Mlp(usize),
}

/// Tokens, joined where the kind says so, through a small network.
pub struct Projector {
    kind: Kind,
    steps: Vec<Step>,
}

enum Step {
    Norm(Norm),
    /// With GELU behind it, or without.
    Linear(Linear, bool),
}

impl Kind {
    /// The kind that a configuration names.
    ///
    /// # Errors
    /// It is none of those above.
    pub fn parse(name: &str) -> std::result::Result<Self, String> {
        let depth = name.strip_prefix("mlp").and_then(|rest| rest.strip_suffix("x_gelu")?.parse().ok());
        match (name, depth) {
            ("mlp_downsample", _) => Ok(Self::Join { side: 2, by_columns: true }),
            ("mlp_downsample_2x2_fix", _) => Ok(Self::Join { side: 2, by_columns: false }),
            ("mlp_downsample_3x3_fix", _) => Ok(Self::Join { side: 3, by_columns: false }),
            (_, Some(depth)) if depth > 0 => Ok(Self::Mlp(depth)),
            _ => Err(format!(
                "`mm_projector_type` is `{name}`; known are `mlp_downsample`, `mlp_downsample_2x2_fix`, \
                 `mlp_downsample_3x3_fix` and `mlp2x_gelu`"
            )),
        }
    }
}

impl Projector {
    /// From tokens of `input` values to vectors of `output`. Takes `layers` at the places of the reference's `Sequential`.
    ///
    /// # Errors
    /// As [`Weights::get`].
    pub fn new(kind: Kind, input: usize, output: usize, weights: &Weights) -> Result<Self> {
        let layers = weights.at("layers");
        let norm = |place: usize, width| Norm::new(&layers.at(place), width, EPS).map(Step::Norm);
        let dense = |place: usize, input, output, gelu| {
            linear(&layers.at(place), input, output, STD).map(|layer| Step::Linear(layer, gelu))
        };
        let steps = match kind {
            Kind::Join { side: 3, .. } => vec![
                norm(1, 9 * input)?,
                dense(2, 9 * input, 3 * input, true)?,
                norm(4, 3 * input)?,
                dense(5, 3 * input, output, true)?,
                dense(7, output, output, false)?,
            ],
            Kind::Join { side, .. } => {
                let joined = side * side * input;
                vec![norm(1, joined)?, dense(2, joined, output, true)?, dense(4, output, output, false)?]
            }
            Kind::Mlp(depth) => {
                let width = |n| if n == 0 { input } else { output };
                (0..depth).map(|n| dense(2 * n, width(n), output, n + 1 < depth)).collect::<Result<_>>()?
            }
        };
        Ok(Self { kind, steps })
    }

    /// `[batch, tokens, input]`, the tokens those of a square row by row, to `[batch, fewer tokens, output]`.
    ///
    /// # Errors
    /// The tokens are no square or have another width.
    pub fn forward(&self, states: &Tensor) -> Result<Tensor> {
        let tokens = match self.kind {
            Kind::Join { side, by_columns } => join(states, side, by_columns)?,
            Kind::Mlp(_) => states.clone(),
        };
        self.steps.iter().try_fold(tokens, |x, step| match step {
            Step::Norm(norm) => norm.forward(&x, false),
            Step::Linear(layer, true) => Activation::Gelu.forward(&layer.forward(&x)?),
            Step::Linear(layer, false) => Ok(layer.forward(&x)?),
        })
    }
}

/// Squares of `side` x `side` tokens, each one behind the other row by row, as one; zeros fill up rows and columns.
fn join(states: &Tensor, side: usize, by_columns: bool) -> Result<Tensor> {
    let (batch, tokens, width) = states.dims3()?;
    let old = tokens.isqrt();
    if old * old != tokens {
        return Err(Error::Setting(format!("{tokens} tokens are no square")));
    }
    let new = old.div_ceil(side);
    let lacking = new * side - old;
    let square = states.reshape((batch, old, old, width))?;
    let square = square.pad_with_zeros(1, 0, lacking)?.pad_with_zeros(2, 0, lacking)?;
    let cells = square.contiguous()?.reshape(&[batch, new, side, new, side, width][..])?;
    let order = if by_columns { vec![0, 3, 1, 2, 4, 5] } else { vec![0, 1, 3, 2, 4, 5] };
    Ok(cells.permute(order)?.reshape((batch, new * new, side * side * width))?)
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    #[test]
    fn tokens_are_joined_in_the_order_of_each_kind() {
        let states = Tensor::arange(1f32, 10.0, &Device::Cpu).unwrap().reshape((1, 9, 1)).unwrap();
        let rows = |by_columns| join(&states, 2, by_columns).unwrap().squeeze(0).unwrap().to_vec2::<f32>().unwrap();
        let by_rows = [[1.0, 2.0, 4.0, 5.0], [3.0, 0.0, 6.0, 0.0], [7.0, 8.0, 0.0, 0.0], [9.0, 0.0, 0.0, 0.0]];
        assert_eq!(rows(false), by_rows);
        assert_eq!(rows(true), [by_rows[0], by_rows[2], by_rows[1], by_rows[3]]);
        assert!(join(&states.narrow(1, 0, 8).unwrap(), 2, true).is_err());
    }

    #[test]
    fn kinds_by_their_names() {
        assert_eq!(Kind::parse("mlp2x_gelu"), Ok(Kind::Mlp(2)));
        assert_eq!(Kind::parse("mlp_downsample"), Ok(Kind::Join { side: 2, by_columns: true }));
        assert!(Kind::parse("mlp0x_gelu").unwrap_err().contains("known are `mlp_downsample`"));
        assert!(Kind::parse("identity").unwrap_err().contains("`identity`"));
    }
}
