//! What the decoder adds to pictures on their way.

use blocks::{Result, decoder::Added, vision::QwenVitConfig};
use bridge::reader::Seen;
use candle_core::Tensor;

/// The vectors of the tower's tapped layers, which lie beside the others, for the tokens of `pictures` among `ids`, each of
/// which is `image`.
pub fn added(ids: &[u32], image: u32, pictures: &[Seen<'_>], vision: &QwenVitConfig) -> Result<Added> {
    if pictures.is_empty() {
        return Ok(Added::default());
    }
    let layer = |n: usize| {
        let parts = pictures.iter().map(|seen| seen.vectors.narrow(1, n * vision.output, vision.output));
        Ok(Tensor::cat(&parts.collect::<candle_core::Result<Vec<_>>>()?, 0)?)
    };
    let tokens = (0..).zip(ids).filter(|(_, id)| **id == image).map(|(at, _)| at);
    Ok(Added { tokens: tokens.collect(), layers: (1..=vision.tapped()).map(layer).collect::<Result<_>>()? })
}
