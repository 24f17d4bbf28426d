//! Norms of the heads of queries and keys.

use candle_core::Tensor;

use crate::{Result, layers::RmsNorm};

/// Norms by root mean square, one for all heads of queries and one for all heads of keys.
pub struct HeadNorms {
    /// Of queries.
    pub query: RmsNorm,
    /// Of keys.
    pub key: RmsNorm,
}

impl HeadNorms {
    /// Query, key and value side by side, `[tokens, width]`, with the former two normalised, without gradients. `heads` are
    /// those of queries and of keys, and the size of a head.
    pub fn forward(&self, joint: &Tensor, [queries, keys, head]: [usize; 3]) -> Result<Tensor> {
        let (tokens, _) = joint.dims2()?;
        let normed = |norm: &RmsNorm, start: usize, heads: usize| -> Result<Tensor> {
            let rows = joint.narrow(1, start * head, heads * head)?.reshape((tokens * heads, head))?;
            Ok(norm.forward(&rows, false)?.reshape((tokens, heads * head))?)
        };
        let (query, key) = (normed(&self.query, 0, queries)?, normed(&self.key, queries, keys)?);
        let value = joint.narrow(1, (queries + keys) * head, keys * head)?;
        Ok(Tensor::cat(&[query, key, value], 1)?)
    }
}
