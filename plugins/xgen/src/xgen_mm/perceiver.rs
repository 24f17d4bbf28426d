//! A perceiver (Jaegle et al. 2021; Alayrac et al. 2022) that is told a text: `InstructPerceiverResampler` of the authors.

use blocks::{
    Error, Result,
    layers::{Norm, linear, projection},
    weights::{Init, Weights},
};
use candle_core::{D, Tensor};
use candle_nn::{Linear, Module, ops::softmax_last_dim};

/// Added to the variance in layer norms.
const EPS: f64 = 1e-5;
/// Standard deviation of fresh weights.
const STD: f64 = 0.02;

/// Dimensions of a [`Perceiver`].
#[derive(Debug, Clone, PartialEq)]
pub struct PerceiverConfig {
    /// Width of the tower's states and of latents.
    pub width: usize,
    /// Number of latents.
    pub latents: usize,
    /// Number of layers.
    pub depth: usize,
    /// Number of attention heads.
    pub heads: usize,
    /// Values of all queries of a latent.
    pub inner: usize,
    /// Width of the hidden layer of the MLPs.
    pub mlp: usize,
    /// Width of the language model.
    pub language: usize,
}

/// Learned latents that look at an image, layer by layer, in company of a text.
pub struct Perceiver {
    latents: Tensor,
    words: [Linear; 2],
    layers: Vec<Layer>,
    norm: Norm,
    projection: Linear,
}

/// `x + attention(x to media and x)`, then `x + mlp(x)`.
struct Layer {
    media_norm: Norm,
    latent_norm: Norm,
    query: Linear,
    key_value: Linear,
    output: Linear,
    mlp_norm: Norm,
    fc1: Linear,
    fc2: Linear,
    heads: usize,
}

impl Perceiver {
    /// Takes `latents`, `words.first`, `words.second`, `layers`, `norm` and `projection`.
    ///
    /// # Errors
    /// As [`Weights::get`], or the heads do not divide what they share.
    pub fn new(config: &PerceiverConfig, weights: &Weights) -> Result<Self> {
        let PerceiverConfig { width, latents, language, inner, heads, .. } = *config;
        if heads == 0 || !inner.is_multiple_of(heads) {
            return Err(Error::Setting(format!("{inner} values cannot be divided among {heads} attention heads")));
        }
        let words = weights.at("words");
        let layers = (0..config.depth).map(|n| Layer::new(config, &weights.at("layers").at(n)));
        Ok(Self {
            latents: weights.get("latents", (latents, width), Init::Normal(1.0))?,
            words: [linear(&words.at("first"), language, width, STD)?, linear(&words.at("second"), width, width, STD)?],
            layers: layers.collect::<Result<_>>()?,
            norm: Norm::new(&weights.at("norm"), width, EPS)?,
            projection: linear(&weights.at("projection"), width, language, STD)?,
        })
    }

    /// States `[views, tokens, width]` and the embeddings `[length, language]` of a text to vectors of the language model,
    /// `[views * latents, language]`.
    ///
    /// # Errors
    /// Shapes do not agree.
    pub fn forward(&self, states: &Tensor, words: Option<&Tensor>) -> Result<Tensor> {
        let (views, _, width) = states.dims3()?;
        let mut x = self.latents.clone();
        if let Some(words) = words {
            let [first, second] = &self.words;
            x = Tensor::cat(&[x, second.forward(&first.forward(words)?.gelu_erf()?)?], 0)?;
        }
        let mut x = x.broadcast_as((views, x.dim(0)?, width))?.contiguous()?;
        for layer in &self.layers {
            x = layer.forward(&x, states)?;
        }
        let x = x.narrow(1, 0, self.latents.dim(0)?)?;
        Ok(self.projection.forward(&self.norm.forward(&x, false)?)?.flatten(0, 1)?)
    }
}

impl Layer {
    fn new(config: &PerceiverConfig, weights: &Weights) -> Result<Self> {
        let PerceiverConfig { width, inner, mlp, heads, .. } = *config;
        let norm = |name| Norm::new(&weights.at(name), width, EPS);
        let layer = |name, input, output| projection(&weights.at(name), input, output, STD);
        Ok(Self {
            media_norm: norm("media_norm")?,
            latent_norm: norm("latent_norm")?,
            query: layer("query", width, inner)?,
            key_value: layer("key_value", width, 2 * inner)?,
            output: layer("output", inner, width)?,
            mlp_norm: norm("mlp_norm")?,
            fc1: layer("fc1", width, mlp)?,
            fc2: layer("fc2", mlp, width)?,
            heads,
        })
    }

    /// Latents `[views, latents, width]` and states `[views, tokens, width]` to the shape of the latents.
    fn forward(&self, x: &Tensor, states: &Tensor) -> Result<Tensor> {
        let latents = self.latent_norm.forward(x, false)?;
        let seen = Tensor::cat(&[&self.media_norm.forward(states, false)?, &latents], 1)?;
        let both = self.key_value.forward(&seen)?;
        let inner = both.dim(D::Minus1)? / 2;
        let query = self.split(&self.query.forward(&latents)?)?;
        let (key, value) = (both.narrow(D::Minus1, 0, inner)?, both.narrow(D::Minus1, inner, inner)?);
        let (key, value) = (self.split(&key)?, self.split(&value)?);
        let scale = ((inner / self.heads) as f64).powf(-0.5);
        let scores = (query * scale)?.matmul(&key.transpose(2, 3)?)?;
        let mixed = softmax_last_dim(&scores)?.matmul(&value)?.transpose(1, 2)?.flatten_from(2)?;
        let x = (x + self.output.forward(&mixed)?)?;
        let hidden = self.fc1.forward(&self.mlp_norm.forward(&x, false)?)?.gelu_erf()?;
        Ok((&x + self.fc2.forward(&hidden)?)?)
    }

    /// `[views, length, inner]` to `[views, heads, length, inner / heads]`.
    fn split(&self, x: &Tensor) -> Result<Tensor> {
        let (views, length, inner) = x.dims3()?;
        Ok(x.reshape((views, length, self.heads, inner / self.heads))?.transpose(1, 2)?.contiguous()?)
    }
}
