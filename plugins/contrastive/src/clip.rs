//! Architecture `clip`: CLIP (Radford et al. 2021) and its fine-tunes, such as PLIP and PubMedCLIP.
//!
//! Reference: `transformers.CLIPModel` and `CLIPProcessor`, 4.53.1.

mod config;
mod keys;
mod model;

use blocks::{
    device::{device, dtype},
    image::{ImageProcessor, Pixels},
    tokens::ClipTokenizer,
    weights::Weights,
};
use candle_core::{DType, Tensor};
use plugin_api::{
    Array, Capability, Classes, Data, Description, Error, ErrorKind, Image, Inspect, Inspection, Matrix, Model, Open,
    Result, Rows, digest, register,
};

pub use config::{ClipConfig, TextConfig, VisionConfig};
pub use keys::NAMES;
pub use model::{ClipModel, normalize};

register!("clip", "CLIP and its fine-tunes: a vision and a text transformer", [ZeroShot, Features], Clip::open);

/// Texts that are encoded in one pass.
const TEXT_BATCH: usize = 64;

/// A CLIP checkpoint with its processor and tokenizer.
pub struct Clip {
    model: ClipModel,
    processor: ImageProcessor,
    tokenizer: ClipTokenizer,
    dtype: DType,
    parameters: usize,
}

impl Clip {
    /// Opens a checkpoint laid out as on the Hugging Face hub. There are no options.
    ///
    /// # Errors
    /// A file is missing or corrupt, a tensor is missing, unused or misshapen, or the tokenizer does not fit the model.
    pub fn open(open: Open) -> Result<Self> {
        let dir = open.weights.ok_or_else(|| Error::config("architecture `clip` needs a directory with weights"))?;
        if let Some(option) = open.options.keys().next() {
            return Err(Error::config(format!("unknown option `{option}`; architecture `clip` has none")));
        }
        let (device, dtype) = (device(&open.device).map_err(config)?, dtype(&open.dtype).map_err(config)?);
        let settings = ClipConfig::from_dir(&dir).map_err(config)?;
        let (text, context) = (&settings.text_config, settings.text_config.max_position_embeddings);
        let processor = ImageProcessor::from_dir(&dir).map_err(config)?;
        let tokenizer = ClipTokenizer::from_dir(&dir, context, text.vocab_size).map_err(config)?;
        text.check_end(tokenizer.eos()).map_err(|e| Error::config(format!("{}: {e}", dir.display())))?;
        let weights = Weights::open(&dir, &NAMES, dtype, &device).map_err(config)?;
        let model = ClipModel::new(&settings, &weights).map_err(|e| match e {
            blocks::Error::Setting(reason) => config(blocks::Error::invalid(dir.join("config.json"), reason)),
            other => config(other),
        })?;
        weights.finish().map_err(config)?;
        Ok(Self { model, processor, tokenizer, dtype, parameters: weights.parameters() })
    }

    /// The model without processor and tokenizer.
    pub fn model(&self) -> &ClipModel {
        &self.model
    }

    /// Projected, unnormalised embeddings of images, f32 on the model's device.
    fn image_features(&self, pixels: &[Pixels]) -> Result<Tensor> {
        let values = pixels.iter().flat_map(|p| &p.data).copied().collect::<Vec<_>>();
        let shape = (pixels.len(), 3, pixels[0].height, pixels[0].width);
        let pixels = Tensor::from_vec(values, shape, self.model.device()).and_then(|p| p.to_dtype(self.dtype));
        Ok(self.model.image_features(&pixels.map_err(failed)?, false).map_err(input)?.to_dtype(DType::F32)?)
    }

    /// Normalised embeddings of texts, f32 on the model's device.
    fn text_embeds(&self, texts: &[&str]) -> Result<Tensor> {
        let batches = texts.chunks(TEXT_BATCH).map(|texts| {
            let ids = self.tokenizer.encode(texts).map_err(input)?;
            let features = self.model.text_features(&ids, false).map_err(input)?.to_dtype(DType::F32)?;
            normalize(&features).map_err(input)
        });
        Tensor::cat(&batches.collect::<Result<Vec<_>>>()?, 0).map_err(failed)
    }

    /// Pixel values of images, which all have the size that the model takes.
    fn pixels(&self, images: &[Image<'_>]) -> Result<Vec<Pixels>> {
        if images.is_empty() {
            return Err(Error::input("there are no images"));
        }
        let pixels = images.iter().map(|i| self.processor.process(i.width as usize, i.height as usize, i.rgb));
        let pixels = pixels.collect::<blocks::Result<Vec<_>>>().map_err(input)?;
        let side = self.model.image_size();
        match pixels.iter().find(|p| (p.height, p.width) != (side, side)) {
            Some(p) => Err(Error::config(format!(
                "preprocessor_config.json yields images of {}x{} pixels, but the model takes {side}x{side}",
                p.width, p.height
            ))),
            None => Ok(pixels),
        }
    }

    fn logits(&self, features: &Tensor, texts: &Tensor) -> Result<Tensor> {
        self.model.logits(&normalize(features).map_err(input)?, texts).map_err(input)
    }
}

impl Model for Clip {
    fn describe(&self) -> Description {
        Description {
            capabilities: vec![Capability::ZeroShot, Capability::Features],
            parameters: self.parameters as u64,
            feature_dim: self.model.dim() as u32,
            image_size: self.model.image_size() as u32,
        }
    }

    /// The mean of the normalised embeddings of a class's prompts, normalised again.
    fn encode_classes(&self, classes: &[Vec<String>]) -> Result<Matrix> {
        if let Some(class) = classes.iter().position(Vec::is_empty) {
            return Err(Error::input(format!("class {class} has no prompt")));
        }
        let texts: Vec<_> = classes.iter().flatten().map(String::as_str).collect();
        if texts.is_empty() {
            return Err(Error::input("there are no classes"));
        }
        let embeds = self.text_embeds(&texts)?;
        let mut start = 0;
        let means = classes.iter().map(|prompts| {
            let mean = embeds.narrow(0, start, prompts.len())?.mean_keepdim(0)?;
            start += prompts.len();
            Ok(mean)
        });
        let means = Tensor::cat(&means.collect::<candle_core::Result<Vec<_>>>().map_err(failed)?, 0).map_err(failed)?;
        matrix(&normalize(&means).map_err(input)?)
    }

    /// `exp(logit_scale)` times the cosine of image and class.
    fn zero_shot(&self, images: &[Image<'_>], classes: &Classes) -> Result<Rows> {
        let pixels = self.pixels(images)?;
        let features = self.image_features(&pixels)?;
        let shape = (classes.encoded.rows(), classes.encoded.columns);
        let texts = Tensor::from_slice(&classes.encoded.data, shape, self.model.device()).map_err(failed)?;
        Ok(Rows {
            matrix: matrix(&self.logits(&features, &texts)?)?,
            inputs: pixels.iter().map(input_digest).collect(),
        })
    }

    fn features(&self, images: &[Image<'_>]) -> Result<Rows> {
        let pixels = self.pixels(images)?;
        let features = self.image_features(&pixels)?;
        Ok(Rows { matrix: matrix(&features)?, inputs: pixels.iter().map(input_digest).collect() })
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

fn matrix(tensor: &Tensor) -> Result<Matrix> {
    let (_, columns) = tensor.dims2().map_err(failed)?;
    Ok(Matrix { columns, data: tensor.flatten_all().and_then(|t| t.to_vec1()).map_err(failed)? })
}

fn input_digest(pixels: &Pixels) -> String {
    digest(&pixels.data.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<_>>())
}

fn config(e: blocks::Error) -> Error {
    chain(ErrorKind::Config, e)
}

fn input(e: blocks::Error) -> Error {
    match e {
        blocks::Error::Tensor(e) => failed(e),
        other => chain(ErrorKind::Input, other),
    }
}

fn failed(e: candle_core::Error) -> Error {
    let message = e.to_string();
    let kind = if message.to_lowercase().contains("out of memory") { ErrorKind::OutOfMemory } else { ErrorKind::Other };
    Error::new(kind, message)
}

/// The conversion of the contract appends the causes.
fn chain(kind: ErrorKind, e: blocks::Error) -> Error {
    Error { kind, ..Error::from(e) }
}
