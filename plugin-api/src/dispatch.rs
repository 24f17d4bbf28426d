//! From messages to the author's trait: the plugin's half of every op.

use std::sync::{Arc, Mutex};

use crate::{
    Classes, Error, Image, Matrix, Model, Result, Rows, Sink,
    message::{Generate, Inspect, Inspected, RowsHeader, Texts, Train, ZeroShot, op},
    tensor::{Array, Blob},
};

/// A model with the class prompts that it encoded last.
pub struct Dispatcher {
    model: Box<dyn Model>,
    classes: Mutex<Option<Arc<Classes>>>,
}

impl Dispatcher {
    /// A dispatcher for an opened model.
    pub fn new(model: Box<dyn Model>) -> Self {
        Self { model, classes: Mutex::new(None) }
    }

    /// Performs one op.
    pub fn call(&self, name: &str, header: &str, blobs: &[Blob<'_>], sink: &Sink<'_>) -> Result<(String, Vec<Array>)> {
        let images = || blobs.iter().map(|b| Image::try_from(*b)).collect::<Result<Vec<_>>>();
        match name {
            op::DESCRIBE => reply(&self.model.describe(), Vec::new()),
            op::ZERO_SHOT => {
                let classes = self.classes(serde_json::from_str::<ZeroShot>(header)?.classes)?;
                rows(self.model.zero_shot(&images()?, &classes)?, blobs.len())
            }
            op::CLASSES => {
                let classes = self.classes(serde_json::from_str::<ZeroShot>(header)?.classes)?;
                reply(&(), vec![classes.encoded.clone().into()])
            }
            op::FEATURES => rows(self.model.features(&images()?)?, blobs.len()),
            op::GENERATE => {
                let job: Generate = serde_json::from_str(header)?;
                self.model.generate(&job.requests, &images()?, &job.decoding, sink)?;
                reply(&(), Vec::new())
            }
            op::CHOOSE => {
                let job: Generate = serde_json::from_str(header)?;
                reply(&self.model.choose(&job.requests, &images()?)?, Vec::new())
            }
            op::EMBED_TEXT => {
                let texts: Texts = serde_json::from_str(header)?;
                let matrices = self.model.embed_text(&texts.texts)?;
                reply(&(), matrices.into_iter().map(Array::from).collect())
            }
            op::TRAIN => reply(&self.model.train(&serde_json::from_str::<Train>(header)?, sink)?, Vec::new()),
            op::INSPECT => {
                let seen = self.model.inspect(&serde_json::from_str::<Inspect>(header)?, &images()?)?;
                let (names, arrays) = seen.arrays.into_iter().unzip();
                reply(&Inspected { names, generation: seen.generation }, arrays)
            }
            _ => Err(Error::unsupported(name)),
        }
    }

    fn classes(&self, prompts: Vec<Vec<String>>) -> Result<Arc<Classes>> {
        let mut last = self.classes.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(classes) = last.as_ref().filter(|c| c.prompts == prompts) {
            return Ok(classes.clone());
        }
        let encoded = self.model.encode_classes(&prompts)?;
        let classes = Arc::new(Classes { prompts, encoded });
        *last = Some(classes.clone());
        Ok(classes)
    }
}

fn reply(header: &impl serde::Serialize, arrays: Vec<Array>) -> Result<(String, Vec<Array>)> {
    Ok((serde_json::to_string(header)?, arrays))
}

fn rows(rows: Rows, images: usize) -> Result<(String, Vec<Array>)> {
    let matrix: Matrix = rows.matrix;
    if matrix.rows() != images {
        return Err(Error::new(
            crate::ErrorKind::Other,
            format!("the model returned {} rows for {images} images", matrix.rows()),
        ));
    }
    reply(&RowsHeader { inputs: rows.inputs }, vec![matrix.into()])
}
