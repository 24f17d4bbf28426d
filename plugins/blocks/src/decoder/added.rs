//! Vectors that join sequences on their way through the layers.

use candle_core::Tensor;

use crate::Result;

/// Vectors that are added to hidden states behind each of the first layers, as in DeepStack (Meng et al. 2024).
#[derive(Debug, Clone, Default)]
pub struct Added {
    /// The tokens that get them.
    pub tokens: Vec<u32>,
    /// Layer by layer, `[tokens, width]`.
    pub layers: Vec<Tensor>,
}

impl Added {
    /// Those of parts of a batch, each with the place of its first token, as those of the batch. Parts that have any have
    /// them for as many layers.
    ///
    /// # Errors
    /// Their widths differ.
    pub fn together<'a>(parts: impl Iterator<Item = (usize, &'a Self)>) -> Result<Self> {
        let parts: Vec<_> = parts.filter(|(_, part)| !part.tokens.is_empty()).collect();
        let layers = parts.first().map_or(0, |(_, part)| part.layers.len());
        let of = |layer: usize| parts.iter().map(move |(_, part)| &part.layers[layer]).collect::<Vec<_>>();
        Ok(Self {
            tokens: parts.iter().flat_map(|(start, part)| part.tokens.iter().map(|at| at + *start as u32)).collect(),
            layers: (0..layers).map(|layer| Ok(Tensor::cat(&of(layer), 0)?.contiguous()?)).collect::<Result<_>>()?,
        })
    }

    /// `[tokens, width]` behind `layer`, with what is added there.
    ///
    /// # Errors
    /// Shapes do not agree.
    pub fn behind(&self, layer: usize, x: Tensor) -> Result<Tensor> {
        match self.layers.get(layer) {
            Some(vectors) => Ok(x.index_add(&Tensor::new(&self.tokens[..], x.device())?, vectors, 0)?),
            None => Ok(x),
        }
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    #[test]
    fn parts_of_a_batch_get_what_is_theirs() {
        let layer = |values: &[f32]| Tensor::from_slice(values, (values.len(), 1), &Device::Cpu).unwrap();
        let first = Added { tokens: vec![1], layers: vec![layer(&[10.0]), layer(&[20.0])] };
        let last = Added { tokens: vec![0, 2], layers: vec![layer(&[30.0, 40.0]), layer(&[50.0, 60.0])] };
        let all = Added::together([(0, &first), (2, &Added::default()), (3, &last)].into_iter()).unwrap();
        let behind = |n| {
            let x = all.behind(n, layer(&[0.0, 1.0, 2.0, 3.0, 4.0, 5.0])).unwrap();
            x.flatten_all().unwrap().to_vec1::<f32>().unwrap()
        };
        assert_eq!(behind(0), [0.0, 11.0, 2.0, 33.0, 4.0, 45.0]);
        assert_eq!(behind(1), [0.0, 21.0, 2.0, 53.0, 4.0, 65.0]);
        assert_eq!(behind(2), [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
    }
}
