//! What a decoder needs of BERT: packed tokens, which attend to each other as the decoder says.

use candle_core::Tensor;

use super::Bert;
use crate::{Error, Result};

impl Bert {
    /// Embeddings `[tokens, width]` of ids, to which [`Bert::packed`] adds positions.
    pub(crate) fn look_up(&self, ids: &[u32]) -> Result<Tensor> {
        let rows = self.tokens.dim(0)?;
        if let Some(id) = ids.iter().find(|&&id| id as usize >= rows) {
            return Err(Error::Setting(format!("token id {id} is outside the vocabulary of {rows}")));
        }
        let tokens = self.tokens.index_select(&Tensor::new(ids, self.tokens.device())?, 0)?;
        match &self.types {
            Some(types) => Ok(tokens.broadcast_add(&types.narrow(0, 0, 1)?)?),
            None => Ok(tokens),
        }
    }

    /// Keys and values of a context `[length, width]` for each layer with cross-attention, `[layers, 2, heads, length,
    /// head]`.
    pub(crate) fn keys_and_values(&self, context: &Tensor) -> Result<Tensor> {
        let layers = self.layers.iter().filter_map(|layer| layer.keys_and_values(context).transpose());
        Ok(Tensor::stack(&layers.collect::<Result<Vec<_>>>()?, 0)?)
    }

    /// Embeddings `[tokens, width]` of [`Bert::look_up`] at their positions to the last hidden state of the same shape,
    /// without gradients. `attention` takes the number of a layer and query, key and value side by side to what was
    /// attended to; `seen` has, for so many tokens each, what [`Bert::keys_and_values`] gave.
    pub(crate) fn packed(
        &self,
        embeddings: &Tensor,
        positions: &[u32],
        mut attention: impl FnMut(usize, &Tensor) -> Result<Tensor>,
        seen: &[(usize, &Tensor)],
    ) -> Result<Tensor> {
        let positions = self.position.index_select(&Tensor::new(positions, self.position.device())?, 0)?;
        let mut x = self.norm.forward(&(embeddings + positions)?, false)?;
        let every = self.config.crossing.map_or(1, |crossing| crossing.every.max(1));
        for (n, layer) in self.layers.iter().enumerate() {
            let seen = match n.is_multiple_of(every) {
                true => seen.iter().map(|(tokens, all)| Ok((*tokens, all.get(n / every)?))).collect::<Result<_>>()?,
                false => Vec::new(),
            };
            x = layer.packed(&x, |joint| attention(n, joint), &seen)?;
        }
        Ok(x)
    }
}
