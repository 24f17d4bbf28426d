//! A prompt out of texts and pictures.

use blocks::{decoder::Decoder, generate::Prompt};
use candle_core::Tensor;

/// A part of a prompt.
#[derive(Debug, Clone)]
pub enum Segment {
    /// Ids of a text.
    Text(Vec<u32>),
    /// Vectors `[tokens, width]` in place of as many tokens, all of which count as the id.
    Vectors(Tensor, u32),
}

/// Segments one after the other.
///
/// # Errors
/// There are none, or an id is outside the vocabulary.
pub fn splice(decoder: &dyn Decoder, segments: Vec<Segment>) -> blocks::Result<Prompt> {
    let mut parts = Vec::new();
    let mut ids = Vec::new();
    for segment in segments {
        match segment {
            Segment::Text(text) if text.is_empty() => {}
            Segment::Text(text) => {
                parts.push(decoder.embed(&text)?);
                ids.extend(text);
            }
            Segment::Vectors(vectors, id) => {
                ids.extend(vec![id; vectors.dim(0)?]);
                let (device, dtype) = decoder.placement();
                parts.push(vectors.to_device(device)?.to_dtype(dtype)?);
            }
        }
    }
    if parts.is_empty() {
        return Err(blocks::Error::Setting("the prompt is empty".into()));
    }
    Ok(Prompt::new(Tensor::cat(&parts, 0)?, ids))
}
