//! CLIP's residual network (Radford et al. 2021); reference `open_clip.modified_resnet.ModifiedResNet` (3.3.0).
//!
//! Against a plain ResNet: a stem of three convolutions, average pools instead of strides, and a pool by attention.

use candle_core::{D, Tensor};
use candle_nn::{Linear, Module, ops};

use crate::{
    Error, Result,
    layers::linear,
    weights::{Init, Weights},
};

/// Output channels of a block against its inner ones.
const EXPANSION: usize = 4;
/// Pixels of an image in one position of the last feature map, along an axis.
const STRIDE: usize = 32;
/// Added to the variance in batch norms.
const EPS: f64 = 1e-5;

/// Dimensions of a [`ModifiedResNet`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModifiedResNetConfig {
    /// Channels after the stem; the last stage has 32 times as many.
    pub width: usize,
    /// Blocks of each stage.
    pub stages: [usize; 4],
    /// Side of the square input, in pixels; a multiple of 32.
    pub image_size: usize,
    /// Heads of the attention that pools.
    pub heads: usize,
    /// Width of the pooled vector.
    pub output: usize,
}

/// CLIP's residual network. Batch norms use their running statistics and are part of the convolutions, so it serves
/// inference only.
pub struct ModifiedResNet {
    config: ModifiedResNetConfig,
    stem: [Convolution; 3],
    blocks: Vec<Bottleneck>,
    pool: AttentionPool,
}

/// A convolution with the batch norm that follows it.
struct Convolution {
    weight: Tensor,
    bias: Tensor,
    stride: usize,
}

struct Bottleneck {
    convolutions: [Convolution; 3],
    stride: usize,
    shortcut: Option<Convolution>,
}

/// The mean of all positions attends to itself and to all positions.
struct AttentionPool {
    position: Tensor,
    query: Linear,
    key: Linear,
    value: Linear,
    output: Linear,
    heads: usize,
}

impl ModifiedResNetConfig {
    /// All but the number of heads, as the shapes of the checkpoint's tensors tell.
    ///
    /// # Errors
    /// The checkpoint holds no such network, or the positions of its pool make no square.
    pub fn of(weights: &Weights, heads: usize) -> Result<Self> {
        let first = |name: &str| weights.shape(name).and_then(|shape| shape.first().copied()).unwrap_or(0);
        let positions = first("attnpool.positional_embedding");
        let side = positions.saturating_sub(1).isqrt();
        if side == 0 || side * side + 1 != positions {
            let reason = "`attnpool.positional_embedding` has";
            return Err(Error::Setting(format!("{reason} {positions} rows, expected 1 and a square number")));
        }
        Ok(Self {
            width: first("conv3.weight"),
            stages: [1, 2, 3, 4].map(|n| weights.at(format!("layer{n}")).count("conv1.weight")),
            image_size: side * STRIDE,
            heads,
            output: first("attnpool.c_proj.weight"),
        })
    }
}

impl ModifiedResNet {
    /// Takes all tensors, under the names of the reference.
    ///
    /// # Errors
    /// The last width is no multiple of the number of heads, or as [`Weights::get`].
    pub fn new(config: &ModifiedResNetConfig, weights: &Weights) -> Result<Self> {
        let (width, half) = (config.width, config.width / 2);
        let convolution = |n: usize, input: usize, output: usize, stride: usize| {
            Convolution::new(weights, (&format!("conv{n}"), &format!("bn{n}")), (input, output, 3), stride)
        };
        let stem = [convolution(1, 3, half, 2)?, convolution(2, half, half, 1)?, convolution(3, half, width, 1)?];
        let mut blocks = Vec::new();
        let mut input = width;
        for (stage, &depth) in config.stages.iter().enumerate() {
            let (inner, weights) = (width << stage, weights.at(format!("layer{}", stage + 1)));
            for block in 0..depth {
                let stride = if stage > 0 && block == 0 { 2 } else { 1 };
                blocks.push(Bottleneck::new(&weights.at(block), input, inner, stride)?);
                input = inner * EXPANSION;
            }
        }
        let pool = AttentionPool::new(config, &weights.at("attnpool"))?;
        Ok(Self { config: config.clone(), stem, blocks, pool })
    }

    /// Pixels `[batch, 3, side, side]` to the pooled vector `[batch, output]`.
    ///
    /// # Errors
    /// The pixels have another shape.
    pub fn forward(&self, pixels: &Tensor) -> Result<Tensor> {
        let side = self.config.image_size;
        let (_, channels, height, width) = pixels.dims4()?;
        if (channels, height, width) != (3, side, side) {
            return Err(Error::Setting(format!(
                "the tower takes pixels of shape [3, {side}, {side}], not [{channels}, {height}, {width}]"
            )));
        }
        let mut x = pixels.clone();
        for convolution in &self.stem {
            x = convolution.forward(&x)?.relu()?;
        }
        let x = self.blocks.iter().try_fold(x.avg_pool2d(2)?, |x, block| block.forward(&x))?;
        self.pool.forward(&x)
    }

    /// Dimensions.
    pub fn config(&self) -> &ModifiedResNetConfig {
        &self.config
    }
}

impl Convolution {
    /// A kernel of `size` x `size` from `input` to `output` channels, padded so that a stride of 1 keeps the shape.
    fn new(
        weights: &Weights,
        (convolution, norm): (&str, &str),
        (input, output, size): (usize, usize, usize),
        stride: usize,
    ) -> Result<Self> {
        let std = ((input * size * size) as f64).powf(-0.5);
        let kernel = weights.at(convolution).get("weight", (output, input, size, size), Init::Normal(std))?;
        let norm = weights.at(norm);
        let vector = |name: &str, value: f64| norm.get(name, output, Init::Constant(value));
        let variance = vector("running_var", 1.0)?;
        let scale = (vector("weight", 1.0)? / (variance + EPS)?.sqrt()?)?;
        let bias = (vector("bias", 0.0)? - (vector("running_mean", 0.0)? * &scale)?)?;
        Ok(Self {
            weight: kernel.broadcast_mul(&scale.reshape((output, 1, 1, 1))?)?,
            bias: bias.reshape((1, output, 1, 1))?,
            stride,
        })
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let padding = self.weight.dim(2)? / 2;
        Ok(x.conv2d(&self.weight, padding, self.stride, 1, 1)?.broadcast_add(&self.bias)?)
    }
}

impl Bottleneck {
    fn new(weights: &Weights, input: usize, inner: usize, stride: usize) -> Result<Self> {
        let output = inner * EXPANSION;
        let convolution = |n: usize, shape: (usize, usize, usize)| {
            Convolution::new(weights, (&format!("conv{n}"), &format!("bn{n}")), shape, 1)
        };
        let shortcut = (stride > 1 || input != output)
            .then(|| Convolution::new(&weights.at("downsample"), ("0", "1"), (input, output, 1), 1));
        Ok(Self {
            convolutions: [
                convolution(1, (input, inner, 1))?,
                convolution(2, (inner, inner, 3))?,
                convolution(3, (inner, output, 1))?,
            ],
            stride,
            shortcut: shortcut.transpose()?,
        })
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let [first, second, third] = &self.convolutions;
        let inner = second.forward(&first.forward(x)?.relu()?)?.relu()?;
        let output = third.forward(&self.shrink(&inner)?)?;
        let shortcut = match &self.shortcut {
            Some(convolution) => convolution.forward(&self.shrink(x)?)?,
            None => x.clone(),
        };
        Ok((output + shortcut)?.relu()?)
    }

    fn shrink(&self, x: &Tensor) -> Result<Tensor> {
        Ok(if self.stride > 1 { x.avg_pool2d(self.stride)? } else { x.clone() })
    }
}

impl AttentionPool {
    fn new(config: &ModifiedResNetConfig, weights: &Weights) -> Result<Self> {
        let (width, heads) = (config.width * STRIDE, config.heads);
        if heads == 0 || !width.is_multiple_of(heads) {
            return Err(Error::Setting(format!("a width of {width} cannot be divided among {heads} attention heads")));
        }
        let std = (width as f64).powf(-0.5);
        let part = |name: &str, output: usize| linear(&weights.at(name), width, output, std);
        let positions = (config.image_size / STRIDE).pow(2) + 1;
        Ok(Self {
            position: weights.get("positional_embedding", (positions, width), Init::Normal(std))?,
            query: part("q_proj", width)?,
            key: part("k_proj", width)?,
            value: part("v_proj", width)?,
            output: part("c_proj", config.output)?,
            heads,
        })
    }

    /// A feature map `[batch, width, rows, columns]` to `[batch, output]`.
    fn forward(&self, map: &Tensor) -> Result<Tensor> {
        let x = map.flatten_from(2)?.transpose(1, 2)?;
        let x = Tensor::cat(&[&x.mean_keepdim(1)?, &x], 1)?.broadcast_add(&self.position)?;
        let (batch, positions, width) = x.dims3()?;
        let split = |x: Tensor, positions: usize| {
            x.reshape((batch, positions, self.heads, width / self.heads))?.transpose(1, 2)?.contiguous()
        };
        let scale = ((width / self.heads) as f64).powf(-0.5);
        let query = split((self.query.forward(&x.narrow(1, 0, 1)?.contiguous()?)? * scale)?, 1)?;
        let (key, value) = (split(self.key.forward(&x)?, positions)?, split(self.value.forward(&x)?, positions)?);
        let weights = ops::softmax(&query.matmul(&key.transpose(2, 3)?)?, D::Minus1)?;
        let pooled = weights.matmul(&value)?.transpose(1, 2)?.reshape((batch, width))?;
        Ok(self.output.forward(&pooled)?)
    }
}
