//! Keys and values of what sequences have shown so far.

use candle_core::{DType, Device, Tensor};

use super::Packing;
use crate::{Error, Result, kernels};

/// What one token needs in a cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CacheShape {
    /// Number of layers.
    pub layers: usize,
    /// Values of the keys of a layer, which are as many as of its values: heads of keys times their size.
    pub width: usize,
}

/// Keys and values, laid out once: `slots` sequences of at most `capacity` tokens each.
pub struct Cache {
    layers: Vec<CacheLayer>,
    capacity: usize,
    contexts: Vec<Option<Tensor>>,
}

/// One layer, keys and values each `[slots * capacity, width]`.
pub struct CacheLayer {
    /// Keys.
    pub keys: Tensor,
    /// Values.
    pub values: Tensor,
    /// Rows of each sequence.
    pub capacity: usize,
}

impl Cache {
    /// An empty cache.
    ///
    /// # Errors
    /// The memory of the device does not suffice.
    pub fn new(shape: CacheShape, slots: usize, capacity: usize, device: &Device, dtype: DType) -> Result<Self> {
        let zeros = || Tensor::zeros((slots * capacity, shape.width), dtype, device);
        let layer = |_| Ok(CacheLayer { keys: zeros()?, values: zeros()?, capacity });
        let layers = (0..shape.layers).map(layer).collect::<Result<_>>()?;
        Ok(Self { layers, capacity, contexts: vec![None; slots] })
    }

    /// Tokens that a sequence may have.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Number of sequences.
    pub fn slots(&self) -> usize {
        self.contexts.len()
    }

    /// The same with room for longer sequences.
    ///
    /// # Errors
    /// The memory of the device does not suffice.
    pub fn grown(self, capacity: usize) -> Result<Self> {
        let (slots, old) = (self.slots(), self.capacity);
        let grow = |table: &Tensor| -> Result<Tensor> {
            let rows = table.reshape((slots, old, ()))?;
            Ok(rows.pad_with_zeros(1, 0, capacity - old)?.flatten_to(1)?.contiguous()?)
        };
        let layers = self.layers.iter();
        let layers = layers.map(|l| Ok(CacheLayer { keys: grow(&l.keys)?, values: grow(&l.values)?, capacity }));
        Ok(Self { layers: layers.collect::<Result<_>>()?, capacity, contexts: self.contexts })
    }

    /// Copies the first `tokens` of the sequence in slot `from` to the slot `to`.
    ///
    /// # Errors
    /// There are not so many.
    pub fn copy(&mut self, from: usize, to: usize, tokens: usize) -> Result<()> {
        for table in self.layers.iter().flat_map(|layer| [&layer.keys, &layer.values]) {
            let rows = table.narrow(0, from * self.capacity, tokens)?.copy()?;
            table.slice_set(&rows, 0, to * self.capacity)?;
        }
        self.contexts[to] = self.contexts[from].clone();
        Ok(())
    }

    /// What the sequence in `slot` attends to beside itself, `[tokens, width]`, in models with cross-attention.
    pub fn context(&self, slot: usize) -> Option<&Tensor> {
        self.contexts[slot].as_ref()
    }

    /// Gives the sequence in `slot` something to attend to, or takes it away.
    pub fn set_context(&mut self, slot: usize, context: Option<Tensor>) {
        self.contexts[slot] = context;
    }

    /// Adds keys and values of `layer`, which follow the queries in `joint`, `[tokens, queries + 2 * width]`.
    ///
    /// # Errors
    /// A sequence is longer than the cache.
    pub fn append(&mut self, layer: usize, joint: &Tensor, packing: &Packing) -> Result<&CacheLayer> {
        if let Some(span) = packing.spans().iter().find(|s| s.cached + s.count > self.capacity) {
            let length = span.cached + span.count;
            let reason = format!("a sequence of {length} tokens does not fit a cache of {}", self.capacity);
            return Err(Error::Setting(reason));
        }
        let layer = &self.layers[layer];
        kernels::append(layer, joint, packing)?;
        Ok(layer)
    }
}
