//! What models with an image and a text tower share: batches, class prompts, zero-shot logits, inspection.

use blocks::image::Pixels;
use bridge::{
    Preprocess,
    classes::{self, normalize},
    convert::{config, failed, input, matrix},
    input_digests, pixels, stack,
};
use candle_core::{DType, Device, Tensor};
use plugin_api::{
    Array, Capability, Classes, Data, Description, Image, Inspect, Inspection, Matrix, Model, Result, Rows,
};

/// A model whose images and texts meet in one space, without processor and tokenizer.
pub trait Joint: Send + Sync + 'static {
    /// Embeddings of images `[n, dim]` and texts `[t, dim]` to logits `[n, t]`.
    ///
    /// # Errors
    /// Shapes do not agree.
    fn logits(&self, images: &Tensor, texts: &Tensor) -> blocks::Result<Tensor>;

    /// Factor of the cosine in [`Joint::logits`].
    ///
    /// # Errors
    /// None but those of the device.
    fn scale(&self) -> blocks::Result<f32>;

    /// Width of the shared space.
    fn dim(&self) -> usize;

    /// Side of the square input, in pixels.
    fn image_size(&self) -> usize;

    /// Where the weights are.
    fn device(&self) -> &Device;
}

/// A model with its tokenizer.
pub trait Towers: Send + Sync + 'static {
    /// The model.
    type Model: Joint;

    /// The model without its tokenizer.
    fn model(&self) -> &Self::Model;

    /// Pixels `[n, 3, side, side]` to unnormalised features `[n, dim]`.
    ///
    /// # Errors
    /// Shapes do not agree.
    fn image_features(&self, pixels: &Tensor) -> blocks::Result<Tensor>;

    /// Texts to unnormalised features `[texts, dim]`.
    ///
    /// # Errors
    /// A text cannot be tokenized.
    fn text_features(&self, texts: &[&str]) -> blocks::Result<Tensor>;

    /// What [`Joint::logits`] takes of the features of images: normalised, unless a model is compared otherwise.
    ///
    /// # Errors
    /// None but those of the device.
    fn compared(&self, features: &Tensor) -> blocks::Result<Tensor> {
        normalize(features)
    }
}

/// A checkpoint of two towers with its image processor.
pub struct Dual<T> {
    towers: T,
    scale: f32,
    processor: Box<dyn Preprocess>,
    dtype: DType,
    parameters: usize,
}

impl<T: Towers> Dual<T> {
    /// `dtype` is that of the weights, `parameters` their number.
    ///
    /// # Errors
    /// The scale cannot be read.
    pub fn new(towers: T, processor: impl Preprocess, dtype: DType, parameters: usize) -> Result<Self> {
        let scale = towers.model().scale().map_err(config)?;
        Ok(Self { towers, scale, processor: Box::new(processor), dtype, parameters })
    }

    /// The model without processor and tokenizer.
    pub fn model(&self) -> &T::Model {
        self.towers.model()
    }

    /// Unnormalised features of images, f32 on the model's device.
    fn image_features(&self, pixels: &[Pixels]) -> Result<Tensor> {
        let pixels = stack(pixels, self.towers.model().device(), self.dtype)?;
        let features = self.towers.image_features(&pixels).map_err(input)?;
        features.to_dtype(DType::F32).map_err(failed)
    }

    /// Normalised embeddings of texts, f32 on the model's device.
    fn text_embeds(&self, texts: &[&str]) -> Result<Tensor> {
        normalize(&self.towers.text_features(texts).map_err(input)?).map_err(input)
    }

    fn pixels(&self, images: &[Image<'_>]) -> Result<Vec<Pixels>> {
        pixels(self.processor.as_ref(), images, self.towers.model().image_size())
    }

    fn logits(&self, features: &Tensor, texts: &Tensor) -> Result<Tensor> {
        self.towers.model().logits(&self.towers.compared(features).map_err(input)?, texts).map_err(input)
    }
}

impl<T: Towers> Model for Dual<T> {
    fn describe(&self) -> Description {
        Description {
            capabilities: vec![Capability::ZeroShot, Capability::Features],
            parameters: self.parameters as u64,
            feature_dim: self.towers.model().dim() as u32,
            image_size: self.towers.model().image_size() as u32,
            logit_scale: self.scale,
        }
    }

    /// The mean of the normalised embeddings of a class's prompts, normalised again.
    fn encode_classes(&self, classes: &[Vec<String>]) -> Result<Matrix> {
        let embeds = self.text_embeds(&classes::prompts(classes)?)?;
        let means = classes::means(&embeds, classes).map_err(failed)?;
        matrix(&normalize(&means).map_err(input)?)
    }

    /// The logits of image and class.
    fn zero_shot(&self, images: &[Image<'_>], classes: &Classes) -> Result<Rows> {
        let pixels = self.pixels(images)?;
        let features = self.image_features(&pixels)?;
        let shape = (classes.encoded.rows(), classes.encoded.columns);
        let texts = Tensor::from_slice(&classes.encoded.data, shape, self.towers.model().device()).map_err(failed)?;
        Ok(Rows { matrix: matrix(&self.logits(&features, &texts)?)?, inputs: input_digests(&pixels) })
    }

    fn features(&self, images: &[Image<'_>]) -> Result<Rows> {
        let pixels = self.pixels(images)?;
        let features = self.image_features(&pixels)?;
        Ok(Rows { matrix: matrix(&features)?, inputs: input_digests(&pixels) })
    }

    /// `pixel_values` [n, 3, h, w], `image_features` [n, d] and `image_embeds` [n, d] where there are images,
    /// `text_embeds` [t, d] where there are texts, `logits` [n, t] where there are both.
    fn inspect(&self, request: &Inspect, images: &[Image<'_>]) -> Result<Inspection> {
        let mut arrays = Vec::new();
        let features = match images {
            [] => None,
            _ => {
                let pixels = self.pixels(images)?;
                let features = self.image_features(&pixels)?;
                let shape = [pixels.len(), 3, pixels[0].height, pixels[0].width].map(|n| n as u64).to_vec();
                let data = Data::F32(pixels.into_iter().flat_map(|p| p.data).collect());
                arrays.push(("pixel_values".to_string(), Array { shape, data }));
                arrays.push(("image_features".to_string(), matrix(&features)?.into()));
                arrays.push(("image_embeds".to_string(), matrix(&normalize(&features).map_err(input)?)?.into()));
                Some(features)
            }
        };
        if !request.texts.is_empty() {
            let texts = self.text_embeds(&request.texts.iter().map(String::as_str).collect::<Vec<_>>())?;
            arrays.push(("text_embeds".to_string(), matrix(&texts)?.into()));
            if let Some(features) = features {
                arrays.push(("logits".to_string(), matrix(&self.logits(&features, &texts)?)?.into()));
            }
        }
        Ok(Inspection { arrays, generation: None })
    }
}
